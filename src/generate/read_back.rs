//! What may be in a field, found out by reading a request back.

use serde_json::{Value, json};

use crate::case::tree;
use crate::wire::Vocabulary;

/// Whether the sample with this value at the path is still a request.
pub(crate) fn reads_back<R: Vocabulary>(sample: &Value, path: &str, value: Value) -> bool {
    let mut root = sample.clone();
    tree::replace(&mut root, path, value);
    serde_json::from_value::<R>(root).is_ok()
}

pub(super) fn takes_words<R: Vocabulary>(sample: &Value, path: &str) -> bool {
    reads_back::<R>(sample, path, json!("a word"))
}

/// Whether the field is JSON of whoever sends it.
pub(crate) fn takes_any_json<R: Vocabulary>(sample: &Value, path: &str) -> bool {
    reads_back::<R>(sample, path, json!({ "any": null }))
}
