//! Answers that are almost sound: the function's dry-run response, written as text and then spoiled in
//! the ways in which guests and decoders get it wrong.

use arbitrary::Unstructured;
use serde_json::Value;

use crate::wire::{Function, VERSION_KEY};

/// JSON texts in the place of the version. The first is the negotiated one of all published functions.
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

/// JSON texts in the place of a field's value.
const VALUES: [&str; 20] = [
    "null",
    "true",
    "0",
    "-0",
    "1e400",
    "9007199254740993",
    "\"\"",
    "\"x\"",
    "\"\\u0000\"",
    "\"\\ud83e\\udd80\"",
    "\"\\ud800\"",
    "\"\\x\"",
    "\"\t\"",
    "[]",
    "[null]",
    "{}",
    "{\"name\":\"a\",\"value_base64\":\"\"}",
    "[{\"name\":\"a\",\"value_base64\":\"\"}]",
    "[{\"upstream_id\":\"a\",\"decision\":\"reject\",\"reason\":\"\\\"\\\\\"}]",
    "NaN",
];

/// Texts before or behind the object.
const AROUND: [&str; 9] = [" ", "\n\r\t ", "\0", "x", "{}", ",", "\u{feff}", "//", "]"];

/// Nesting depths around the limit of serde_json's parser.
const DEPTHS: [usize; 5] = [120, 126, 127, 128, 129];

/// An object as text: each key with the text of its value.
type Fields = Vec<(String, String)>;

/// The function's dry-run response with the version `1` in front.
fn sound(function: &Function) -> Fields {
    let mut fields = vec![(VERSION_KEY.to_owned(), VERSIONS[0].to_owned())];
    if let Ok(mut response) = function.dry_run_response() {
        // The same in whose tree objects keep another order.
        response.sort_all_objects();
        let response = response.as_object().cloned().unwrap_or_default();
        fields.extend(
            response
                .into_iter()
                .map(|(key, value)| (key, value.to_string())),
        );
    }
    fields
}

fn write(fields: &Fields) -> String {
    let fields = fields.iter();
    let fields: Vec<_> = fields
        .map(|(key, value)| format!("{}:{value}", Value::from(key.as_str())))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// The parts of an answer around the place of a string that the function's response may hold, and `None`
/// where it has no such place.
pub(super) fn around_a_string(function: &Function) -> Option<(String, String)> {
    const PROBE: &str = "\"cc-lb-fuzz-probe\"";
    let fields = sound(function);
    (1..fields.len()).find_map(|place| {
        let mut fields = fields.clone();
        fields[place].1 = PROBE.to_owned();
        let text = write(&fields);
        let mut object: serde_json::Map<String, Value> = serde_json::from_str(&text).ok()?;
        object.remove(VERSION_KEY);
        function.decode(object).ok()?;
        let (before, behind) = text.split_once(PROBE)?;
        Some((format!("{before}\""), format!("\"{behind}")))
    })
}

/// An answer of the function: sound in about a third of the cases.
pub(super) fn arbitrary(
    function: &Function,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<Vec<u8>> {
    let mut fields = sound(function);
    for _ in 0..u.int_in_range(0..=2)? {
        spoil_fields(&mut fields, u)?;
    }
    let mut text = write(&fields).into_bytes();
    if u.ratio(1, 4)? {
        spoil_text(&mut text, u)?;
    }
    Ok(text)
}

fn spoil_fields(fields: &mut Fields, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    if fields.is_empty() {
        return Ok(());
    }
    let place = u.choose_index(fields.len())?;
    match u.int_in_range(0..=8)? {
        // Wherever the version stands, and whichever of two counts.
        0 => fields.rotate_left(place),
        1 => fields[0].1 = (*u.choose(&VERSIONS)?).to_owned(),
        2 => {
            let version = (*u.choose(&VERSIONS)?).to_owned();
            fields.insert(place, (VERSION_KEY.to_owned(), version));
        }
        3 => {
            fields.remove(place);
        }
        4 => fields[place].1 = (*u.choose(&VALUES)?).to_owned(),
        5 => {
            let again = fields[place].clone();
            fields.push(again);
        }
        6 => fields.insert(
            place,
            ("extra".to_owned(), (*u.choose(&VALUES)?).to_owned()),
        ),
        7 => fields[place].0.push(u.arbitrary()?),
        _ => {
            let depth = *u.choose(&DEPTHS)?;
            fields[place].1 = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        }
    }
    Ok(())
}

fn spoil_text(text: &mut Vec<u8>, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let at = u.int_in_range(0..=text.len())?;
    match u.int_in_range(0..=7)? {
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
            // No UTF-8, wherever it is put.
            let broken: [&[u8]; 4] = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf0\x9f"];
            text.splice(at..at, u.choose(&broken)?.iter().copied());
        }
        5 => {
            text.insert(at, u.arbitrary()?);
        }
        6 => *text = u.choose(&VALUES)?.as_bytes().to_vec(),
        _ => {
            let length = u.int_in_range(0..=16usize)?.min(u.len());
            *text = u.bytes(length)?.to_vec();
        }
    }
    Ok(())
}
