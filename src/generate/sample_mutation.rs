//! Requests that differ little from the dry-run sample. A plugin inspects one field only if the
//! other fields did not make it refuse the request.

use arbitrary::Unstructured;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value, json};

use super::bodies::{UNEXPECTED_VALUES, mutated_bodies};
use crate::case::tree;
use crate::wire::{Header, HeaderName, HeaderValue, Part, Vocabulary};

/// The most fields in which a request differs from the sample.
const FIELDS_MAX: usize = 3;

/// Header values that a plugin may parse as a number or a switch.
const HEADER_VALUES: [&str; 9] = [
    "",
    "0",
    "1",
    "-1",
    "00",
    "true",
    "1.5",
    "4294967296",
    "18446744073709551616",
];

/// Returns the dry-run request with a few fields changed.
pub(crate) fn mutated_sample<R: Vocabulary>(
    index: usize,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    let fields = u.int_in_range(1..=FIELDS_MAX)?;
    if let Some(request) = R::mutated_sample_of(index, fields, u)? {
        return Ok(request);
    }
    let sample = R::dry_run(index);
    let Ok(mut root) = serde_json::to_value(&sample) else {
        return Ok(sample);
    };
    let donor = serde_json::to_value(R::arbitrary_of(index, u)?);
    let mut others = donor.map_or_else(|_| Vec::new(), |donor| tree::differences(&root, &donor));
    for _ in 0..fields.min(others.len()) {
        let (path, value) = others.swap_remove(u.choose_index(others.len())?);
        tree::replace(&mut root, &path, value);
    }
    Ok(serde_json::from_value(root).unwrap_or(sample))
}

