//! The JSON envelope, which encodes a request as the guest's input and decodes the guest's output
//! as a response.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::cause::{Cause, Decoding};
use super::message_limits::ANSWER_VALUES_MAX;
use super::sorted_json::to_sorted;
use crate::untrusted_text::{WORDS_MAX_BYTES, one_line, shortened};
use crate::wire::{VERSION_KEY, values};

/// Encodes a request as the guest's input: its JSON object with `_v`, keys sorted.
///
/// # Errors
/// Returns a [`Cause`] if the request does not serialize, or not as an object.
pub fn encode_envelope<T: Serialize>(request: &T, version: u32) -> Result<String, Cause> {
    let unserializable = |error: serde_json::Error| Cause::RequestUnserializable(error.to_string());
    let text = to_sorted(request, (VERSION_KEY, version)).map_err(unserializable)?;
    if text.starts_with('{') {
        Ok(text)
    } else {
        Err(Cause::RequestNotObject)
    }
}

/// Decodes a guest's output as a response: a JSON object whose `_v` must be `version`.
///
/// # Errors
/// Returns the [`Decoding`] step that failed.
pub fn decode_envelope<T: DeserializeOwned>(output: &[u8], version: u32) -> Result<T, Decoding> {
    let text = std::str::from_utf8(output).map_err(|_| Decoding::NotUtf8)?;
    if has_too_many_values(output) {
        return Err(Decoding::TooManyValues);
    }
    let value = serde_json::from_str(text).map_err(|error| {
        let why = one_line(error);
        // Only the message identifies this error.
        if why.starts_with("recursion limit exceeded") {
            Decoding::TooDeep
        } else {
            Decoding::NotJson(why)
        }
    })?;
    let Value::Object(mut answer) = value else {
        return Err(Decoding::NotObject);
    };
    let sealed = answer
        .remove(VERSION_KEY)
        .ok_or(Decoding::VersionMissing)?
        .as_u64()
        .ok_or(Decoding::VersionNotInteger)?;
    if sealed != u64::from(version) {
        return Err(Decoding::VersionMismatch {
            expected: version,
            actual: sealed,
        });
    }
    let answer = Value::Object(answer);
    if output.len() > WORDS_MAX_BYTES {
        is_of_the_type::<T>(&answer)?;
    }
    response(answer)
}

/// Checks the types and fields of an answer with the middles of long texts removed. The error
/// messages of `serde` contain whole texts, which may take arbitrarily long to format.
///
/// # Errors
/// Returns a [`Decoding`] if the answer is invalid regardless of the content of its texts.
fn is_of_the_type<T: DeserializeOwned>(answer: &Value) -> Result<(), Decoding> {
    const WHATEVER_TEXTS_SAY: [&str; 3] = ["invalid type: ", "unknown field ", "missing field "];
    match response::<T>(with_short_texts(answer)) {
        Err(Decoding::NotResponse { field, why })
            if WHATEVER_TEXTS_SAY
                .iter()
                .any(|words| why.starts_with(words)) =>
        {
            Err(Decoding::NotResponse { field, why })
        }
        _ => Ok(()),
    }
}

fn response<T: DeserializeOwned>(answer: Value) -> Result<T, Decoding> {
    serde_path_to_error::deserialize(answer).map_err(|error| {
        let why = one_line(error.inner());
        let field = crate::host::error_reason::field(error.path(), &why);
        Decoding::NotResponse { field, why }
    })
}

/// Shortens long texts in the answer, and in keys unless two keys would become equal.
fn with_short_texts(answer: &Value) -> Value {
    match answer {
        Value::String(text) => shortened(text).into(),
        Value::Array(items) => items.iter().map(with_short_texts).collect(),
        Value::Object(fields) => {
            let short = |(key, value): (&String, _)| (shortened(key), with_short_texts(value));
            let shorter: Map<String, Value> = fields.iter().map(short).collect();
            if shorter.len() == fields.len() {
                shorter.into()
            } else {
                let same = |(key, value): (&String, _)| (key.clone(), with_short_texts(value));
                fields.iter().map(same).collect()
            }
        }
        other => other.clone(),
    }
}

/// Returns whether an answer has more than [`ANSWER_VALUES_MAX`] values.
pub(crate) fn has_too_many_values(answer: &[u8]) -> bool {
    // Each value takes at least a byte.
    answer.len() > ANSWER_VALUES_MAX && values(answer) > ANSWER_VALUES_MAX
}
