//! Requests that grow in one field: for what is too large for a plugin, and for what it costs on the way there.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use super::items;
use super::values::takes_any_json;
use crate::case::tree;
use crate::wire::Vocabulary;

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Zeroes in base64, in bytes before encoding.
    Bytes,
    /// The message of a user in a JSON body in base64, in bytes.
    Text,
    /// The messages in a JSON body in base64.
    Messages,
    /// A page of HTML in base64, as proxies answer with, in bytes of its text.
    Page,
    /// A list, in items.
    Items,
    /// An object of JSON, in fields.
    Fields,
    /// JSON, in levels.
    Levels,
    /// A text of many such parts, of an ordinary size: it is no limit that is looked for with it.
    Parts(&'static str),
}

/// What texts are made of that grow: what is split there, matched or unescaped takes longest for such.
const PARTS: [&str; 7] = ["a", "/", "/a", "a,", "%2f", "€", "\"\\"];

impl Growth {
    /// What is counted.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Text => "bytes of text",
            Self::Messages => "messages",
            Self::Page => "bytes of a page",
            Self::Items => "items",
            Self::Fields => "fields",
            Self::Levels => "levels",
            Self::Parts(_) => "parts",
        }
    }

    /// The largest size that is tried; as a text near the largest input of a guest.
    pub(super) fn most(self) -> u64 {
        match self {
            Self::Bytes | Self::Text | Self::Page => 750_000,
            Self::Messages | Self::Items | Self::Fields | Self::Parts(_) => 16_384,
            Self::Levels => 500,
        }
    }

    /// The sizes at which the cost of a request shows how it grows: the last of them are large, but no attack. JSON is no
    /// deeper than an ordinary request's.
    fn sizes(self) -> Vec<u64> {
        let first = match self {
            // Five in an ordinary request, two in larger ones.
            Self::Bytes | Self::Text | Self::Page => 704,
            Self::Messages | Self::Items => 2,
            Self::Fields => 16,
            Self::Parts(_) => 32,
            Self::Levels => return vec![4, 8, 16, 32, 60],
        };
        (0..7).map(|doubled| first << doubled).collect()
    }
}

/// A field that can grow.
#[derive(Clone, Debug)]
pub(super) struct Growing {
    /// The field, as a JSON pointer.
    pub(super) path: String,
    pub(super) growth: Growth,
    /// What a list is made of, in turns.
    items: Vec<Value>,
}

impl Growing {
    /// Those of a function's request, in the order of their paths; lists are made of what is in lists of other requests.
    pub(super) fn all<R: Vocabulary>(sample: &Value, donors: &[Value]) -> Vec<Self> {
        // Of a list that grows, its items need not.
        let mut paths = tree::paths(sample, |_| true);
        paths.retain(|path| !tree::is_in_a_list(path));
        paths.sort();
        let mut all = Vec::new();
        for path in paths {
            let growths: &[Growth] = match sample.pointer(&path) {
                Some(Value::String(_)) if path.ends_with("base64") => {
                    &[Growth::Bytes, Growth::Text, Growth::Messages, Growth::Page]
                }
                Some(Value::Array(_)) => &[Growth::Items],
                Some(Value::Object(_) | Value::Null) if takes_any_json::<R>(sample, &path) => {
                    &[Growth::Fields, Growth::Levels]
                }
                _ => &[],
            };
            all.extend(growths.iter().map(|growth| Self {
                path: path.clone(),
                growth: *growth,
                items: match growth {
                    Growth::Items => items::of_every_kind(donors, &path),
                    _ => Vec::new(),
                },
            }));
        }
        all
    }

    /// A text that grows, of each kind of part.
    pub(super) fn text(path: &str) -> impl Iterator<Item = Self> {
        PARTS.into_iter().map(|part| Self {
            path: path.to_owned(),
            growth: Growth::Parts(part),
            items: Vec::new(),
        })
    }

    /// Whether it is a text.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.growth, Growth::Parts(_))
    }

    /// Where a list is, and what it is made of.
    pub(super) fn list(&self) -> Option<(&str, &[Value])> {
        (self.growth == Growth::Items).then_some((&self.path, &self.items))
    }

    /// It itself, and where a list is made of several things, a list of each of these alone.
    pub(super) fn and_of_one_kind(self) -> Vec<Self> {
        let keys = |item: &Value| {
            item.as_object()
                .map(|fields| fields.keys().cloned().collect())
        };
        let mut seen: Vec<Option<Vec<String>>> = Vec::new();
        let mut kinds = Vec::new();
        for item in &self.items {
            if !seen.contains(&keys(item)) {
                seen.push(keys(item));
                kinds.push(Self {
                    items: vec![item.clone()],
                    ..self.clone()
                });
            }
        }
        if kinds.len() < 2 {
            kinds.clear();
        }
        kinds.insert(0, self);
        kinds
    }

    /// The request with the field at this size.
    pub(super) fn request<R: Vocabulary>(&self, sample: &Value, size: u64) -> Option<R> {
        let size = usize::try_from(size).ok()?;
        let body = |messages: Vec<Value>| {
            let body =
                json!({ "model": "claude-sonnet-4-5", "max_tokens": 1024, "messages": messages });
            Value::from(BASE64_STANDARD.encode(body.to_string()))
        };
        let message = |content: String| json!({ "role": "user", "content": content });
        let grown = match self.growth {
            Growth::Bytes => json!({ "$repeat": ["A", size.div_ceil(3) * 4] }),
            Growth::Text => body(vec![message("a".repeat(size))]),
            Growth::Messages => body((0..size).map(|n| message(n.to_string())).collect()),
            Growth::Page => {
                let page = format!("<html><body>{}</body></html>", "a".repeat(size));
                Value::from(BASE64_STANDARD.encode(page))
            }
            Growth::Items if self.items.is_empty() => return None,
            Growth::Items => {
                let items = self.items.iter().cycle().take(size);
                items
                    .enumerate()
                    .map(|(n, item)| numbered(item, n))
                    .collect()
            }
            Growth::Parts(part) => part.repeat(size).into(),
            Growth::Fields => (0..size)
                .map(|n| (format!("field-{n}"), Value::from(n)))
                .collect(),
            Growth::Levels => {
                let inner = size.saturating_sub(1);
                let inner = match inner {
                    0 => "0".to_owned(),
                    _ => "[".repeat(inner) + &"]".repeat(inner),
                };
                json!({ "$json": format!("{{\"a\":{inner}}}") })
            }
        };
        let mut root = sample.clone();
        *root.pointer_mut(&self.path)? = grown;
        serde_json::from_value(root).ok()
    }

    /// The request at sizes of which each is about twice the one before.
    pub(super) fn doubling<R: Vocabulary>(&self, sample: &Value) -> Vec<R> {
        let sizes = self.growth.sizes().into_iter();
        sizes
            .filter_map(|size| self.request(sample, size))
            .collect()
    }
}

/// The item with a number in what it is called, or in its first text where nothing is a name: what a plugin looks for in
/// a list is seldom its first item.
fn numbered(item: &Value, number: usize) -> Value {
    let mut item = item.clone();
    let mut texts = tree::paths(&item, Value::is_string);
    texts.retain(|path| !path.ends_with("base64"));
    let is_name = |path: &String| ["id", "name"].iter().any(|end| path.ends_with(end));
    if texts.iter().any(is_name) {
        texts.retain(is_name);
    } else {
        texts.truncate(1);
    }
    for path in texts {
        if let Some(Value::String(text)) = item.pointer_mut(&path) {
            *text += &format!("-{number}");
        }
    }
    item
}
