//! Helpers of faults for JSON.

use std::collections::BTreeMap;

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Number, Value};

use crate::faulty::plain::Object;

/// Accepts base64 with any padding and trailing bits, and writes canonical base64.
pub const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Visits every value, inner ones first.
pub fn each(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Array(list) => {
            for inner in list {
                each(inner, visit);
            }
        }
        Value::Object(object) => {
            for inner in object.values_mut() {
                each(inner, visit);
            }
        }
        _ => {}
    }
    visit(value);
}

/// Visits every string, except keys.
pub fn each_text(value: &mut Value, visit: &mut dyn FnMut(&mut String)) {
    each(value, &mut |value| {
        if let Value::String(text) = value {
            visit(text);
        }
    });
}

pub fn each_number(value: &mut Value, change: fn(&Number) -> Option<Number>) {
    each(value, &mut |value| {
        if let Value::Number(number) = value
            && let Some(changed) = change(number)
        {
            *number = changed;
        }
    });
}

pub fn each_object(value: &mut Value, visit: &mut dyn FnMut(&mut Object)) {
    each(value, &mut |value| {
        if let Value::Object(object) = value {
            visit(object);
        }
    });
}

pub fn each_list(value: &mut Value, visit: &mut dyn FnMut(&mut Vec<Value>)) {
    each(value, &mut |value| {
        if let Value::Array(list) = value {
            visit(list);
        }
    });
}

pub fn each_member(value: &mut Value, visit: &mut dyn FnMut(&str, &mut Value)) {
    each_object(value, &mut |object| {
        for (key, inner) in object {
            visit(key, inner);
        }
    });
}

pub fn each_body(request: &mut Value, visit: &mut dyn FnMut(&mut String)) {
    each_member(request, &mut |key, value| {
        if key == "body_base64"
            && let Value::String(body) = value
        {
            visit(body);
        }
    });
}

/// Returns the part of a request with the headers and the method.
pub fn http(request: &mut Value) -> &mut Value {
    let mut keys = ["request", "shaped"].into_iter();
    match keys.find(|key| request.get(key).is_some()) {
        Some(key) => &mut request[key],
        None => request,
    }
}

/// Returns the state or the claims, which are free JSON.
pub fn free(request: &mut Value) -> Option<&mut Value> {
    let mut pointers = ["/factory_state", "/signer_state", "/principal/claims"].into_iter();
    let pointer = pointers.find(|pointer| request.pointer(pointer).is_some())?;
    request.pointer_mut(pointer)
}

pub fn url(request: &mut Value) -> Option<&mut String> {
    let mut pointers = ["/shaped/url", "/upstream_base_url"].into_iter();
    let pointer = pointers.find(|pointer| request.pointer(pointer).is_some())?;
    match request.pointer_mut(pointer)? {
        Value::String(url) => Some(url),
        _ => None,
    }
}

pub fn text<'v>(value: &'v mut Value, key: &str) -> Option<&'v mut String> {
    match value.get_mut(key)? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

pub fn list<'v>(value: &'v mut Value, key: &str) -> Option<&'v mut Vec<Value>> {
    value.get_mut(key)?.as_array_mut()
}

pub fn headers(request: &mut Value) -> Option<&mut Vec<Value>> {
    list(http(request), "headers")
}

pub fn low_name(header: &Value) -> String {
    header["name"].as_str().unwrap_or_default().to_lowercase()
}

/// Returns the items of a field; none if it is not a list.
pub fn listed<'a>(answer: &'a mut Object, key: &str) -> impl Iterator<Item = &'a mut Value> {
    list_in(answer, key).into_iter().flatten()
}

pub fn list_in<'a>(answer: &'a mut Object, key: &str) -> Option<&'a mut Vec<Value>> {
    answer.get_mut(key)?.as_array_mut()
}

/// Makes an answer an invalid response.
pub fn refuse(answer: &mut Object) {
    answer.insert("refused".to_owned(), Value::Null);
}

/// Parses the text, or if it is not JSON, the mended text.
pub fn lenient(text: &str, mend: fn(&str) -> String) -> Option<Value> {
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&mend(text)))
        .ok()
}

pub fn sound(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// Returns the text without the contents of its strings.
pub fn outside_of_strings(text: &str) -> String {
    let (mut is_inside, mut is_escaped) = (false, false);
    let mut outside = text.to_owned();
    outside.retain(|c| {
        let was_inside = is_inside;
        if c == '"' && !is_escaped {
            is_inside = !is_inside;
        }
        is_escaped = was_inside && c == '\\' && !is_escaped;
        !was_inside
    });
    outside
}

pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Of items with the same key, keeps the last one.
pub fn keep_last(list: &mut Vec<Value>, key: fn(&Value) -> String) {
    let last: BTreeMap<String, usize> = list.iter().map(key).zip(0..).collect();
    let mut at = 0..;
    list.retain(|one| at.next() == last.get(&key(one)).copied());
}

pub fn round_to_double(number: &Number) -> Option<Number> {
    let rounded = number.as_u64().map(|n| Number::from(n as f64 as u64));
    rounded.or_else(|| number.as_i64().map(|n| Number::from(n as f64 as i64)))
}

pub fn whole(number: &Number) -> Option<Number> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    (float.fract() == 0.0 && float.abs() < 1e15).then(|| Number::from(float as i64))
}

pub fn camel(key: &str) -> String {
    let mut words = key.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut chars = word.chars();
        camel.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        camel.push_str(chars.as_str());
    }
    camel
}

/// Replaces a string that contains a JSON list or object by it.
pub fn read_inside(value: &mut Value) {
    let read = value
        .as_str()
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    if let Some(read @ (Value::Array(_) | Value::Object(_))) = read {
        *value = read;
    }
}
