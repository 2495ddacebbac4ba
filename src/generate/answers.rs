//! Answers that are almost valid: the JSON text of a dry-run or arbitrary response of the function,
//! with mistakes that guests and decoders make.

use arbitrary::Unstructured;
use serde_json::Value;

use super::malformed_json::{Json, VALUES, one_in};
use crate::wire::{Function, VERSION_KEY};

/// JSON texts for the version. The first is the negotiated one of all published functions.
const VERSIONS: [&str; 18] = [
    "1",
    "1",
    "1",
    "2",
    "0",
    "-1",
    "1.0",
    "1e0",
    "\"1\"",
    "true",
    "null",
    "[1]",
    "{}",
    "65537",
    "4294967297",
    "18446744073709551615",
    "18446744073709551616",
    "01",
];

/// Texts that may precede or follow the object.
const AROUND: [&str; 13] = [
    " ",
    // White space, but not in JSON.
    "\u{b}\u{c}",
    "\u{a0}",
    "\u{2028}",
    "\n\r\t ",
    "\0",
    "x",
    "{}",
    ",",
    "\u{feff}",
    "//",
    "]",
    "null",
];

/// JSON texts to fill a field with: the first that is valid there is taken. A state may be any JSON,
/// so it becomes the object.
const FILLED: [&str; 5] = [
    r#"{"expires_at":1767225600,"scopes":["a"],"token":"a/b"}"#,
    r#"[{"name":"x-a","value_base64":"Pz8/Pj4+eA=="}]"#,
    r#"[{"decision":"accept","reason":"a/b","upstream_id":"a"}]"#,
    r#"["a"]"#,
    "[1]",
];

/// JSON strings for empty text fields with these names.
const TEXTS: [(&str, &str); 2] = [
    ("method", "\"POST\""),
    ("url", "\"https://api.anthropic.com/v1/messages\""),
];

/// The JSON string for every other empty text field: base64 with each of its special characters.
const BASE64: &str = "\"Pz8/Pj4+eA==\"";

/// Returns the response with the version `1` as its first field.
fn with_version(mut response: Value) -> Json {
    // Sorted, because the order depends on the features of `serde_json` in the build.
    response.sort_all_objects();
    let mut answer = Json::from_value(&response);
    if let Json::Object(fields) = &mut answer {
        let version = Json::Text(VERSIONS[0].to_owned());
        fields.insert(0, (Json::key(VERSION_KEY), version));
    }
    answer
}

/// Returns the function's dry-run response.
fn sound(function: &Function) -> Json {
    with_version(function.dry_run_response().unwrap_or_default())
}

/// Returns these fields of an answer with the value of one replaced, if the result is still a valid
/// response.
fn with_value(
    function: &Function,
    fields: &[(String, Json)],
    index: usize,
    value: Json,
) -> Option<Vec<(String, Json)>> {
    let mut fields = fields.to_vec();
    fields.get_mut(index)?.1 = value;
    let answer = Json::Object(fields);
    let mut object: serde_json::Map<String, Value> = serde_json::from_str(&answer.write()).ok()?;
    object.remove(VERSION_KEY);
    function.decode(object).ok()?;
    match answer {
        Json::Object(fields) => Some(fields),
        _ => None,
    }
}

/// Returns the function's dry-run response with lists that are not empty and optional values that
/// are set, where one of [`FILLED`] or a string is valid.
pub(super) fn filled(function: &Function) -> Json {
    let mut fields = match sound(function) {
        Json::Object(fields) => fields,
        other => return other,
    };
    for index in 1..fields.len() {
        let (key, value) = &fields[index];
        let of_key = TEXTS.iter().find(|(of, _)| Json::key(of) == *key);
        let text = of_key.map_or(BASE64, |(_, text)| *text);
        // A text that is there stays.
        let is_empty = matches!(&value.write()[..], "null" | "\"\"");
        let text = is_empty.then_some(text);
        let kind = std::mem::discriminant(value);
        let values = FILLED.into_iter().chain(text);
        let values: Vec<Value> = values
            .filter_map(|value| serde_json::from_str(value).ok())
            .collect();
        let filled = values.into_iter().find_map(|mut value| {
            value.sort_all_objects();
            let value = Json::from_value(&value);
            // An object may also be read from a list of its values.
            let is_of_kind = is_empty || std::mem::discriminant(&value) == kind;
            is_of_kind
                .then(|| with_value(function, &fields, index, value))
                .flatten()
        });
        if let Some(filled) = filled {
            fields = filled;
        }
    }
    Json::Object(fields)
}

