//! Requests that grow in one field: for what is too large for a plugin, and for what it costs on the way there.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use super::boundaries::donor;
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
    /// A list, in items.
    Items,
    /// An object of JSON, in fields.
    Fields,
    /// JSON, in levels.
    Levels,
}

impl Growth {
    /// What is counted.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Text => "bytes of text",
            Self::Messages => "messages",
            Self::Items => "items",
            Self::Fields => "fields",
            Self::Levels => "levels",
        }
    }

    /// The largest size that is tried; as a text near the largest input of a guest.
    pub(super) fn most(self) -> u64 {
        match self {
            Self::Bytes | Self::Text => 750_000,
            Self::Messages | Self::Items | Self::Fields => 16_384,
            Self::Levels => 500,
        }
    }

    /// The sizes at which the cost of a request shows how it grows: the last of them are large, but no attack. JSON is no
    /// deeper than an ordinary request's.
    fn sizes(self) -> Vec<u64> {
        let first = match self {
            // Five in an ordinary request, two in larger ones.
            Self::Bytes | Self::Text => 704,
            Self::Messages | Self::Items => 2,
            Self::Fields => 16,
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
    /// What a list is made of.
    item: Option<Value>,
}

impl Growing {
    /// Those of a function's request, in the order of their paths.
    pub(super) fn all<R: Vocabulary>(place: usize, sample: &Value) -> Vec<Self> {
        // Of a list that grows, its items need not.
        let in_a_list = |path: &str| path.split('/').any(|key| key.parse::<usize>().is_ok());
        let mut paths = tree::paths(sample, |_| true);
        paths.retain(|path| !in_a_list(path));
        paths.sort();
        let mut all = Vec::new();
        for path in paths {
            let growths: &[Growth] = match sample.pointer(&path) {
                Some(Value::String(_)) if path.ends_with("base64") => {
                    &[Growth::Bytes, Growth::Text, Growth::Messages]
                }
                Some(Value::Array(_)) => &[Growth::Items],
                Some(Value::Object(_) | Value::Null) if takes_any_field::<R>(sample, &path) => {
                    &[Growth::Fields, Growth::Levels]
                }
                _ => &[],
            };
            all.extend(growths.iter().map(|growth| Self {
                path: path.clone(),
                growth: *growth,
                item: match growth {
                    Growth::Items => item::<R>(place, &path),
                    _ => None,
                },
            }));
        }
        all
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
            Growth::Items => {
                let item = self.item.as_ref()?;
                Value::Array((0..size).map(|n| numbered(item, n)).collect())
            }
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

/// Whether the field is JSON of whoever sends it.
fn takes_any_field<R: Vocabulary>(sample: &Value, path: &str) -> bool {
    let mut root = sample.clone();
    tree::place(&mut root, path, json!({ "any": null }));
    serde_json::from_value::<R>(root).is_ok()
}

/// An item of the list at this path, from an arbitrary request that has one.
fn item<R: Vocabulary>(place: usize, path: &str) -> Option<Value> {
    (0..64).find_map(|nth| {
        let request = donor::<R>(place, nth)?;
        request.pointer(path)?.get(0).cloned()
    })
}

/// The item with a number in its first text, where there is one that is no base64: what a plugin looks for in a list is
/// seldom its first item.
fn numbered(item: &Value, number: usize) -> Value {
    let mut item = item.clone();
    let texts = tree::paths(&item, Value::is_string);
    let text = texts.iter().find(|path| !path.ends_with("base64"));
    if let Some(Value::String(text)) = text.and_then(|path| item.pointer_mut(path)) {
        *text += &format!("-{number}");
    }
    item
}

/// The dry-run request with some items in each of its lists, of several kinds where an item may be of several; `None`
/// where it has no list. What a plugin keeps of a request, it often keeps of each item.
pub(super) fn with_longer_lists<R: Vocabulary>(place: usize) -> Option<R> {
    const ITEMS: usize = 8;
    // In bytes.
    const ITEM_MAX: usize = 512;
    let sample = serde_json::to_value(R::dry_run(place)).ok()?;
    let all = Growing::all::<R>(place, &sample);
    let lists = all.iter().filter(|field| field.growth == Growth::Items);
    let mut longer = sample.clone();
    for list in lists {
        let requests = (0..64).filter_map(|nth| donor::<R>(place, nth));
        let items = requests.filter_map(|request| request.pointer(&list.path)?.get(0).cloned());
        let items = items.filter(|item| item.to_string().len() <= ITEM_MAX);
        let items = items.take(ITEMS).collect();
        tree::place(&mut longer, &list.path, Value::Array(items));
    }
    (longer != sample).then(|| serde_json::from_value(longer).ok())?
}
