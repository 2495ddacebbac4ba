//! Requests that grow in one field: for what is too large for a plugin, and for what it costs on the way there.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use super::items;
use super::values::takes_any_json;
use crate::case::tree;
use crate::oracle::{ORDINARY_DEPTH, ORDINARY_INPUT_BYTES};
use crate::wire::{Vocabulary, nesting};

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
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
    /// A text of many such parts.
    Parts(&'static str),
}

/// What texts are made of that grow: what is split there, matched or unescaped takes longest for such.
const PARTS: [&str; 7] = ["a", "/", "/a", "a,", "%2f", "€", "\"\\"];

/// What the texts of items are made of, and those in base64, which are letters too: there are many such texts, so that of
/// each one kind of part is tried.
const ITEM_PART: &str = "a";
const ITEM_PART_BASE64: &str = "YWFh";

impl Growth {
    /// What is counted.
    pub(super) fn unit(self) -> &'static str {
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
            Self::Bytes | Self::Text | Self::Page | Self::Parts(_) => 750_000,
            Self::Messages | Self::Items | Self::Fields => 16_384,
            Self::Levels => 500,
        }
    }

    /// The smallest size that a campaign tries, and how many times the largest ordinary one the largest is: beyond that a
    /// limit is none of the plugin's faults, but how the cost grows up to it may be.
    fn ends(self) -> (u64, u64) {
        match self {
            Self::Bytes | Self::Text | Self::Page => (512, 4),
            Self::Messages | Self::Items => (2, 4),
            Self::Fields => (16, 4),
            Self::Parts(_) => (512, 2),
            Self::Levels => (2, 2),
        }
    }
}

/// How large a request is, of what is ordinary: beyond 1 it is not. The guest gets a version beside it.
fn share_of_ordinary<R: Vocabulary>(request: &R) -> f64 {
    const VERSION_BYTES: usize = r#""_v":10,"#.len();
    let json = request.to_json().map(|json| json.to_string());
    let json = json.unwrap_or_default();
    let bytes = (json.len() + VERSION_BYTES) as f64 / ORDINARY_INPUT_BYTES as f64;
    let depth = nesting(json.as_bytes()) as f64 / ORDINARY_DEPTH as f64;
    bytes.max(depth)
}

/// A field that can grow.
#[derive(Clone, Debug)]
pub(super) struct Growing {
    /// The field, as a JSON pointer.
    pub(super) path: String,
    pub(super) growth: Growth,
    /// What a list is made of, in turns.
    items: Vec<Value>,
    /// The shortest item of each kind that the list may have.
    shortest: Vec<Value>,
    /// The texts of the items that have to stay as they are.
    fixed: BTreeSet<String>,
    /// Where in the only item of the list the text is that grows, as a JSON pointer; `None` where none of an item does.
    inner: Option<String>,
}

impl Growing {
    /// A field without what only lists have.
    fn of(path: &str, growth: Growth) -> Self {
        Self {
            path: path.to_owned(),
            growth,
            items: Vec::new(),
            shortest: Vec::new(),
            fixed: BTreeSet::new(),
            inner: None,
        }
    }

    /// Those of a function's request, in the order of their paths; lists are made of what is in lists of other requests.
    pub(super) fn all<R: Vocabulary>(sample: &Value, donors: &[Value]) -> Vec<Self> {
        // Of a list that grows, its items need not; what grows in one of them comes with the list.
        let mut paths = tree::paths(sample, |_| true);
        paths.retain(|path| !tree::is_in_a_list(path));
        paths.sort();
        let mut all = Vec::new();
        for path in paths {
            let growths: &[Growth] = match sample.pointer(&path) {
                Some(Value::String(_)) if path.ends_with("base64") => {
                    &[Growth::Bytes, Growth::Text, Growth::Messages, Growth::Page]
                }
                Some(Value::Array(_)) => {
                    all.extend(Self::of_list::<R>(sample, donors, &path));
                    &[]
                }
                Some(Value::Object(_) | Value::Null) if takes_any_json::<R>(sample, &path) => {
                    &[Growth::Fields, Growth::Levels]
                }
                _ => &[],
            };
            all.extend(growths.iter().map(|growth| Self::of(&path, *growth)));
        }
        all
    }

    /// A list, and the texts of its items.
    fn of_list<R: Vocabulary>(sample: &Value, donors: &[Value], path: &str) -> Vec<Self> {
        let items = items::of_every_kind(donors, path);
        let shortest = items::shortest_of_each_kind(donors, path);
        let texts = Self::of_items::<R>(sample, path, &items);
        let both = [&items[..], &shortest[..]].concat();
        let list = Self {
            fixed: items::fixed_texts::<R>(sample, path, &both),
            items,
            shortest,
            ..Self::of(path, Growth::Items)
        };
        std::iter::once(list).chain(texts).collect()
    }

