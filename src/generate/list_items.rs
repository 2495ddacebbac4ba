//! The items of growing lists: a small set of items that covers all kinds.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde_json::Value;

use super::read_back::reads_back;
use crate::case::tree;
use crate::wire::Vocabulary;

/// The most items in a set.
const ITEMS_MAX: usize = 12;

/// The longest item, in bytes of JSON.
const ITEM_BYTES_MAX: usize = 512;

/// A number with as many digits as any that distinguishes the items of a list.
const LONG_NUMBER: usize = 99_999;

/// The path of a field, with list indices as `*`, and the type of its value.
type Kind = (String, &'static str);

/// Chooses items from the lists at this path in other requests. Together they have each field in
/// each type, as far as [`ITEMS_MAX`] items can. The first items cover the most.
pub(crate) fn of_every_kind(donors: &[Value], path: &str) -> Vec<Value> {
    let mut items: Vec<(BTreeSet<Kind>, Value)> = Vec::new();
    for donor in donors {
        let Some(Value::Array(list)) = donor.pointer(path) else {
            continue;
        };
        let small = list.iter().filter(|item| is_small(item));
        items.extend(small.map(|item| (kinds(item), item.clone())));
    }
    // Among items with as many kinds, prefer one of medium length.
    items.sort_by_cached_key(|(_, item)| item.to_string().len());
    let middle = items.len() / 2;
    let nearness = |at: usize| Reverse(at.abs_diff(middle));
    let mut chosen = Vec::new();
    while chosen.len() < ITEMS_MAX {
        let most = (0..items.len()).max_by_key(|at| (items[*at].0.len(), nearness(*at)));
        let Some(at) = most.filter(|at| !items[*at].0.is_empty()) else {
            break;
        };
        let new = std::mem::take(&mut items[at].0);
        for (kinds, _) in &mut items {
            kinds.retain(|kind| !new.contains(kind));
        }
        chosen.push(items[at].1.clone());
    }
    chosen
}

/// Returns the first item for each set of fields.
pub(crate) fn of_each_kind(items: &[Value]) -> Vec<Value> {
    let mut kinds: Vec<Value> = Vec::new();
    for item in items {
        if !kinds.iter().any(|kind| has_same_fields(kind, item)) {
            kinds.push(item.clone());
        }
    }
    kinds
}

fn has_same_fields(one: &Value, other: &Value) -> bool {
    let names = |item: &Value| {
        let fields = item.as_object().map(tree::fields);
        fields.map(|fields| {
            fields
                .into_iter()
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
        })
    };
    names(one) == names(other)
}

/// Returns the shortest item for each set of fields, chosen from the lists at this path. It prefers
/// items without an empty text, because plugins often skip empty values.
pub(crate) fn shortest_of_each_kind(donors: &[Value], path: &str) -> Vec<Value> {
    let lists = donors
        .iter()
        .filter_map(|donor| donor.pointer(path)?.as_array());
    let mut items: Vec<Value> = lists
        .flatten()
        .filter(|item| is_small(item))
        .cloned()
        .collect();
    let has_empty = |item: &Value| {
        let is_empty = |value: &Value| value.as_str().is_some_and(str::is_empty);
        !tree::paths(item, is_empty).is_empty()
    };
    items.sort_by_cached_key(|item| {
        let text = tree::text(item);
        (has_empty(item), text.len(), text)
    });
    of_each_kind(&items)
}

/// Returns whether an item is short in full, not only in the compact form of a repeated text.
fn is_small(item: &Value) -> bool {
    let is_short_for = |path: &String| {
        path.rsplit('/')
            .next()
            .is_some_and(|key| key.starts_with('$'))
    };
    item.to_string().len() <= ITEM_BYTES_MAX
        && !tree::paths(item, |_| true).iter().any(is_short_for)
}

fn kinds(item: &Value) -> BTreeSet<Kind> {
    let of = |(path, value): (String, &Value)| {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "text",
            Value::Array(items) if items.is_empty() => "empty list",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        (anywhere(&path), kind)
    };
    tree::nodes(item).into_iter().map(of).collect()
}

/// Returns the path of a field with list indices as `*`.
fn anywhere(path: &str) -> String {
    let keys = path.split('/').map(|key| match key.parse::<usize>() {
        Ok(_) => "*",
        Err(_) => key,
    });
    keys.collect::<Vec<_>>().join("/")
}

/// Returns the paths of the texts in items, each with the first item that has it. Texts that differ
/// only in a list index count as one.
pub(crate) fn texts(items: &[Value]) -> Vec<(&Value, String)> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for item in items {
        let mut texts = tree::paths(item, Value::is_string);
        // `paths` returns the last one first.
        texts.sort_unstable();
        texts.retain(|path| seen.insert(anywhere(path)));
        all.extend(texts.into_iter().map(|path| (item, path)));
    }
    all
}

