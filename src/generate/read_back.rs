//! Which values a field accepts, determined by deserializing a request with them.

use serde_json::{Value, json};

use crate::case::tree;
use crate::wire::Vocabulary;

/// Returns whether the sample with this value at the path still deserializes as a request.
pub(crate) fn reads_back<R: Vocabulary>(sample: &Value, path: &str, value: Value) -> bool {
    let mut root = sample.clone();
    tree::replace(&mut root, path, value);
    serde_json::from_value::<R>(root).is_ok()
}

pub(super) fn takes_words<R: Vocabulary>(sample: &Value, path: &str) -> bool {
    reads_back::<R>(sample, path, json!("a word"))
}

/// Returns whether the field accepts any JSON.
pub(crate) fn takes_any_json<R: Vocabulary>(sample: &Value, path: &str) -> bool {
    reads_back::<R>(sample, path, json!({ "any": null }))
}
