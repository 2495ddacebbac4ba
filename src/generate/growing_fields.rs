//! Requests with one field that grows, to find the size at which a plugin fails and the cost on the
//! way there.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use super::list_items;
use super::read_back::takes_any_json;
use crate::case::tree;
use crate::wire::{ORDINARY_DEPTH, ORDINARY_INPUT_BYTES, Vocabulary, nesting};

/// What grows in a field, and the unit of its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrowthKind {
    /// Zeroes in base64; the size is in bytes before encoding.
    Bytes,
    /// The message of a user in a JSON body in base64; the size is in bytes of text.
    Text,
    /// The messages in a JSON body in base64; the size is their number.
    Messages,
    /// A page of HTML in base64, as proxies answer with; the size is in bytes of its text.
    Page,
    /// A list; the size is the number of items.
    Items,
    /// A JSON object; the size is the number of fields.
    Fields,
    /// Nested JSON; the size is the number of levels.
    Levels,
    /// A text that repeats this part; the size is the number of parts.
    Parts(&'static str),
}

/// The parts of growing texts. Splitting, matching or unescaping a text may take longest on one of
/// these.
const PARTS: [&str; 7] = ["a", "/", "/a", "a,", "%2f", "€", "\"\\"];

/// The part of growing texts in items, and of those in base64, where it is three letters. There are
/// many such texts, so only one part is tried for each.
const ITEM_PART: &str = "a";
const ITEM_PART_BASE64: &str = "YWFh";

impl GrowthKind {
    /// Returns the name of the unit of the size.
    pub(crate) fn unit(self) -> &'static str {
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

    /// Returns the largest size to try. For texts it is close to the largest input of a guest.
    pub(crate) fn most(self) -> u64 {
        match self {
            Self::Bytes | Self::Text | Self::Page | Self::Parts(_) => 750_000,
            Self::Messages | Self::Items | Self::Fields => 16_384,
            Self::Levels => 500,
        }
    }

    /// Returns the smallest size that a campaign tries, and the ratio of the largest size to the
    /// largest ordinary one. Failing beyond that is a limit, not a fault of the plugin, but how the
    /// cost grows up to it may be one.
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

/// Returns the size of a request relative to an ordinary one: above 1 it is not ordinary. The
/// version that the guest gets is included.
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
pub(crate) struct GrowingField {
    /// The path of the field, as a JSON pointer.
    pub(crate) path: String,
    pub(crate) growth: GrowthKind,
    /// The items that a list repeats in turn.
    items: Vec<Value>,
    /// The shortest item of each kind that the list may have.
    shortest: Vec<Value>,
    /// The paths of the texts in items that must not change.
    fixed: BTreeSet<String>,
    /// The path of the growing text in the only item of the list, as a JSON pointer; `None` if the
    /// field itself grows.
    inner: Option<String>,
}

impl GrowingField {
    /// Returns a field that is not a list.
    fn new(path: &str, growth: GrowthKind) -> Self {
        Self {
            path: path.to_owned(),
            growth,
            items: Vec::new(),
            shortest: Vec::new(),
            fixed: BTreeSet::new(),
            inner: None,
        }
    }

    /// Returns the fields of a function's request that can grow, sorted by path. Lists are made of
    /// items in the lists of other requests.
    pub(crate) fn all<R: Vocabulary>(sample: &Value, donors: &[Value]) -> Vec<Self> {
        // Skip items of lists: the list grows, and with it what can grow in an item.
        let mut paths = tree::paths(sample, |_| true);
        paths.retain(|path| !tree::is_in_a_list(path));
        paths.sort();
        let mut all = Vec::new();
        for path in paths {
            let growths: &[GrowthKind] = match sample.pointer(&path) {
                Some(Value::String(_)) if path.ends_with("base64") => &[
                    GrowthKind::Bytes,
                    GrowthKind::Text,
                    GrowthKind::Messages,
                    GrowthKind::Page,
                ],
                Some(Value::Array(_)) => {
                    all.extend(Self::of_list::<R>(sample, donors, &path));
                    &[]
                }
                Some(Value::Object(_) | Value::Null) if takes_any_json::<R>(sample, &path) => {
                    &[GrowthKind::Fields, GrowthKind::Levels]
                }
                _ => &[],
            };
            all.extend(growths.iter().map(|growth| Self::new(&path, *growth)));
        }
        all
    }

    /// Returns the list at this path, and the texts of its items.
    fn of_list<R: Vocabulary>(sample: &Value, donors: &[Value], path: &str) -> Vec<Self> {
        let items = list_items::of_every_kind(donors, path);
        let shortest = list_items::shortest_of_each_kind(donors, path);
        let texts = Self::of_items::<R>(sample, path, &items);
        let both = [&items[..], &shortest[..]].concat();
        let list = Self {
            fixed: list_items::fixed_texts::<R>(sample, path, &both),
            items,
            shortest,
            ..Self::new(path, GrowthKind::Items)
        };
        std::iter::once(list).chain(texts).collect()
    }

