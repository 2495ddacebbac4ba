//! The meaning of an answer's bytes, worked out apart from the host's own decoding.

use serde_json::Value;

use crate::wire::{Function, VERSION_KEY};

/// The response that these bytes are, as JSON, and `None` where they are no sound answer: a JSON object
/// and nothing else, with the integer `version` as its (last) `_v`, and the function's response beside it.
pub(super) fn sound_response(function: &Function, version: u32, answer: &[u8]) -> Option<Value> {
    let mut object = match serde_json::from_slice(answer) {
        Ok(Value::Object(object)) => object,
        _ => return None,
    };
    match object.remove(VERSION_KEY)? {
        Value::Number(number) if number.as_u64() == Some(u64::from(version)) => {
            function.decode(object).ok()
        }
        _ => None,
    }
}
