//! JSON text that may be malformed: a tree with leaves and keys as raw text, and corruptions of any
//! value in it.

use arbitrary::Unstructured;
use serde_json::Value;

/// JSON texts for a value, valid or not.
pub(crate) const VALUES: [&str; 33] = [
    "null",
    "true",
    "True",
    "None",
    "NULL",
    "0",
    "-0",
    "-0.0",
    "1.0",
    "1e2",
    "1e400",
    "9007199254740993",
    "18446744073709551616",
    "\"\"",
    "\"x\"",
    "\"1\"",
    "\"\\u0000\"",
    "\"\\u00e9\"",
    "\"\\ud83e\\udd80\"",
    "\"\\ud800\"",
    "\"\\x\"",
    "\"\\'\"",
    "\"\t\"",
    "\" a\\r\\nb \"",
    "[]",
    "[null]",
    "{}",
    "\"{\\\"a\\\":1}\"",
    "{\"name\":\"a\",\"value_base64\":\"\"}",
    "[{\"name\":\"A\",\"value_base64\":\"\"},{\"name\":\"a\",\"value_base64\":\"eA\"}]",
    "[{\"upstream_id\":\"a\",\"decision\":\"reject\",\"reason\":\"\\\"\\\\\"}]",
    "'x'",
    "NaN",
];

/// Nesting depths around the limit of `serde_json`, and around round numbers.
const DEPTHS: [usize; 9] = [16, 32, 33, 64, 120, 126, 127, 128, 129];

/// Numbers of items for a list, and of characters for a text.
const COUNTS: [usize; 16] = [
    0, 1, 2, 3, 8, 15, 16, 17, 32, 33, 64, 65, 100, 101, 128, 257,
];

/// Texts between the parts of a list or an object, valid or not.
const BETWEEN: [&str; 6] = [" ", "\n\t", ",", "/**/", "#", "\0"];

/// A JSON value whose text may be malformed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    /// Keys as raw text, with their quotes, and their values.
    Object(Vec<(String, Json)>),
    List(Vec<Json>),
    /// Raw text.
    Text(String),
}

impl Json {
    pub(crate) fn from_value(value: &Value) -> Self {
        match value {
            Value::Object(fields) => {
                let fields = fields.iter();
                Self::Object(
                    fields
                        .map(|(key, value)| (Self::key(key), Self::from_value(value)))
                        .collect(),
                )
            }
            Value::Array(items) => Self::List(items.iter().map(Self::from_value).collect()),
            leaf => Self::Text(leaf.to_string()),
        }
    }

    /// Returns a key as raw text.
    pub(crate) fn key(name: &str) -> String {
        Value::from(name).to_string()
    }

    pub(crate) fn write(&self) -> String {
        let mut text = String::new();
        self.write_to(&mut text);
        text
    }

    fn write_to(&self, text: &mut String) {
        match self {
            Self::Object(fields) => {
                text.push('{');
                for (index, (key, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    text.push_str(key);
                    text.push(':');
                    value.write_to(text);
                }
                text.push('}');
            }
            Self::List(items) => {
                text.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    item.write_to(text);
                }
                text.push(']');
            }
            Self::Text(own) => text.push_str(own),
        }
    }

    /// Corrupts a value at any depth.
    pub(crate) fn corrupt(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        match u.choose_index(self.size())? {
            // Replaced as a whole, it would not be an answer.
            0 => self.corrupt_parts(u),
            mut index => match self.nth(&mut index) {
                Some(inner @ (Self::Object(_) | Self::List(_))) if u.arbitrary()? => {
                    inner.corrupt_parts(u)
                }
                Some(inner) => inner.corrupt_whole(u),
                None => Ok(()),
            },
        }
    }