    /// Returns each text of these items that can grow, in a list of one item: code that scans a
    /// text repeatedly is as slow on one item as on many.
    fn of_items<R: Vocabulary>(sample: &Value, list: &str, items: &[Value]) -> Vec<Self> {
        let texts = list_items::texts(items).into_iter().map(|(item, path)| {
            let part = if path.ends_with("base64") {
                ITEM_PART_BASE64
            } else {
                ITEM_PART
            };
            Self {
                items: vec![item.clone()],
                inner: Some(path),
                ..Self::new(list, GrowthKind::Parts(part))
            }
        });
        let grows = |text: &Self| {
            let (least, _) = text.growth.ends();
            text.request::<R>(sample, least).is_some()
        };
        texts.filter(grows).collect()
    }

    /// Returns a growing text for each of the [`PARTS`].
    pub(crate) fn text(path: &str) -> impl Iterator<Item = Self> {
        PARTS
            .into_iter()
            .map(move |part| Self::new(path, GrowthKind::Parts(part)))
    }

    /// Returns whether a text grows, including one in an item.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.growth, GrowthKind::Parts(_))
    }

    /// Returns the path of a list and its items.
    pub(crate) fn list(&self) -> Option<(&str, &[Value])> {
        (self.growth == GrowthKind::Items).then_some((&self.path, &self.items))
    }

    /// Returns the field itself and lists of one item each: the shortest item of each kind, of
    /// which the most fit into a request, and one item of each kind if there are several kinds.
    pub(crate) fn and_of_one_kind(self) -> Vec<Self> {
        let of = |item: &Value| Self {
            items: vec![item.clone()],
            ..self.clone()
        };
        let mut kinds = list_items::of_each_kind(&self.items);
        if kinds.len() < 2 {
            kinds.clear();
        }
        let short = self.shortest.iter().filter(|item| !kinds.contains(item));
        let alone: Vec<Self> = short.chain(&kinds).map(of).collect();
        std::iter::once(self).chain(alone).collect()
    }

    /// Returns the request with the field at this size, or `None` if it does not deserialize.
    pub(crate) fn request<R: Vocabulary>(&self, sample: &Value, size: u64) -> Option<R> {
        let size = usize::try_from(size).ok()?;
        let body = |messages: Vec<Value>| {
            let body =
                json!({ "model": "claude-sonnet-4-5", "max_tokens": 1024, "messages": messages });
            Value::from(BASE64_STANDARD.encode(tree::text(&body)))
        };
        let message = |content: String| json!({ "role": "user", "content": content });
        let grown = match self.growth {
            GrowthKind::Bytes => json!({ "$repeat": ["A", size.div_ceil(3) * 4] }),
            GrowthKind::Text => body(vec![message("a".repeat(size))]),
            GrowthKind::Messages => body((0..size).map(|n| message(n.to_string())).collect()),
            GrowthKind::Page => {
                let page = format!("<html><body>{}</body></html>", "a".repeat(size));
                Value::from(BASE64_STANDARD.encode(page))
            }
            GrowthKind::Items if self.items.is_empty() => return None,
            GrowthKind::Items => {
                let items = self.items.iter().cycle().take(size);
                items
                    .enumerate()
                    .map(|(n, item)| list_items::numbered(item, n, &self.fixed))
                    .collect()
            }
            GrowthKind::Parts(part) => part.repeat(size).into(),
            GrowthKind::Fields => (0..size)
                .map(|n| (format!("field-{n}"), Value::from(n)))
                .collect(),
            GrowthKind::Levels => {
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

    /// Returns the grown value as it is in the request: for a text in an item, a list of that item.
    fn in_its_item(&self, grown: Value) -> Value {
        let (Some(path), Some(item)) = (&self.inner, self.items.first()) else {
            return grown;
        };
        let mut item = item.clone();
        tree::replace(&mut item, path, grown);
        Value::Array(vec![item])
    }

    /// Returns requests with sizes that double. One of them is the largest ordinary size, so that a
    /// limit which an ordinary request exceeds is found.
    pub(crate) fn doubling<R: Vocabulary>(&self, sample: &Value) -> Vec<R> {
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

    /// Returns the largest size at which the request is ordinary, or `least` if it is not even
    /// then. The search interpolates, because requests grow linearly.
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
    use crate::generate::learned_values::donors;
    use crate::wire::Request;

    /// Returns what can grow in the dry-run requests of all functions, each with its request.
    fn all() -> impl Iterator<Item = (Value, GrowingField)> {
        (0..Request::functions().len()).flat_map(|index| {
            let sample = serde_json::to_value(Request::dry_run(index)).expect("it serializes");
            let donors: Vec<_> = donors::<Request>(index).collect();
            let all = GrowingField::all::<Request>(&sample, &donors).into_iter();
            all.map(move |growing| (sample.clone(), growing))
        })
    }

    /// Returns the items of a list of this request, which must survive a round trip.
    fn items_of(request: &Request, path: &str) -> Vec<Value> {
        let json = serde_json::to_value(request).expect("it serializes");
        let items = json.pointer(path).and_then(Value::as_array).cloned();
        let back = serde_json::from_value::<Request>(json);
        assert!(back.is_ok_and(|back| back == *request), "{path}");
        items.expect("it is a list")
    }

    /// Asserts that the sizes of these requests begin small, double, and extend beyond the largest
    /// ordinary one.
    fn assert_doubles(growing: &GrowingField, requests: &[Request], sizes: &[u64]) {
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
                // Long texts are in compact form.
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