/// Returns the paths of texts that must not change, such as the name of an upstream: with a number
/// appended, the request does not deserialize.
pub(crate) fn fixed_texts<R: Vocabulary>(
    sample: &Value,
    list: &str,
    items: &[Value],
) -> BTreeSet<String> {
    let mut fixed = BTreeSet::new();
    for item in items {
        let mut texts = tree::paths(item, Value::is_string);
        texts.retain(|path| {
            let mut item = item.clone();
            put_number(&mut item, path, LONG_NUMBER);
            !reads_back::<R>(sample, list, Value::Array(vec![item]))
        });
        fixed.extend(texts);
    }
    fixed
}

/// Appends a number to the names in an item, or to its first text if it has no name, because
/// plugins often look for an item that is not the first. Fixed texts do not change, so an item
/// without other texts is the same each time.
pub(crate) fn numbered(item: &Value, number: usize, fixed: &BTreeSet<String>) -> Value {
    let mut texts = tree::paths(item, Value::is_string);
    texts.retain(|path| !path.ends_with("base64") && !fixed.contains(path));
    let is_name = |path: &String| ["id", "name"].iter().any(|end| path.ends_with(end));
    if texts.iter().any(is_name) {
        texts.retain(is_name);
    } else {
        texts.truncate(1);
    }
    let mut item = item.clone();
    for path in texts {
        put_number(&mut item, &path, number);
    }
    item
}

/// Appends a number to the text at a path.
fn put_number(item: &mut Value, path: &str, number: usize) {
    if let Some(Value::String(text)) = item.pointer_mut(path) {
        *text += &format!("-{number}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::Request;

    #[test]
    fn an_item_has_a_number_where_it_reads_back_with_it_and_nowhere_else() {
        let sample = json!({ "observe_v1": { "events": [] } });
        let chunk = json!({ "chunk": { "batch_index": 0, "event_count": 0, "total_bytes": 0 } });
        let chosen = json!({ "upstream_chosen": { "upstream": "anthropic_direct" } });
        let error =
            |source: &str| json!({ "error": { "code": "a", "message": "b", "source": source } });
        let known =
            |id: &str| json!({ "authn_complete": { "principal_id": id, "principal_kind": "b" } });
        let items = [chunk.clone(), chosen.clone(), error("c"), known("a")];
        let fixed = fixed_texts::<Request>(&sample, "/observe_v1/events", &items);
        assert_eq!(
            fixed,
            BTreeSet::from(["/upstream_chosen/upstream".to_owned()])
        );
        let numbered = items.each_ref().map(|item| numbered(item, 7, &fixed));
        assert_eq!(numbered, [chunk, chosen, error("c-7"), known("a-7")]);
    }

    #[test]
    fn the_texts_of_items_are_told_once_wherever_in_lists_they_are() {
        let items = [
            json!({ "name": "a", "limits": [{ "kind": "b" }, { "kind": "c" }] }),
            json!({ "name": "d", "reason": "e" }),
        ];
        let texts = texts(&items);
        let of = |item: usize, path: &str| (&items[item], path.to_owned());
        assert_eq!(
            texts,
            [of(0, "/limits/0/kind"), of(0, "/name"), of(1, "/reason")]
        );
    }
}