/// A value to insert into a request.
enum New<'a> {
    Text(String),
    /// A body, in base64.
    Body(&'a str),
    Header(Header),
    /// A field with this name.
    Field(&'a str, Value),
    Object(Map<String, Value>),
}

impl New<'_> {
    fn fits(&self, part: &Part<'_>) -> bool {
        match self {
            Self::Text(_) => matches!(part, Part::Text(_) | Part::Body(_)),
            Self::Body(_) => matches!(part, Part::Body(_)),
            Self::Header(_) => matches!(part, Part::Headers(_)),
            Self::Field(..) | Self::Object(_) => matches!(
                part,
                Part::Object(_) | Part::Json(Value::Object(_) | Value::Null)
            ),
        }
    }

    fn put(&self, part: Part<'_>) {
        match (self, part) {
            (Self::Text(new), Part::Text(text) | Part::Body(text)) => text.clone_from(new),
            (Self::Body(new), Part::Body(text)) => *text = (*new).to_owned(),
            (Self::Header(new), Part::Headers(headers)) => headers.push(new.clone()),
            (Self::Field(name, new), Part::Object(fields) | Part::Json(Value::Object(fields))) => {
                fields.insert((*name).to_owned(), new.clone());
                // A later draw may choose among these fields, so their order must not vary.
                fields.sort_keys();
            }
            (Self::Field(name, new), Part::Json(json)) => *json = json!({ *name: new }),
            (Self::Object(new), Part::Object(fields)) => fields.clone_from(new),
            (Self::Object(new), Part::Json(json)) => *json = new.clone().into(),
            // No other part fits.
            _ => {}
        }
    }

    /// Returns the request with the value in one of the parts that it fits into, or unchanged if
    /// there is none.
    fn within<R: Vocabulary>(
        &self,
        mut request: R,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<R> {
        let mut fitting = 0;
        let knows_parts = request.parts(&mut |part| fitting += usize::from(self.fits(&part)));
        if !knows_parts {
            return self.within_json(request, u);
        }
        if fitting > 0 {
            let chosen = u.choose_index(fitting)?;
            let mut at = 0;
            request.parts(&mut |part| {
                if self.fits(&part) {
                    if at == chosen {
                        self.put(part);
                    }
                    at += 1;
                }
            });
        }
        Ok(request)
    }

    /// Does the same for a type that does not know its parts: inserts the value at a path of the
    /// request's JSON after which it still deserializes.
    fn within_json<R: Vocabulary>(
        &self,
        request: R,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<R> {
        let Ok(mut root) = serde_json::to_value(&request) else {
            return Ok(request);
        };
        let mut fitting = tree::paths(&root, |_| true);
        fitting.retain(|path| {
            let mut fits = false;
            show(&mut root, path, &mut |part| fits = self.fits(&part));
            fits
        });
        let first = u.choose_index(fitting.len().max(1))?;
        let (before, behind) = fitting.split_at(first);
        for path in behind.iter().chain(before) {
            let mut other = root.clone();
            show(&mut other, path, &mut |part| self.put(part));
            if let Ok(other) = serde_json::from_value(other) {
                return Ok(other);
            }
        }
        Ok(request)
    }
}

/// Calls `show` with the part at this path of a request that does not know its parts.
fn show(root: &mut Value, path: &str, show: &mut dyn FnMut(Part<'_>)) {
    match root.pointer_mut(path) {
        Some(Value::String(text)) if is_body(path) => show(Part::Body(text)),
        Some(Value::String(text)) => show(Part::Text(text)),
        Some(Value::Object(fields)) => show(Part::Object(fields)),
        Some(headers @ Value::Array(_)) if path.ends_with("headers") => {
            if let Ok(mut read) = serde_json::from_value(headers.clone()) {
                show(Part::Headers(&mut read));
                *headers = json!(read);
            }
        }
        Some(json) => show(Part::Json(json)),
        None => {}
    }
}

/// Returns the request with the token in it: as a text, in base64, in a body, as a header's name,
/// or in a field with one of these names.
pub(crate) fn with_token<R: Vocabulary>(
    request: R,
    token: &str,
    names: &[String],
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    let new = match u.int_in_range(0..=5)? {
        0 | 1 => New::Text(token.to_owned()),
        2 => New::Text(BASE64_STANDARD.encode(token)),
        3 => New::Text(BASE64_STANDARD.encode(body(token))),
        4 => {
            let name = u.choose(names).map_or(token, String::as_str);
            let value = if u.ratio(1, 2)? {
                token.into()
            } else {
                anything(token, u)?
            };
            New::Field(name, value)
        }
        _ => {
            let value = BASE64_STANDARD.encode(u.choose(&HEADER_VALUES)?);
            New::Header(Header {
                name: HeaderName(token.to_owned()),
                value_base64: HeaderValue(value),
            })
        }
    };
    new.within(request, u)
}

/// Returns the token, or one of [`UNEXPECTED_VALUES`].
fn anything(token: &str, u: &mut Unstructured<'_>) -> arbitrary::Result<Value> {
    match u.choose_index(UNEXPECTED_VALUES.len() + 1)?.checked_sub(1) {
        None => Ok(token.into()),
        Some(other) => Ok(UNEXPECTED_VALUES[other].clone()),
    }
}

/// Returns the request with the object in a field that accepts any JSON. Each value in the object
/// is replaced with probability 1/2, so that an unexpected value meets others that the plugin
/// checks first.
pub(crate) fn with_object<R: Vocabulary>(
    request: R,
    object: &str,
    tokens: &[String],
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    let Ok(mut object) = serde_json::from_str::<Value>(object) else {
        return Ok(request);
    };
    let is_leaf = |value: &Value| !value.is_object() && !value.is_array();
    for path in tree::paths(&object, is_leaf) {
        if u.ratio(1, 2)? {
            let token = tokens.get(u.choose_index(tokens.len().max(1))?);
            let value = anything(token.map_or("a", String::as_str), u)?;
            tree::replace(&mut object, &path, value);
        }
    }
    match object {
        Value::Object(fields) => New::Object(fields).within(request, u),
        _ => Ok(request),
    }
}

/// Returns the request with an almost valid body, if the request has a body.
pub(crate) fn with_body<R: Vocabulary>(
    request: R,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    New::Body(u.choose(mutated_bodies())?).within(request, u)
}

/// Returns whether the field at this path is a message body.
pub(crate) fn is_body(path: &str) -> bool {
    path.ends_with("body_base64")
}

/// Returns a body with the token as values that a plugin is likely to read.
fn body(token: &str) -> String {
    tree::text(&json!({
        "model": token,
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": token}],
    }))
}