    /// Returns the number of values, itself and nested ones included.
    pub(super) fn size(&self) -> usize {
        1 + match self {
            Self::Object(fields) => fields.iter().map(|(_, value)| value.size()).sum(),
            Self::List(items) => items.iter().map(Self::size).sum::<usize>(),
            Self::Text(_) => 0,
        }
    }

    /// Returns the value at this index, counted as in [`Json::size`]. If there is none, `index` is
    /// reduced by the number of values.
    pub(super) fn nth(&mut self, index: &mut usize) -> Option<&mut Self> {
        if *index == 0 {
            return Some(self);
        }
        *index -= 1;
        match self {
            Self::Object(fields) => {
                let mut values = fields.iter_mut();
                values.find_map(|(_, value)| value.nth(index))
            }
            Self::List(items) => items.iter_mut().find_map(|item| item.nth(index)),
            Self::Text(_) => None,
        }
    }

    /// Changes the parts of a list or an object: adds, removes and moves them, or changes the text
    /// between them.
    fn corrupt_parts(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        match self {
            Self::Object(fields) => corrupt_fields(fields, u)?,
            Self::List(items) => corrupt_items(items, u)?,
            Self::Text(_) => return self.corrupt_whole(u),
        }
        if one_in(8, u)? {
            self.write_otherwise(u)?;
        }
        Ok(())
    }

    /// Inserts text between the parts.
    fn write_otherwise(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let mut text = self.write();
        let between = *u.choose(&BETWEEN)?;
        let at = match u.int_in_range(0..=2)? {
            0 => 1,
            1 => text.len() - 1,
            _ => text.find([',', ':']).map_or(1, |at| at + 1),
        };
        text.insert_str(at, between);
        *self = Self::Text(text);
        Ok(())
    }

    /// Replaces a value, in most cases with a similar one.
    fn corrupt_whole(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let text = self.write();
        *self = match u.int_in_range(0..=9)? {
            0 | 1 => Self::Text((*u.choose(&VALUES)?).to_owned()),
            9 => Self::Text(VALUES[0].to_owned()),
            2 => Self::List(vec![self.clone()]),
            3 => match self {
                Self::List(items) if !items.is_empty() => items[0].clone(),
                Self::Object(fields) if !fields.is_empty() => fields[0].1.clone(),
                _ => Self::Object(vec![(Self::key("a"), self.clone())]),
            },
            // The same JSON inside a string.
            4 => Self::Text(Self::key(&text)),
            5 => {
                let depth = *u.choose(&DEPTHS)?;
                Self::Text(format!("{}{}", "[".repeat(depth), "]".repeat(depth)))
            }
            // Some decoders read the fields of an object by position.
            6 => match std::mem::replace(self, Self::List(Vec::new())) {
                Self::Object(fields) => Self::List(fields.into_iter().map(|(_, f)| f).collect()),
                other => other,
            },
            _ => Self::Text(other_text(&text, u)?),
        };
        Ok(())
    }
}

fn corrupt_fields(
    fields: &mut Vec<(String, Json)>,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<()> {
    let extra = |u: &mut Unstructured<'_>| -> arbitrary::Result<_> {
        let value = Json::Text((*u.choose(&VALUES)?).to_owned());
        Ok((
            Json::key(u.choose(&["extra", "x-extra", "__proto__", ""])?),
            value,
        ))
    };
    if fields.is_empty() {
        fields.push(extra(u)?);
        return Ok(());
    }
    let index = u.choose_index(fields.len())?;
    match u.int_in_range(0..=6)? {
        0 => {
            fields.remove(index);
        }
        1 => {
            let again = fields[index].clone();
            fields.push(again);
        }
        // A duplicate key with another value.
        2 => {
            let (key, mut value) = fields[index].clone();
            value.corrupt_whole(u)?;
            let at = if u.arbitrary()? { index } else { fields.len() };
            fields.insert(at, (key, value));
        }
        3 | 4 => fields.insert(index, extra(u)?),
        5 => fields[index].0 = other_key(&fields[index].0, u)?,
        _ => fields.rotate_left(index),
    }
    Ok(())
}

