//! Requests and programs as trees of JSON. Shrinking and mutation work on them, so no request type
//! needs code for either. A tree that does not deserialize is not a candidate.

use std::ops::ControlFlow;

use arbitrary::Unstructured;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::shrink_text::{Numbers, shorten};
use crate::wire::{Json, Vocabulary};

/// A callback that returns whether a tree is accepted, or ends the search.
pub(crate) type Keep<'k> = &'k mut dyn FnMut(&Value) -> ControlFlow<(), bool>;

/// Returns the fields of an object sorted by name. If another crate in the build enables
/// `preserve_order` of `serde_json`, the object has another order, which must not change what is
/// drawn or tried.
pub(crate) fn fields(object: &Map<String, Value>) -> Vec<(&String, &Value)> {
    in_order(object)
}

/// Sorts fields by name; see [`fields`].
fn in_order<'f>(
    fields: impl IntoIterator<Item = (&'f String, &'f Value)>,
) -> Vec<(&'f String, &'f Value)> {
    let mut fields: Vec<_> = fields.into_iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields
}

/// Returns the JSON text of a value, with fields sorted by name.
pub(crate) fn text(value: &Value) -> String {
    sorted(value.clone()).to_string()
}

/// Returns the value with fields sorted by name.
pub(crate) fn sorted(mut value: Value) -> Value {
    value.sort_all_objects();
    value
}

/// Makes the tree smaller, towards `target`, as long as `keep` accepts the result. From the root
/// down, it replaces each node with its counterpart in the target, then with simpler values.
pub(crate) fn shrink(root: &mut Value, target: &Value, numbers: Numbers, keep: Keep<'_>) {
    // If the search ends early, the tree is the last accepted one.
    let _ = shrink_at(root, "", Some(target), numbers, keep);
}

fn shrink_at(
    root: &mut Value,
    path: &str,
    target: Option<&Value>,
    numbers: Numbers,
    keep: Keep<'_>,
) -> ControlFlow<()> {
    // Terminates, because each accepted candidate is strictly simpler.
    while let Some(node) = root.pointer(path).cloned() {
        if Some(&node) == target {
            return ControlFlow::Continue(());
        }
        let mut accepted = ControlFlow::Continue(false);
        for candidate in candidates(&node, target, numbers) {
            replace(root, path, candidate);
            accepted = keep(root);
            if accepted != ControlFlow::Continue(false) {
                break;
            }
        }
        if accepted != ControlFlow::Continue(true) {
            replace(root, path, node);
        }
        if !accepted? {
            break;
        }
    }
    if let Some(Value::String(text)) = root.pointer(path).cloned() {
        return shrink_text(root, path, &text, numbers, keep);
    }
    let children: Vec<String> = match root.pointer(path) {
        // From the back, so that a removal does not move the items that follow.
        Some(Value::Array(items)) => (0..items.len()).rev().map(|i| i.to_string()).collect(),
        Some(Value::Object(object)) => fields(object)
            .into_iter()
            .map(|(key, _)| key.clone())
            .collect(),
        _ => Vec::new(),
    };
    for key in children {
        let child_target = target.and_then(|target| match target {
            Value::Object(fields) => fields.get(&key),
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            _ => None,
        });
        shrink_at(root, &child_path(path, &key), child_target, numbers, keep)?;
    }
    ControlFlow::Continue(())
}

/// Shortens the text at a path.
fn shrink_text(
    root: &mut Value,
    path: &str,
    text: &str,
    numbers: Numbers,
    keep: Keep<'_>,
) -> ControlFlow<()> {
    let mut best = Value::from(text);
    let ended = shorten(text, numbers, &mut |candidate| {
        replace(root, path, candidate.into());
        let accepted = keep(root)?;
        if accepted {
            best = candidate.into();
        }
        ControlFlow::Continue(accepted)
    });
    replace(root, path, best);
    ended
}

fn child_path(path: &str, key: &str) -> String {
    let mut child = path.to_owned();
    push_key(&mut child, key);
    child
}

