//! Requests and programs as trees of JSON: shrinking and mutation work on these, so that no request type
//! needs code of its own for either. A tree that does not read back is no candidate.

use std::ops::ControlFlow;

use arbitrary::Unstructured;
use serde::Deserialize as _;
use serde_json::Value;

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
        Some(Value::Object(fields)) => fields.keys().cloned().collect(),
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
    // The escapes of JSON pointers, RFC 6901.
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
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
        Value::Object(fields) => {
            simpler.push(Value::Null);
            simpler.extend(shallower(value));
            // What a field holds may do in place of the whole: an inner value, a repeated text's unit.
            simpler.extend(fields.values().cloned());
            simpler.extend(fields.keys().map(|key| {
                let mut fields = fields.clone();
                fields.remove(key);
                Value::Object(fields)
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
        Value::Object(fields) => fields.values().next().cloned(),
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
            Value::Object(fields) if !fields.is_empty() => {
                let keys: Vec<&String> = fields.keys().collect();
                (*u.choose(&keys)?).clone()
            }
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

/// All values, with their paths as JSON pointers.
pub(crate) fn nodes(root: &Value) -> Vec<(String, &Value)> {
    let mut nodes = Vec::new();
    let mut open = vec![(String::new(), root)];
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Object(fields) => {
                let inner = fields
                    .iter()
                    .map(|(key, inner)| (child_path(&path, key), inner));
                open.extend(inner);
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                open.extend(items.map(|(i, inner)| (child_path(&path, &i.to_string()), inner)));
            }
            _ => {}
        }
        nodes.push((path, value));
    }
    nodes
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

/// The places in which a value differs from the sample, the last first and the deepest that both have, with what is there.
/// Lists are values of their own.
pub(crate) fn differences(sample: &Value, value: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), sample, value)];
    while let Some((path, sample, value)) = open.pop() {
        match (sample, value) {
            (sample, value) if sample == value => {}
            (Value::Object(of_sample), Value::Object(fields))
                if !of_sample.is_empty() && of_sample.keys().eq(fields.keys()) =>
            {
                let inner = of_sample.iter().zip(fields.values());
                open.extend(
                    inner.map(|((key, sample), value)| (child_path(&path, key), sample, value)),
                );
            }
            (_, value) => found.push((path, value.clone())),
        }
    }
    found
}