fn corrupt_items(items: &mut Vec<Json>, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    if items.is_empty() {
        items.push(Json::Text((*u.choose(&VALUES)?).to_owned()));
        return Ok(());
    }
    let index = u.choose_index(items.len())?;
    match u.int_in_range(0..=3)? {
        0 => {
            items.remove(index);
        }
        1 => items.insert(index, Json::Text((*u.choose(&VALUES)?).to_owned())),
        2 => items.rotate_left(index),
        // One item repeated, to a round number of items.
        _ => {
            let count = *u.choose(&COUNTS)?;
            let again = items[index].clone();
            // Long texts only take fuel.
            if again.write().len() * count <= 1 << 14 {
                items.resize(count, again);
            }
        }
    }
    Ok(())
}

/// Keys similar to one, without quotes, and last the same key with an escape. A decoder must not take
/// the others for it.
pub(super) const OTHER_KEYS: [fn(&str) -> String; 5] = [
    |key| key.to_ascii_uppercase(),
    |key| key.replace('_', "-"),
    camel_case,
    |key| format!("{key} "),
    // The same key, escaped.
    |key| {
        let mut escaped = key.chars();
        let first = escaped.next().map(|c| format!("\\u{:04x}", u32::from(c)));
        first.unwrap_or_default() + escaped.as_str()
    },
];

fn camel_case(key: &str) -> String {
    let mut parts = key.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut chars = part.chars();
        camel.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        camel += chars.as_str();
    }
    camel
}

/// Texts similar to one in a string, all without quotes.
pub(super) const OTHER_TEXTS: [fn(&str) -> String; 8] = [
    |text| text.to_ascii_uppercase(),
    |text| format!(" {text} "),
    |text| format!("{text}\\r\\n"),
    |text| format!("{text}\\u0000{text}"),
    |text| format!("\\ufeff{text}\\u00e9"),
    |text| format!("{text}="),
    |text| text.replace('/', "\\/"),
    |text| text.replace(['=', '+'], "-"),
];

/// Returns a key similar to this one, or the same one with an escape.
fn other_key(key: &str, u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    let inner = key.trim_matches('"');
    let other = match OTHER_KEYS.get(u.int_in_range(0..=OTHER_KEYS.len())?) {
        Some(other) => other(inner),
        None => {
            let mut longer = inner.to_owned();
            let more: char = u.arbitrary()?;
            longer.extend(more.escape_default().filter(|c| c.is_alphanumeric()));
            longer
        }
    };
    Ok(format!("\"{other}\""))
}

/// Returns the text in a string, without its quotes.
pub(super) fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// Returns a text, number or constant similar to this one.
fn other_text(text: &str, u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    let Some(inner) = unquoted(text) else {
        return Ok(match u.int_in_range(0..=3)? {
            0 => format!("\"{}\"", text.replace(['"', '\\'], "")),
            1 => format!("{text}.0"),
            2 => format!("-{text}"),
            _ => format!("{text}0"),
        });
    };
    let inner = match OTHER_TEXTS.get(u.int_in_range(0..=OTHER_TEXTS.len())?) {
        Some(other) => other(inner),
        None => {
            let count = *u.choose(&COUNTS)?;
            "a".repeat(count)
        }
    };
    Ok(format!("\"{inner}\""))
}

/// Returns true about once in `n`. Unlike `Unstructured::ratio`, it returns false when the entropy
/// has run out.
pub(crate) fn one_in(n: u32, u: &mut Unstructured<'_>) -> arbitrary::Result<bool> {
    Ok(u.int_in_range(0..=n - 1)? == n - 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_spoiled_is_the_same_json() {
        let value = json!({"a": [1, -0.5, "x\n\"", null, {}], "b": {"c": [[]]}});
        let text = Json::from_value(&value).write();
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
    }
}