fn push_key(path: &mut String, key: &str) {
    path.push('/');
    if key.contains(['~', '/']) {
        // Escaped as in JSON pointers (RFC 6901).
        path.push_str(&key.replace('~', "~0").replace('/', "~1"));
    } else {
        path.push_str(key);
    }
}

/// Replaces the value at a path, if the path exists.
pub(crate) fn replace(root: &mut Value, path: &str, value: Value) {
    if let Some(node) = root.pointer_mut(path) {
        *node = value;
    }
}

/// Returns simpler values than this one, the simplest first.
fn candidates(value: &Value, target: Option<&Value>, numbers: Numbers) -> Vec<Value> {
    let mut simpler: Vec<Value> = target.cloned().into_iter().collect();
    match value {
        Value::Null => {}
        Value::Bool(_) => simpler.push(Value::Null),
        Value::Number(number) => {
            simpler.push(Value::Null);
            // Zero, then half of the number, then ever smaller steps: a binary search.
            let halves = |n: u64| (0..64).map(move |by| n >> by).take_while(|step| *step > 0);
            if numbers == Numbers::AsTheyAre {
                simpler.push(Value::from(0));
            } else if let Some(n) = number.as_u64() {
                simpler.extend(halves(n).map(|step| Value::from(n - step)));
            } else if let Some(n) = number.as_i64() {
                let steps = halves(n.unsigned_abs());
                simpler.extend(steps.map(|step| Value::from(n.wrapping_add_unsigned(step))));
            } else {
                simpler.push(Value::from(0));
            }
        }
        // See `shrink_text`.
        Value::String(_) => simpler.push(Value::Null),
        Value::Array(items) => {
            simpler.push(Value::Null);
            let mut chunk = items.len();
            while chunk > 0 {
                for start in (0..items.len()).step_by(chunk) {
                    let end = (start + chunk).min(items.len());
                    simpler.push([&items[..start], &items[end..]].concat().into());
                }
                chunk /= 2;
            }
        }
        Value::Object(object) => {
            simpler.push(Value::Null);
            simpler.extend(shallower(value));
            let fields = fields(object);
            // The value of a field may replace the object: an inner value, or the unit of a
            // repeated text.
            simpler.extend(fields.iter().map(|(_, inner)| (*inner).clone()));
            simpler.extend(fields.iter().map(|(key, _)| {
                let mut others = object.clone();
                others.remove(*key);
                Value::Object(others)
            }));
        }
    }
    simpler.retain(|candidate| candidate != value);
    simpler
}

/// Returns inner values of JSON that is nested too deep to be written plainly: the one at half of
/// the depth, and the outermost one.
fn shallower(value: &Value) -> Vec<Value> {
    let Ok(Json(deep)) = Json::deserialize(value) else {
        return Vec::new();
    };
    if deep == *value {
        return Vec::new();
    }
    let inner = |deep: &Value| match deep {
        Value::Array(items) => items.first().cloned(),
        Value::Object(object) => fields(object).first().map(|(_, inner)| (*inner).clone()),
        _ => None,
    };
    let levels: Vec<Value> = std::iter::successors(Some(deep), inner).collect();
    let levels = [levels.get(levels.len() / 2), levels.get(1)];
    let write = |level: &Value| serde_json::to_value(Json(level.clone())).ok();
    levels.into_iter().flatten().filter_map(write).collect()
}

