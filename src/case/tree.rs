//! Requests and programs as trees of JSON: shrinking and mutation work on these, so that no request type
//! needs code of its own for either. A tree that does not read back is no candidate.

use std::ops::ControlFlow;

use arbitrary::Unstructured;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::shorten::shorten;
use crate::wire::{Json, Vocabulary};

/// Says whether a tree is accepted, or ends the search.
pub(crate) type Keep<'k> = &'k mut dyn FnMut(&Value) -> ControlFlow<(), bool>;

/// What becomes of a number that cannot be as in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// The least that will do.
    Least,
    /// Zero, or what it is: at the least that will do a measurement may come to this or that.
    AsTheyAre,
}

/// The fields of an object in the order of their names, whatever order the object keeps: in whose tree `serde_json` has
/// `preserve_order`, that is another one, and what is drawn or tried in it would be too.
pub(crate) fn fields(object: &Map<String, Value>) -> Vec<(&String, &Value)> {
    in_order(object)
}

/// See [`fields`], of an object in whatever order it comes.
fn in_order<'f>(
    fields: impl IntoIterator<Item = (&'f String, &'f Value)>,
) -> Vec<(&'f String, &'f Value)> {
    let mut fields: Vec<_> = fields.into_iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields
}

/// The text of a value, with fields in the order of their names.
pub(crate) fn text(value: &Value) -> String {
    sorted(value.clone()).to_string()
}

/// The value with fields in the order of their names.
pub(crate) fn sorted(mut value: Value) -> Value {
    value.sort_all_objects();
    value
}

/// Makes the tree smaller, towards `target`, as long as `keep` accepts the result. From the root down,
/// every node is replaced by its counterpart in the target, then by simpler values of its own.
pub(crate) fn shrink(root: &mut Value, target: &Value, numbers: Numbers, keep: Keep<'_>) {
    // An end of the search leaves what was accepted last.
    let _ = shrink_at(root, "", Some(target), numbers, keep);
}

fn shrink_at(
    root: &mut Value,
    path: &str,
    target: Option<&Value>,
    numbers: Numbers,
    keep: Keep<'_>,
) -> ControlFlow<()> {
    // Each accepted candidate is strictly simpler, so this ends.
    while let Some(node) = root.pointer(path).cloned() {
        if Some(&node) == target {
            return ControlFlow::Continue(());
        }
        let mut accepted = ControlFlow::Continue(false);
        for candidate in candidates(&node, target, numbers) {
            place(root, path, candidate);
            accepted = keep(root);
            if accepted != ControlFlow::Continue(false) {
                break;
            }
        }
        if accepted != ControlFlow::Continue(true) {
            place(root, path, node);
        }
        if !accepted? {
            break;
        }
    }
    if let Some(Value::String(text)) = root.pointer(path).cloned() {
        return shrink_text(root, path, &text, numbers, keep);
    }
    let children: Vec<String> = match root.pointer(path) {
        // From the back, so that removals do not move what is still to come.
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

/// Shortens the text at this path.
fn shrink_text(
    root: &mut Value,
    path: &str,
    text: &str,
    numbers: Numbers,
    keep: Keep<'_>,
) -> ControlFlow<()> {
    let mut best = Value::from(text);
    let ended = shorten(text, numbers, &mut |candidate| {
        place(root, path, candidate.into());
        let accepted = keep(root)?;
        if accepted {
            best = candidate.into();
        }
        ControlFlow::Continue(accepted)
    });
    place(root, path, best);
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
        // The escapes of JSON pointers, RFC 6901.
        path.push_str(&key.replace('~', "~0").replace('/', "~1"));
    } else {
        path.push_str(key);
    }
}

/// Puts a value where the path leads, if it leads anywhere.
pub(crate) fn place(root: &mut Value, path: &str, value: Value) {
    if let Some(node) = root.pointer_mut(path) {
        *node = value;
    }
}

/// Simpler values than this one, the boldest first.
fn candidates(value: &Value, target: Option<&Value>, numbers: Numbers) -> Vec<Value> {
    let mut simpler: Vec<Value> = target.cloned().into_iter().collect();
    match value {
        Value::Null => {}
        Value::Bool(_) => simpler.push(Value::Null),
        Value::Number(number) => {
            simpler.push(Value::Null);
            // Zero, then half of the way, then ever smaller steps: the number is found by halving.
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
            // What a field holds may do in place of the whole: an inner value, a repeated text's unit.
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

/// What is inside of JSON that is nested too deep to be written as it is: half of the levels in, and one.
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

/// Replaces one random subtree by its counterpart in `donor`.
pub(super) fn splice(
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
    place(root, &path, there.clone());
    Ok(())
}

/// Whether a path leads into a list.
pub(crate) fn is_in_a_list(path: &str) -> bool {
    path.split('/').any(|key| key.parse::<usize>().is_ok())
}

/// The paths of all values that are such, as JSON pointers.
pub(crate) fn paths(root: &Value, is: impl Fn(&Value) -> bool) -> Vec<String> {
    let nodes = nodes(root).into_iter().filter(|(_, value)| is(value));
    nodes.map(|(path, _)| path).collect()
}

/// All values, with their paths as JSON pointers. They take as much memory as the values times the length of their paths:
/// of what a plugin made, see [`visit`].
pub(crate) fn nodes(root: &Value) -> Vec<(String, &Value)> {
    let mut nodes = Vec::new();
    visit(root, &mut String::new(), &mut |path, value| {
        nodes.push((path.to_owned(), value));
    });
    nodes
}

/// Shows all values with their paths as JSON pointers, behind this one; of each object and list the last first.
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
            items.for_each(|(place, value)| inner(&place.to_string(), value));
        }
        _ => {}
    }
}

/// The fields of a request that are otherwise than in the dry-run sample, in order, with what they are; the field's name is
/// empty where the whole request is otherwise. Escapes are those of JSON pointers.
pub(crate) fn unlike_the_sample<R: Vocabulary>(request: &R) -> Vec<(String, Value)> {
    let sample = serde_json::to_value(R::dry_run(request.place())).unwrap_or_default();
    let request = serde_json::to_value(request).unwrap_or_default();
    let differences = differences(&sample, &request).into_iter().rev();
    differences
        .map(|(path, value)| {
            // The first part is the function's label once more.
            let field = path.splitn(3, '/').nth(2).unwrap_or_default();
            (field.to_owned(), value)
        })
        .collect()
}

fn has_same_names(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    one.len() == other.len() && one.keys().all(|name| other.contains_key(name))
}

/// The places in which a value differs from the sample, the last first and the deepest that both have, with what is there.
/// Lists are values of their own.
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
        /// Of the order of fields: what is drawn from them is held by the tests of cases, together with the package
        /// `preserve_order`.
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
