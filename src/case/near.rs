//! Requests near the dry-run sample: what a plugin looks for in one field, it finds only where it did not refuse the
//! request for all others.

use arbitrary::Unstructured;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value, json};

use super::bodies::NO_WORDS;
use super::{near_bodies, tree};
use crate::wire::{Header, HeaderName, HeaderValue, Part, Vocabulary};

/// The most fields in which a request differs from the sample.
const FIELDS_MAX: usize = 3;

/// What the values of headers that a plugin reads are numbers or switches of.
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

/// The dry-run request with a few fields otherwise.
pub(super) fn near<R: Vocabulary>(place: usize, u: &mut Unstructured<'_>) -> arbitrary::Result<R> {
    let fields = u.int_in_range(1..=FIELDS_MAX)?;
    if let Some(near) = R::near_of(place, fields, u)? {
        return Ok(near);
    }
    let sample = R::dry_run(place);
    let Ok(mut root) = serde_json::to_value(&sample) else {
        return Ok(sample);
    };
    let donor = serde_json::to_value(R::arbitrary_of(place, u)?);
    let mut others = donor.map_or_else(|_| Vec::new(), |donor| tree::differences(&root, &donor));
    for _ in 0..fields.min(others.len()) {
        let (path, value) = others.swap_remove(u.choose_index(others.len())?);
        tree::place(&mut root, &path, value);
    }
    Ok(serde_json::from_value(root).unwrap_or(sample))
}

/// What is put into a request.
enum New<'a> {
    Text(String),
    /// In base64.
    Body(&'a str),
    Header(Header),
    /// A field of this name.
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
                // What is drawn next may be among them.
                fields.sort_keys();
            }
            (Self::Field(name, new), Part::Json(json)) => *json = json!({ *name: new }),
            (Self::Object(new), Part::Object(fields)) => fields.clone_from(new),
            (Self::Object(new), Part::Json(json)) => *json = new.clone().into(),
            // It fits into no other.
            _ => {}
        }
    }

    /// The request with it in some part into which it fits, if there is one.
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

    /// The same by way of JSON: in some part after which the request reads back, if it does after any.
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

/// Shows what is at this path of a request that does not know its parts.
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

/// The request with a word in it: as a text, in base64, in a body, or in a field of one of these names, where any may be.
pub(super) fn with_word<R: Vocabulary>(
    request: R,
    word: &str,
    names: &[String],
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    let new = match u.int_in_range(0..=5)? {
        0 | 1 => New::Text(word.to_owned()),
        2 => New::Text(BASE64_STANDARD.encode(word)),
        3 => New::Text(BASE64_STANDARD.encode(body(word))),
        4 => {
            let name = u.choose(names).map_or(word, String::as_str);
            let value = if u.ratio(1, 2)? {
                word.into()
            } else {
                anything(word, u)?
            };
            New::Field(name, value)
        }
        _ => {
            let value = BASE64_STANDARD.encode(u.choose(&HEADER_VALUES)?);
            New::Header(Header {
                name: HeaderName(word.to_owned()),
                value_base64: HeaderValue(value),
            })
        }
    };
    new.within(request, u)
}

/// A word, or a value of JSON that is none.
fn anything(word: &str, u: &mut Unstructured<'_>) -> arbitrary::Result<Value> {
    match u.choose_index(NO_WORDS.len() + 1)?.checked_sub(1) {
        None => Ok(word.into()),
        Some(other) => Ok(NO_WORDS[other].clone()),
    }
}

/// The request with an object, in a field that takes any JSON. Half of what is in the object is something else: each part
/// may be what a plugin did not think of, beside others that it looks for first.
pub(super) fn with_object<R: Vocabulary>(
    request: R,
    object: &str,
    words: &[String],
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    let Ok(mut object) = serde_json::from_str::<Value>(object) else {
        return Ok(request);
    };
    let is_leaf = |value: &Value| !value.is_object() && !value.is_array();
    for path in tree::paths(&object, is_leaf) {
        if u.ratio(1, 2)? {
            let word = words.get(u.choose_index(words.len().max(1))?);
            let value = anything(word.map_or("a", String::as_str), u)?;
            tree::place(&mut object, &path, value);
        }
    }
    match object {
        Value::Object(fields) => New::Object(fields).within(request, u),
        _ => Ok(request),
    }
}

/// The request with a body, where it has any, that is nearly what is expected.
pub(super) fn with_body<R: Vocabulary>(
    request: R,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    New::Body(u.choose(near_bodies())?).within(request, u)
}

/// Whether the field of this path is a message's body.
pub(crate) fn is_body(path: &str) -> bool {
    path.ends_with("body_base64")
}

/// A body with a word in the places in which one is looked for.
fn body(word: &str) -> String {
    tree::text(&json!({
        "model": word,
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": word}],
    }))
}
