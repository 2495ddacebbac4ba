//! What lists are made of: few items that together are of every kind.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde_json::Value;

use super::growth::Growing;
use crate::case::tree;
use crate::wire::Vocabulary;

/// The most items of a list.
const ITEMS_MAX: usize = 12;

/// The longest of them, in bytes of JSON.
const ITEM_BYTES_MAX: usize = 512;

/// A field, wherever in lists it is, and the type of what is in it.
type Kind = (String, &'static str);

/// Items that requests have in the list at this path. Together they have each field in each type, or as many
/// as that number of items can; the first have most.
pub(super) fn of_every_kind(donors: &[Value], path: &str) -> Vec<Value> {
    let mut items: Vec<(BTreeSet<Kind>, Value)> = Vec::new();
    for donor in donors {
        let Some(Value::Array(list)) = donor.pointer(path) else {
            continue;
        };
        let small = list.iter().filter(|item| is_small(item));
        items.extend(small.map(|item| (kinds(item), item.clone())));
    }
    // Of those with as many kinds, one that is neither short nor long.
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

/// One item of each set of fields, the first of these.
pub(super) fn of_each_kind(items: &[Value]) -> Vec<Value> {
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

/// Of the items that requests have in the list at this path the shortest of each set of fields; one without an empty text,
/// where there is any: of what is empty a plugin often makes nothing.
pub(super) fn shortest_of_each_kind(donors: &[Value], path: &str) -> Vec<Value> {
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

/// Whether it is short, and not only written as something short, such as a text that is repeated.
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
        let keys = path.split('/').map(|key| match key.parse::<usize>() {
            Ok(_) => "*",
            Err(_) => key,
        });
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "text",
            Value::Array(items) if items.is_empty() => "empty list",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        (keys.collect::<Vec<_>>().join("/"), kind)
    };
    tree::nodes(item).into_iter().map(of).collect()
}

/// The dry-run request with items of every kind in each of its lists, which are among what can grow; `None` where it has no
/// list, or no items are known. What a plugin keeps of a request, it often keeps of each item.
pub(super) fn with_longer_lists<R: Vocabulary>(sample: &Value, growing: &[Growing]) -> Option<R> {
    let mut longer = sample.clone();
    for (path, items) in growing.iter().filter_map(Growing::list) {
        tree::place(&mut longer, path, Value::Array(items.to_vec()));
    }
    (longer != *sample).then(|| serde_json::from_value(longer).ok())?
}
