//! The JSON envelope: the guest's input for a request, and the response that its output is.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::cause::{Cause, Decoding};
use super::limits::ANSWER_VALUES_MAX;
use super::sorted_json::to_sorted;
use crate::untrusted_text::{WORDS_MAX_BYTES, one_line, shortened};
use crate::wire::{VERSION_KEY, values};

/// The guest's input for a request: its JSON object with `_v`, keys sorted.
///
/// # Errors
/// [`Cause`] where the request does not serialize, or not to an object.
pub fn encode_envelope<T: Serialize>(request: &T, version: u32) -> Result<String, Cause> {
    let unserializable = |error: serde_json::Error| Cause::RequestUnserializable(error.to_string());
    let text = to_sorted(request, (VERSION_KEY, version)).map_err(unserializable)?;
    if text.starts_with('{') {
        Ok(text)
    } else {
        Err(Cause::RequestNotObject)
    }
}

/// The response that a guest's output is: a JSON object, and beside it its `_v`, which must be this version.
///
/// # Errors
/// [`Decoding`], the step at which it turned out to be none.
pub fn decode_envelope<T: DeserializeOwned>(output: &[u8], version: u32) -> Result<T, Decoding> {
    let text = std::str::from_utf8(output).map_err(|_| Decoding::NotUtf8)?;
    if has_too_many_values(output) {
        return Err(Decoding::TooManyValues);
    }
    let value = serde_json::from_str(text).map_err(|error| {
        let why = one_line(error);
        // There is no other sign of it.
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

/// Whether an answer is a response as far as types and fields go. What is wrong is worded with all of a text, and nothing bounds
/// how long that takes: here the middles of long texts are left out.
///
/// # Errors
/// [`Decoding`] where it is none, whatever its texts say.
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

/// The same but for the middles of long texts, where that leaves the keys of an object apart.
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

/// Whether an answer has more than [`ANSWER_VALUES_MAX`] values.
pub(crate) fn has_too_many_values(answer: &[u8]) -> bool {
    // Nothing shorter does.
    answer.len() > ANSWER_VALUES_MAX && values(answer) > ANSWER_VALUES_MAX
}