/// Returns the dry-run response with each of its values in turn replaced with this text, as far as
/// the result is still a valid response.
fn with_each<'f>(function: &'f Function, value: &'f str) -> impl Iterator<Item = String> + 'f {
    let fields = match sound(function) {
        Json::Object(fields) => fields,
        _ => Vec::new(),
    };
    (1..fields.len()).filter_map(move |index| {
        let fields = with_value(function, &fields, index, Json::Text(value.to_owned()))?;
        Some(Json::Object(fields).write())
    })
}

/// Returns the parts of an answer before and after a string that the function's response may hold,
/// or `None` if it has no string.
pub(crate) fn around_a_string(function: &Function) -> Option<(String, String)> {
    const PROBE: &str = "\"cc-lb-fuzz-probe\"";
    let text = with_each(function, PROBE).next()?;
    let (before, behind) = text.split_once(PROBE)?;
    Some((format!("{before}\""), format!("\"{behind}")))
}

/// Returns an answer with a list of `items` items, or `None` if the function's response has no
/// list.
pub(crate) fn with_a_list(
    function: &Function,
    items: usize,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<Option<String>> {
    const ITEMS: [&str; 3] = [
        r#"{"name":"a","value_base64":""}"#,
        r#"{"upstream_id":"a","decision":"accept","reason":""}"#,
        "0",
    ];
    let one = ITEMS.map(|item| format!("[{item}]"));
    let answers: Vec<String> = ITEMS
        .iter()
        .zip(&one)
        .flat_map(|(item, one)| {
            let many = format!("[{}]", vec![*item; items].join(","));
            with_each(function, one).map(move |text| text.replacen(one, &many, 1))
        })
        .collect();
    if answers.is_empty() {
        return Ok(None);
    }
    u.choose(&answers).cloned().map(Some)
}

/// Draws an answer of the function. About a third are valid.
pub(crate) fn arbitrary(
    function: &Function,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<Vec<u8>> {
    let mut answer = if one_in(2, u)? {
        with_version(function.response(u)?)
    } else {
        sound(function)
    };
    for _ in 0..u.int_in_range(0..=2)? {
        if u.ratio(1, 3)? {
            corrupt_version(&mut answer, u)?;
        } else {
            answer.corrupt(u)?;
        }
    }
    let mut text = answer.write().into_bytes();
    if u.ratio(1, 4)? {
        corrupt_text(&mut text, u)?;
    }
    Ok(text)
}

/// Changes or removes the version, moves it, or adds a second one.
fn corrupt_version(answer: &mut Json, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let Json::Object(fields) = answer else {
        return Ok(());
    };
    if fields.is_empty() {
        return Ok(());
    }
    let index = u.choose_index(fields.len())?;
    match u.int_in_range(0..=5)? {
        0 => fields.rotate_left(index),
        1 => fields[0].1 = Json::Text((*u.choose(&VERSIONS)?).to_owned()),
        2 => {
            let version = Json::Text((*u.choose(&VERSIONS)?).to_owned());
            fields.insert(index, (Json::key(VERSION_KEY), version));
        }
        // The version inside another value.
        3 if index > 0 => {
            let version = fields.remove(0);
            let inner = &mut fields[index - 1].1;
            match inner {
                Json::Object(fields) => fields.push(version),
                other => *other = Json::Object(vec![version]),
            }
        }
        // All fields but the version inside another object.
        4 => {
            let inner = Json::Object(fields.split_off(1));
            let name = Json::key(u.choose(&["data", "response", "result"])?);
            fields.push((name, inner));
        }
        _ => fields.retain(|(key, _)| *key != Json::key(VERSION_KEY)),
    }
    Ok(())
}

fn corrupt_text(text: &mut Vec<u8>, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let at = if one_in(3, u)? {
        text.len()
    } else {
        u.int_in_range(0..=text.len())?
    };
    match u.int_in_range(0..=8)? {
        0 => text.extend(u.choose(&AROUND)?.as_bytes()),
        1 => {
            let before = u.choose(&AROUND)?.bytes();
            text.splice(0..0, before);
        }
        2 => text.truncate(at),
        3 => {
            text.splice(0..0, *b"[");
            text.push(b']');
        }
        4 => {
            // Invalid UTF-8 in any position.
            let broken: [&[u8]; 4] = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf0\x9f"];
            text.splice(at..at, u.choose(&broken)?.iter().copied());
        }
        5 => {
            text.insert(at, u.arbitrary()?);
        }
        6 => *text = u.choose(&VALUES)?.as_bytes().to_vec(),
        // The answer inside a JSON string.
        7 => *text = Json::key(&String::from_utf8_lossy(text)).into_bytes(),
        _ => {
            let length = u.int_in_range(0..=16usize)?.min(u.len());
            *text = u.bytes(length)?.to_vec();
        }
    }
    Ok(())
}