    /// Each text of these items that can grow, in a list of one item: what goes over a text again and again is as slow in
    /// one as in many.
    fn of_items<R: Vocabulary>(sample: &Value, list: &str, items: &[Value]) -> Vec<Self> {
        let texts = items::texts(items).into_iter().map(|(item, path)| {
            let part = if path.ends_with("base64") {
                ITEM_PART_BASE64
            } else {
                ITEM_PART
            };
            Self {
                items: vec![item.clone()],
                inner: Some(path),
                ..Self::of(list, Growth::Parts(part))
            }
        });
        let grows = |text: &Self| {
            let (least, _) = text.growth.ends();
            text.request::<R>(sample, least).is_some()
        };
        texts.filter(grows).collect()
    }

    /// A text that grows, of each kind of part.
    pub(super) fn text(path: &str) -> impl Iterator<Item = Self> {
        PARTS
            .into_iter()
            .map(move |part| Self::of(path, Growth::Parts(part)))
    }

    /// Whether it is a text, of an item too.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.growth, Growth::Parts(_))
    }

    /// Where a list is, and what it is made of.
    pub(super) fn list(&self) -> Option<(&str, &[Value])> {
        (self.growth == Growth::Items).then_some((&self.path, &self.items))
    }

    /// It itself, and a list of the shortest item of each kind alone: of these there may be most. Where a list is made of
    /// several things, of each of them alone too.
    pub(super) fn and_of_one_kind(self) -> Vec<Self> {
        let of = |item: &Value| Self {
            items: vec![item.clone()],
            ..self.clone()
        };
        let mut kinds = items::of_each_kind(&self.items);
        if kinds.len() < 2 {
            kinds.clear();
        }
        let short = self.shortest.iter().filter(|item| !kinds.contains(item));
        let alone: Vec<Self> = short.chain(&kinds).map(of).collect();
        std::iter::once(self).chain(alone).collect()
    }

    /// The request with the field at this size.
    pub(super) fn request<R: Vocabulary>(&self, sample: &Value, size: u64) -> Option<R> {
        let size = usize::try_from(size).ok()?;
        let body = |messages: Vec<Value>| {
            let body =
                json!({ "model": "claude-sonnet-4-5", "max_tokens": 1024, "messages": messages });
            Value::from(BASE64_STANDARD.encode(tree::text(&body)))
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
                    .map(|(n, item)| items::numbered(item, n, &self.fixed))
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
        *root.pointer_mut(&self.path)? = self.in_its_item(grown);
        serde_json::from_value(root).ok()
    }

    /// What grew, as it is in the request: a list of one item, where it is a text of that.
    fn in_its_item(&self, grown: Value) -> Value {
        let (Some(path), Some(item)) = (&self.inner, self.items.first()) else {
            return grown;
        };
        let mut item = item.clone();
        tree::place(&mut item, path, grown);
        Value::Array(vec![item])
    }

    /// The request at sizes of which each is about twice the one before. One of them is the largest that is ordinary, so
    /// that a limit which an ordinary request meets is met.
    pub(super) fn doubling<R: Vocabulary>(&self, sample: &Value) -> Vec<R> {
        let (least, most) = self.growth.ends();
        let Some(ordinary) = self.largest_ordinary::<R>(sample, least) else {
            return Vec::new();
        };
        let halves = std::iter::successors(Some(ordinary), |size| Some(size / 2));
        let mut sizes: Vec<u64> = halves.take_while(|size| *size >= least).collect();
        sizes.reverse();
        let doubles = std::iter::successors(Some(2 * ordinary), |size| Some(2 * size));
        sizes.extend(doubles.take_while(|size| *size <= most * ordinary));
        let requests = sizes.into_iter().filter(|size| *size <= self.growth.most());
        requests
            .filter_map(|size| self.request(sample, size))
            .collect()
    }

    /// The largest size at which the request is an ordinary one; the least of all where it is not even then. Requests grow
    /// evenly, so that what lies between two sizes is told from them.
    fn largest_ordinary<R: Vocabulary>(&self, sample: &Value, least: u64) -> Option<u64> {
        let share = |size| Some(share_of_ordinary(&self.request::<R>(sample, size)?));
        let (mut last, mut beyond) = ((least, share(least)?), None);
        if last.1 > 1.0 {
            return Some(least);
        }
        loop {
            let next = match beyond {
                None => (2 * last.0).min(self.growth.most()),
                Some((size, of)) => {
                    let between = (1.0 - last.1) / (of - last.1) * (size - last.0) as f64;
                    (last.0 + between as u64).clamp(last.0 + 1, size - 1)
                }
            };
            let of = share(next)?;
            if of <= 1.0 {
                last = (next, of)
            } else {
                beyond = Some((next, of))
            }
            let end = beyond.map_or(self.growth.most() + 1, |(size, _)| size);
            if end - last.0 <= 1 {
                return Some(last.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::values::donors;
    use crate::wire::Request;

    /// What grows in the dry-run requests of all functions, each with that request.
    fn all() -> impl Iterator<Item = (Value, Growing)> {
        (0..Request::functions().len()).flat_map(|place| {
            let sample = serde_json::to_value(Request::dry_run(place)).expect("it serializes");
            let donors: Vec<_> = donors::<Request>(place).collect();
            let all = Growing::all::<Request>(&sample, &donors).into_iter();
            all.map(move |growing| (sample.clone(), growing))
        })
    }

    /// The items of a list of this request, which reads back.
    fn items_of(request: &Request, path: &str) -> Vec<Value> {
        let json = serde_json::to_value(request).expect("it serializes");
        let items = json.pointer(path).and_then(Value::as_array).cloned();
        let back = serde_json::from_value::<Request>(json);
        assert!(back.is_ok_and(|back| back == *request), "{path}");
        items.expect("it is a list")
    }

    /// Asserts that these requests, which are of these sizes, begin small, double, and go on as far as is tried.
    fn assert_doubles(growing: &Growing, requests: &[Request], sizes: &[u64]) {
        let (least, most) = growing.growth.ends();
        let is_beyond = |request: &&Request| share_of_ordinary(*request) > 1.0;
        let beyond = requests.iter().filter(is_beyond).count() as u64;
        assert_eq!(beyond, u64::from(most.ilog2()), "{growing:?} {sizes:?}");
        let begins = sizes.first().is_some_and(|first| *first < 2 * least);
        let doubles = sizes.windows(2).all(|pair| pair[1] / 2 == pair[0]);
        assert!(begins && doubles, "{growing:?} {sizes:?}");
    }

    #[test]
    fn every_list_of_every_function_doubles_beyond_what_is_ordinary_and_each_request_reads_back() {
        let mut lists = BTreeSet::new();
        for (sample, list) in all().filter(|(_, growing)| growing.list().is_some()) {
            lists.insert(list.path.clone());
            for growing in list.and_of_one_kind() {
                let requests = growing.doubling::<Request>(&sample);
                let items = |request: &Request| items_of(request, &growing.path).len() as u64;
                let sizes: Vec<u64> = requests.iter().map(items).collect();
                assert_doubles(&growing, &requests, &sizes);
            }
        }
        let expected = [
            "/filter_v3/candidates",
            "/filter_v3/headers",
            "/observe_v1/events",
            "/observe_v2/events",
            "/shape_v1/request/headers",
            "/shape_v2/request/headers",
            "/sign_v1/shaped/headers",
            "/sign_v2/shaped/headers",
        ];
        assert_eq!(lists, BTreeSet::from(expected.map(str::to_owned)));
    }

    #[test]
    fn every_list_of_every_function_can_be_as_long_as_any_that_is_tried() {
        for (sample, list) in all().filter(|(_, growing)| growing.list().is_some()) {
            let longest = list.request::<Request>(&sample, list.growth.most());
            assert!(longest.is_some(), "{}", list.path);
        }
    }

    #[test]
    fn every_text_of_an_item_doubles_in_a_list_of_one_item() {
        let mut texts = BTreeSet::new();
        for (sample, growing) in all() {
            let Some(inner) = &growing.inner else {
                continue;
            };
            texts.insert(format!("{}{inner}", growing.path));
            let requests = growing.doubling::<Request>(&sample);
            let parts = requests.iter().map(|request| {
                let items = items_of(request, &growing.path);
                assert_eq!(items.len(), 1, "{inner}");
                // Long texts are written in short.
                items[0].pointer(inner)?["$repeat"][1].as_u64()
            });
            let sizes: Option<Vec<u64>> = parts.collect();
            assert_doubles(&growing, &requests, &sizes.expect("it is a long text"));
        }
        for text in [
            "/filter_v3/candidates/name",
            "/observe_v1/events/error/message",
            "/observe_v2/events/request_started/downstream_user_agent",
            "/shape_v1/request/headers/name",
            "/sign_v2/shaped/headers/value_base64",
        ] {
            assert!(texts.contains(text), "{text}: {texts:?}");
        }
        assert!(!texts.contains("/observe_v1/events/upstream_chosen/upstream"));
    }
}
