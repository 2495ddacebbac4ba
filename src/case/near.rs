//! Requests near the dry-run sample: what a plugin looks for in one field, it finds only where it did not refuse the
//! request for all others.

use arbitrary::Unstructured;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use super::bodies::NO_WORDS;
use super::{near_bodies, tree};
use crate::wire::Vocabulary;

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

/// The request with a word in it: as a text, in base64, in a body, or in a field of one of these names, where any may be.
pub(super) fn with_word<R: Vocabulary>(
    request: R,
    word: &str,
    names: &[String],
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    let text = match u.int_in_range(0..=5)? {
        0 | 1 => word.to_owned(),
        2 => BASE64_STANDARD.encode(word),
        3 => BASE64_STANDARD.encode(body(word)),
        other => {
            let Ok(root) = serde_json::to_value(&request) else {
                return Ok(request);
            };
            if other == 5 {
                return with_header(request, root, word, u);
            }
            let name = u.choose(names).map_or(word, String::as_str);
            return with_field(request, &root, name, word, u);
        }
    };
    with_text(request, text, u)
}

/// The request with one of its texts another.
fn with_text<R: Vocabulary>(
    mut request: R,
    new: String,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    let mut all = 0;
    if request.texts(&mut |_| all += 1) {
        // Where there is none, nothing is chosen.
        let chosen = u.choose_index(all.max(1))?;
        let (mut at, mut new) = (0, Some(new));
        request.texts(&mut |text| {
            if at == chosen {
                *text = new.take().unwrap_or_default();
            }
            at += 1;
        });
        return Ok(request);
    }
    let Ok(mut root) = serde_json::to_value(&request) else {
        return Ok(request);
    };
    let texts = tree::paths(&root, Value::is_string);
    if let Ok(path) = u.choose(&texts)
        && let Some(text) = root.pointer_mut(path)
    {
        *text = new.into();
    }
    Ok(serde_json::from_value(root).unwrap_or(request))
}

/// The request with a header of this name more, in one of its lists of headers.
fn with_header<R: Vocabulary>(
    request: R,
    mut root: Value,
    name: &str,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    let mut lists = tree::paths(&root, Value::is_array);
    lists.retain(|path| path.ends_with("headers"));
    let value = BASE64_STANDARD.encode(u.choose(&HEADER_VALUES)?);
    if let Ok(path) = u.choose(&lists)
        && let Some(Value::Array(headers)) = root.pointer_mut(path)
    {
        headers.push(json!({ "name": name, "value_base64": value }));
    }
    Ok(serde_json::from_value(root).unwrap_or(request))
}

/// The request with a field more, in an object that may have any.
fn with_field<R: Vocabulary>(
    request: R,
    root: &Value,
    name: &str,
    word: &str,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    let value = match u.ratio(1, 2)? {
        true => word.into(),
        false => anything(word, u)?,
    };
    in_one_that_takes_it(request, root, u, |other, path| {
        match other.pointer_mut(path) {
            Some(Value::Object(object)) => drop(object.insert(name.to_owned(), value.clone())),
            _ => tree::place(other, path, json!({ name: value })),
        }
    })
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
    let object = serde_json::from_str::<Value>(object);
    let (Ok(mut object), Ok(root)) = (object, serde_json::to_value(&request)) else {
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
    in_one_that_takes_it(request, &root, u, |other, path| {
        tree::place(other, path, object.clone());
    })
}

/// The request with a change to an object, or to where one may be: some one after which it reads back, if any does.
fn in_one_that_takes_it<R: Vocabulary>(
    request: R,
    root: &Value,
    u: &mut Unstructured<'_>,
    change: impl Fn(&mut Value, &str),
) -> arbitrary::Result<R> {
    let objects = tree::paths(root, |value| value.is_object() || value.is_null());
    let first = u.choose_index(objects.len())?;
    let (before, behind) = objects.split_at(first);
    for path in behind.iter().chain(before) {
        let mut other = root.clone();
        change(&mut other, path);
        if let Ok(other) = serde_json::from_value(other) {
            return Ok(other);
        }
    }
    Ok(request)
}

/// The request with a body, where it has any, that is nearly what is expected.
pub(super) fn with_body<R: Vocabulary>(
    request: R,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<R> {
    let Ok(mut root) = serde_json::to_value(&request) else {
        return Ok(request);
    };
    let bodies = tree::paths(&root, Value::is_string);
    let bodies: Vec<_> = bodies.iter().filter(|path| is_body(path)).collect();
    if let Ok(path) = u.choose(&bodies) {
        tree::place(&mut root, path, u.choose(near_bodies())?.clone().into());
    }
    Ok(serde_json::from_value(root).unwrap_or(request))
}

/// Whether the field of this path is a message's body.
pub(crate) fn is_body(path: &str) -> bool {
    path.ends_with("body_base64")
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