/// Replaces one random subtree with its counterpart in `donor`.
pub(crate) fn splice(
    root: &mut Value,
    donor: &Value,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<()> {
    let mut path = String::new();
    let (mut here, mut there) = (&*root, donor);
    while u.int_in_range(0..=3u8)? != 0 {
        let key = match here {
            Value::Object(object) if !object.is_empty() => u.choose(&fields(object))?.0.clone(),
            Value::Array(items) if !items.is_empty() => u.choose_index(items.len())?.to_string(),
            _ => break,
        };
        let step = child_path("", &key);
        let (Some(next), Some(other)) = (here.pointer(&step), there.pointer(&step)) else {
            break;
        };
        (here, there) = (next, other);
        path += &step;
    }
    replace(root, &path, there.clone());
    Ok(())
}

/// Returns whether a path leads through a list.
pub(crate) fn is_in_a_list(path: &str) -> bool {
    path.split('/').any(|key| key.parse::<usize>().is_ok())
}

/// Returns the paths of all values for which `is` holds, as JSON pointers.
pub(crate) fn paths(root: &Value, is: impl Fn(&Value) -> bool) -> Vec<String> {
    let nodes = nodes(root).into_iter().filter(|(_, value)| is(value));
    nodes.map(|(path, _)| path).collect()
}

/// Returns all values with their paths as JSON pointers. This takes memory for each path: use
/// [`visit`] for JSON from a plugin.
pub(crate) fn nodes(root: &Value) -> Vec<(String, &Value)> {
    let mut nodes = Vec::new();
    visit(root, &mut String::new(), &mut |path, value| {
        nodes.push((path.to_owned(), value));
    });
    nodes
}

/// Calls `show` with each value and its path as a JSON pointer that begins with `path`. The fields
/// of an object and the items of a list come in reverse.
pub(crate) fn visit<'v>(
    value: &'v Value,
    path: &mut String,
    show: &mut dyn FnMut(&str, &'v Value),
) {
    show(path, value);
    let mut inner = |key: &str, value: &'v Value| {
        let length = path.len();
        push_key(path, key);
        visit(value, path, show);
        path.truncate(length);
    };
    match value {
        Value::Object(object) => {
            let fields = fields(object).into_iter().rev();
            fields.for_each(|(key, value)| inner(key, value));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate().rev();
            items.for_each(|(index, value)| inner(&index.to_string(), value));
        }
        _ => {}
    }
}

/// Returns the fields of a request that differ from the dry-run sample, in order, with their
/// values. The field is a JSON pointer without its leading slash, and is empty if the whole request
/// differs.
pub(crate) fn unlike_the_sample<R: Vocabulary>(request: &R) -> Vec<(String, Value)> {
    let sample = serde_json::to_value(R::dry_run(request.function_index())).unwrap_or_default();
    let request = serde_json::to_value(request).unwrap_or_default();
    let differences = differences(&sample, &request).into_iter().rev();
    differences
        .map(|(path, value)| {
            // The first part is the function's label.
            let field = path.splitn(3, '/').nth(2).unwrap_or_default();
            (field.to_owned(), value)
        })
        .collect()
}

fn has_same_names(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    one.len() == other.len() && one.keys().all(|name| other.contains_key(name))
}

/// Returns the paths at which a value differs from the sample, with the values there: the deepest
/// path that both have, the last one first. A list is compared as a whole.
pub(crate) fn differences(sample: &Value, value: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), sample, value)];
    while let Some((path, sample, value)) = open.pop() {
        match (sample, value) {
            (sample, value) if sample == value => {}
            (Value::Object(of_sample), Value::Object(object))
                if !of_sample.is_empty() && has_same_names(of_sample, object) =>
            {
                let inner = fields(of_sample).into_iter().zip(fields(object));
                open.extend(
                    inner
                        .map(|((key, sample), (_, value))| (child_path(&path, key), sample, value)),
                );
            }
            (_, value) => found.push((path, value.clone())),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Checks the order of fields itself. The tests of cases, built with the package
        /// `preserve_order`, check what is drawn from them.
        #[test]
        fn fields_come_in_the_order_of_their_names_however_the_object_was_made(
            names in proptest::collection::hash_set(".{0,4}", 0..8)
        ) {
            let value = Value::Null;
            let shuffled = names.iter().map(|name| (name, &value));
            let ordered = in_order(shuffled);
            prop_assert!(ordered.is_sorted_by_key(|(name, _)| name.as_str()));
            prop_assert_eq!(ordered.len(), names.len());
        }
    }
}
