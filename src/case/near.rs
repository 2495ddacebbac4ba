//! Requests near the dry-run sample: what a plugin looks for in one field, it finds only where it did not refuse the
//! request for all others.

use arbitrary::Unstructured;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use super::tree;
use crate::wire::Vocabulary;

/// The most fields in which a request differs from the sample.
const FIELDS_MAX: usize = 3;

/// The dry-run request with a few fields of an arbitrary one.
pub(super) fn near<R: Vocabulary>(place: usize, u: &mut Unstructured<'_>) -> arbitrary::Result<R> {
    let sample = R::dry_run(place);
    let Ok(mut root) = serde_json::to_value(&sample) else {
        return Ok(sample);
    };
    let fields = u.int_in_range(1..=FIELDS_MAX)?;
    let donor = serde_json::to_value(R::arbitrary_of(place, u)?);
    let mut others = donor.map_or_else(|_| Vec::new(), |donor| tree::differences(&root, &donor));
    for _ in 0..fields.min(others.len()) {
        let (path, value) = others.swap_remove(u.choose_index(others.len())?);
        tree::place(&mut root, &path, value);
    }
    Ok(serde_json::from_value(root).unwrap_or(sample))
}

/// The request with one of these words in it: as a text, in base64, in a body, or as the name of a field where any may
/// be.
pub(super) fn with_word<R: Vocabulary>(
    request: R,
    words: &[String],
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    let (Ok(mut root), Some(word)) = (serde_json::to_value(&request), u.choose(words).ok()) else {
        return Ok(request);
    };
    let value = match u.int_in_range(0..=4)? {
        0 | 1 => word.clone(),
        2 => BASE64_STANDARD.encode(word),
        3 => BASE64_STANDARD.encode(body(word)),
        _ => {
            let other = u.choose(words)?.clone();
            let objects = tree::paths(&root, Value::is_object);
            if let Some(Value::Object(object)) = root.pointer_mut(u.choose(&objects)?) {
                object.insert(word.clone(), other.into());
            }
            return Ok(serde_json::from_value(root).unwrap_or(request));
        }
    };
    let texts = tree::paths(&root, Value::is_string);
    if let Some(text) = root.pointer_mut(u.choose(&texts)?) {
        *text = value.into();
    }
    Ok(serde_json::from_value(root).unwrap_or(request))
}

/// A body with a word in the places in which one is looked for.
fn body(word: &str) -> String {
    json!({
        "model": word,
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": word}],
    })
    .to_string()
}
