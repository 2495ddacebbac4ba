//! JSON as text that may be wrong: a tree whose leaves and keys are written as they are, and what may be wrong at each place
//! of it, however deep.

use arbitrary::Unstructured;
use serde_json::Value;

/// JSON texts in the place of a value, sound or not.
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

/// Nesting depths around the limit of serde_json's parser, and around rounder ones.
const DEPTHS: [usize; 9] = [16, 32, 33, 64, 120, 126, 127, 128, 129];

/// How many items a list may get, and characters a text.
const COUNTS: [usize; 16] = [
    0, 1, 2, 3, 8, 15, 16, 17, 32, 33, 64, 65, 100, 101, 128, 257,
];

/// What may stand between the parts of a list or an object, and what may not.
const BETWEEN: [&str; 6] = [" ", "\n\t", ",", "/**/", "#", "\0"];

/// JSON, or nearly.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    /// Keys as texts, quotes and all, and their values.
    Object(Vec<(String, Json)>),
    List(Vec<Json>),
    /// What is written as it is.
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

    /// A key as it is written.
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
                for (place, (key, value)) in fields.iter().enumerate() {
                    if place > 0 {
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
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        text.push(',');
                    }
                    item.write_to(text);
                }
                text.push(']');
            }
            Self::Text(own) => text.push_str(own),
        }
    }

    /// Changes something at a place in it, however deep.
    pub(crate) fn corrupt(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        match u.choose_index(self.size())? {
            // As a whole it would be no more an answer.
            0 => self.corrupt_parts(u),
            mut place => match self.nth(&mut place) {
                Some(inner @ (Self::Object(_) | Self::List(_))) if u.arbitrary()? => {
                    inner.corrupt_parts(u)
                }
                Some(inner) => inner.corrupt_whole(u),
                None => Ok(()),
            },
        }
    }

    /// How many values it has, itself and those inside of others included.
    fn size(&self) -> usize {
        1 + match self {
            Self::Object(fields) => fields.iter().map(|(_, value)| value.size()).sum(),
            Self::List(items) => items.iter().map(Self::size).sum::<usize>(),
            Self::Text(_) => 0,
        }
    }

    /// The value of this place, counted as [`Json::size`] does; what is left of the number, where there is none.
    fn nth(&mut self, place: &mut usize) -> Option<&mut Self> {
        if *place == 0 {
            return Some(self);
        }
        *place -= 1;
        match self {
            Self::Object(fields) => {
                let mut values = fields.iter_mut();
                values.find_map(|(_, value)| value.nth(place))
            }
            Self::List(items) => items.iter_mut().find_map(|item| item.nth(place)),
            Self::Text(_) => None,
        }
    }

    /// Changes the parts of a list or an object: which there are, and how they are written.
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

    /// Writes something between the parts, wherever they begin or end.
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

    /// Puts something else in the place of a value, mostly something like it.
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
            // The same JSON within a text.
            4 => Self::Text(Self::key(&text)),
            5 => {
                let depth = *u.choose(&DEPTHS)?;
                Self::Text(format!("{}{}", "[".repeat(depth), "]".repeat(depth)))
            }
            // Some decoders take the fields of an object by their places.
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
    let place = u.choose_index(fields.len())?;
    match u.int_in_range(0..=6)? {
        0 => {
            fields.remove(place);
        }
        1 => {
            let again = fields[place].clone();
            fields.push(again);
        }
        // Twice, and not the same.
        2 => {
            let (key, mut value) = fields[place].clone();
            value.corrupt_whole(u)?;
            let at = if u.arbitrary()? { place } else { fields.len() };
            fields.insert(at, (key, value));
        }
        3 | 4 => fields.insert(place, extra(u)?),
        5 => fields[place].0 = other_key(&fields[place].0, u)?,
        _ => fields.rotate_left(place),
    }
    Ok(())
}

fn corrupt_items(items: &mut Vec<Json>, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    if items.is_empty() {
        items.push(Json::Text((*u.choose(&VALUES)?).to_owned()));
        return Ok(());
    }
    let place = u.choose_index(items.len())?;
    match u.int_in_range(0..=3)? {
        0 => {
            items.remove(place);
        }
        1 => items.insert(place, Json::Text((*u.choose(&VALUES)?).to_owned())),
        2 => items.rotate_left(place),
        // The same again and again, to a round number of items.
        _ => {
            let count = *u.choose(&COUNTS)?;
            let again = items[place].clone();
            // What is long takes fuel, not insight.
            if again.write().len() * count <= 1 << 14 {
                items.resize(count, again);
            }
        }
    }
    Ok(())
}

/// Another way to write a key, which no decoder may take for it.
fn other_key(key: &str, u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    let inner = key.trim_matches('"');
    let other = match u.int_in_range(0..=5)? {
        0 => inner.to_ascii_uppercase(),
        1 => inner.replace('_', "-"),
        2 => {
            let mut parts = inner.split('_');
            let mut camel = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                let mut chars = part.chars();
                camel.extend(chars.next().map(|c| c.to_ascii_uppercase()));
                camel += chars.as_str();
            }
            camel
        }
        3 => format!("{inner} "),
        // The same key, written otherwise.
        4 => {
            let mut escaped = inner.chars();
            let first = escaped.next().map(|c| format!("\\u{:04x}", u32::from(c)));
            first.unwrap_or_default() + escaped.as_str()
        }
        _ => {
            let mut longer = inner.to_owned();
            let more: char = u.arbitrary()?;
            longer.extend(more.escape_default().filter(|c| c.is_alphanumeric()));
            longer
        }
    };
    Ok(format!("\"{other}\""))
}

/// Another text, number or constant near this one.
fn other_text(text: &str, u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return Ok(match u.int_in_range(0..=3)? {
            0 => format!("\"{}\"", text.replace(['"', '\\'], "")),
            1 => format!("{text}.0"),
            2 => format!("-{text}"),
            _ => format!("{text}0"),
        });
    };
    let inner = match u.int_in_range(0..=8)? {
        0 => inner.to_ascii_uppercase(),
        1 => format!(" {inner} "),
        2 => format!("{inner}\\r\\n"),
        3 => format!("{inner}\\u0000{inner}"),
        4 => format!("\\ufeff{inner}\\u00e9"),
        5 => format!("{inner}="),
        6 => inner.replace('/', "\\/"),
        7 => inner.replace(['=', '+'], "-"),
        _ => {
            let count = *u.choose(&COUNTS)?;
            "a".repeat(count)
        }
    };
    Ok(format!("\"{inner}\""))
}

/// Never where the entropy has run out, unlike `Unstructured::ratio`.
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
