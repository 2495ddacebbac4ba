//! The meaning of an answer's bytes, decoded independently of the host.

use serde::Deserialize as _;
use serde_json::Value;

use crate::wire::{Function, VERSION_KEY, nesting, values};

/// Returns the response in these bytes as JSON. Returns `None` unless the answer is valid: a JSON
/// object and nothing else, with the integer `version` as its (last) `_v`, and otherwise the
/// function's response.
pub(crate) fn sound_response(function: &Function, version: u32, answer: &[u8]) -> Option<Value> {
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

/// Returns whether two values mean the same to a reader: keys of objects may be in any order, and
/// numbers are compared as written, so 1 differs from 1.0, and 0.0 from -0.0.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    is_same_with(one, other, |one, other| one.to_bits() == other.to_bits())
}

fn is_same_with(one: &Value, other: &Value, is_same_float: fn(f64, f64) -> bool) -> bool {
    let is_same = |one: &Value, other: &Value| is_same_with(one, other, is_same_float);
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
            let (one, other) = (one.as_f64(), other.as_f64());
            one.zip(other)
                .is_some_and(|(one, other)| is_same_float(one, other))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| other.get(key).is_some_and(|b| is_same(value, b)))
        }
        _ => one == other,
    }
}

/// Returns whether a float in a request is the expected one. A 32-bit float may be written with the
/// fewest digits that identify it, as serde_json does when it does not build a tree first.
fn is_sent_float(one: f64, expected: f64) -> bool {
    let single = expected as f32;
    one.to_bits() == expected.to_bits()
        || (f64::from(single).to_bits() == expected.to_bits()
            && single
                .to_string()
                .parse()
                .is_ok_and(|shortest: f64| shortest.to_bits() == one.to_bits()))
}

/// Returns whether two texts are the same JSON. White space, escapes and the order of keys do not
/// matter. A text with a duplicate key differs from one without.
pub(crate) fn is_same_json(one: &[u8], other: &[u8]) -> bool {
    if one == other || values(one) != values(other) {
        return one == other;
    }
    read(one)
        .zip(read(other))
        .is_some_and(|(one, other)| is_same_with(&one, &other, is_sent_float))
}

/// The deepest JSON that is read. Requests are not deeper, but the input that a host sends instead
/// may be, and reading it takes stack.
const DEPTH_MAX: usize = 640;

/// Reads JSON that may exceed the parser's recursion limit.
fn read(json: &[u8]) -> Option<Value> {
    if nesting(json) > DEPTH_MAX {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    reader.disable_recursion_limit();
    let value = Value::deserialize(&mut reader).ok()?;
    reader.end().ok().map(|()| value)
}

#[cfg(test)]
mod tests {
    use super::is_same_json;

    #[test]
    fn json_is_the_same_however_it_is_written_and_its_numbers_are_what_they_say() {
        let same = |one: &str, other: &str| is_same_json(one.as_bytes(), other.as_bytes());
        assert!(same(r#"{"a":1,"b":[2,{}]}"#, r#"{ "b": [2, {}], "a": 1 }"#));
        assert!(same(r#"["é","a"]"#, r#"["\u00e9","\u0061"]"#));
        assert!(same("100.0", "1e2"));
        assert!(!same("1", "1.0"));
        assert!(!same("[0.0]", "[-0.0]"));
        assert!(same("0.85", "0.8500000238418579"));
        assert!(!same("0.8500000238418579", "0.85"));
        assert!(!same("0", "-0"));
        assert!(!same(r#"{"a":1}"#, r#"{"a":1,"a":1}"#));
        assert!(!same(r#"{"a":1}"#, r#"{"a":1,"b":1}"#));
        assert!(!same(r#"{"a":null}"#, "{}"));
        assert!(!same("[1]", "[1"));
        assert!(same("no JSON", "no JSON"));
        let deep = |white: &str| format!("{}{white}{}", "[".repeat(300), "]".repeat(300));
        assert!(same(&deep(""), &deep(" ")));
        let far_too_deep = |white: &str| format!("{white}{}", "[".repeat(1 << 20));
        assert!(!same(&far_too_deep(""), &far_too_deep(" ")));
    }
}
