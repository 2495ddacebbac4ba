//! The fields of a function's request, and what each may be.

use std::collections::{BTreeMap, HashSet};

use arbitrary::Unstructured;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::growth::Growing;
use super::items::{of_every_kind, with_longer_lists};
use crate::case::{NO_WORDS, is_body, near_bodies, one_change_away, tree, usual_body};
use crate::wire::Vocabulary;

/// So many arbitrary requests of a function.
const DONORS: u64 = 384;

/// So many values of each field are learned from them, at most.
const VALUES_MAX: usize = 64;

/// So many states that a plugin hands out are soaked.
const STATES_MAX: usize = 2;

/// So many items are in each list of a request that is filled.
const FILLED_ITEMS: usize = 3;

/// So many variants of each object that a plugin hands out are values of a field that takes any.
const VARIANTS_MAX: usize = 128;

/// What is learned of a function from arbitrary requests.
pub(super) struct Learned<R> {
    pub(super) place: usize,
    pub(super) donors: Vec<Value>,
    /// What can grow in its dry-run request.
    pub(super) growing: Vec<Growing>,
    /// See [`with_longer_lists`].
    pub(super) longer: Option<R>,
    /// See [`filled_with`]; once more with each state that the plugin hands out.
    pub(super) filled: Vec<R>,
}

impl<R: Vocabulary> Learned<R> {
    /// `objects` is what the plugin hands out.
    pub(super) fn of(place: usize, objects: &[Value]) -> Self {
        let donors: Vec<_> = donors::<R>(place).collect();
        let sample = serde_json::to_value(R::dry_run(place)).unwrap_or_default();
        let growing = Growing::all::<R>(&sample, &donors);
        let states = objects.iter().take(STATES_MAX).map(Some);
        let filled = std::iter::once(None).chain(states);
        let filled = filled.filter_map(|state| filled_with(place, &donors, state));
        let mut filled: Vec<R> = filled.collect();
        filled.dedup();
        Self {
            place,
            filled,
            longer: with_longer_lists(&sample, &growing),
            growing,
            donors,
        }
    }
}

/// A request of a function, and its fields.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) place: usize,
    pub(super) sample: Value,
    /// The same with a usual body, where it has one.
    pub(super) usual: Value,
    pub(super) fields: Vec<Field>,
    /// Whether these are the fields of items of lists. There are many.
    pub(super) is_of_items: bool,
}

/// A field and the values that it may have.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) path: String,
    pub(super) values: Vec<Value>,
    /// Whether any text may be in it, or any bytes in base64.
    pub(super) takes_words: bool,
    /// Whether any JSON may be in it.
    pub(super) takes_any_json: bool,
}

impl Field {
    /// In how many ways a word may be in the field.
    pub(super) fn ways(&self) -> usize {
        usize::from(self.takes_words) + usize::from(self.takes_any_json) * (1 + NO_WORDS.len())
    }

    /// A word as it may be in the field, in one of these ways: as a text, or as the name of a field of JSON that is a text
    /// or something else.
    pub(super) fn word(&self, word: &str, way: usize) -> Value {
        match way.checked_sub(usize::from(self.takes_words)) {
            None if self.path.ends_with("base64") => BASE64_STANDARD.encode(word).into(),
            None => word.into(),
            Some(0) => json!({ word: "a" }),
            Some(other) => json!({ word: NO_WORDS[other - 1] }),
        }
    }

    /// Whether it is a number, a text or the like in the sample: no part that grows.
    pub(super) fn is_small(&self, sample: &Value) -> bool {
        let grows = |value: &Value| value.is_array() || value.is_object();
        !is_body(&self.path) && !sample.pointer(&self.path).is_none_or(grows)
    }
}

impl Function {
    /// The fields of the dry-run request, with what they are in arbitrary ones; a field that takes any JSON is one of these
    /// objects too, and what is near to it.
    pub(super) fn of<R: Vocabulary>(learned: &Learned<R>, objects: &[Value]) -> Option<Self> {
        let place = learned.place;
        let sample = serde_json::to_value(R::dry_run(place)).ok()?;
        let mut fields: Vec<Field> = Vec::new();
        let mut seen = HashSet::new();
        for donor in &learned.donors {
            for (path, value) in tree::differences(&sample, donor) {
                if !seen.insert((path.clone(), tree::text(&value)))
                    || !reads_back::<R>(&sample, &path, value.clone())
                {
                    continue;
                }
                match fields.iter_mut().find(|field| field.path == path) {
                    Some(field) if field.values.len() < VALUES_MAX => field.values.push(value),
                    Some(_) => {}
                    None => fields.push(Field {
                        takes_words: takes_words::<R>(&sample, &path),
                        takes_any_json: takes_any_json::<R>(&sample, &path),
                        path,
                        values: vec![value],
                    }),
                }
            }
        }
        for field in &mut fields {
            if is_body(&field.path) {
                let bodies = near_bodies().iter().cloned();
                field.values.extend(bodies.map(Value::from));
            }
            if field.takes_any_json {
                let near = objects.iter().flat_map(|object| {
                    let changed = one_change_away(object).into_iter().take(VARIANTS_MAX);
                    std::iter::once(object.clone()).chain(changed)
                });
                let near =
                    near.filter(|value| reads_back::<R>(&sample, &field.path, value.clone()));
                field.values.extend(near);
            }
        }
        let mut usual = sample.clone();
        for field in fields.iter().filter(|field| is_body(&field.path)) {
            tree::place(&mut usual, &field.path, usual_body().into());
        }
        Some(Self {
            place,
            sample,
            usual,
            fields,
            is_of_items: false,
        })
    }

    /// The fields of what its lists are made of, each at its edges.
    pub(super) fn of_items<R: Vocabulary>(learned: &Learned<R>) -> Option<Self> {
        let sample = serde_json::to_value(learned.longer.as_ref()?).ok()?;
        let is_leaf = |value: &Value| !value.is_array() && !value.is_object();
        let mut paths = tree::paths(&sample, is_leaf);
        paths.retain(|path| tree::is_in_a_list(path));
        let fields = paths.into_iter().map(|path| Field {
            values: edges()
                .filter(|value| reads_back::<R>(&sample, &path, value.clone()))
                .collect(),
            takes_words: takes_words::<R>(&sample, &path),
            takes_any_json: false,
            path,
        });
        Some(Self {
            place: learned.place,
            fields: fields.collect(),
            usual: sample.clone(),
            sample,
            is_of_items: true,
        })
    }
}

/// What a field of an item may be that it seldom is. A text that is cut somewhere is cut inside of a character in one of
/// the long ones.
fn edges() -> impl Iterator<Item = Value> {
    let texts = ["", "\u{1}\n", "MA==", "gA=="].map(Value::from);
    let long = ["", "a", "aa"].map(|before| Value::from(before.to_owned() + &"€".repeat(400)));
    let numbers = [
        Value::from(0),
        Value::from(1),
        Value::from(u64::MAX),
        Value::from(-1),
    ];
    let others = [Value::Null, Value::from(true), Value::from(false)];
    others.into_iter().chain(long).chain(texts).chain(numbers)
}

/// Whether the sample with this value at the path is still a request.
pub(super) fn reads_back<R: Vocabulary>(sample: &Value, path: &str, value: Value) -> bool {
    let mut root = sample.clone();
    tree::place(&mut root, path, value);
    serde_json::from_value::<R>(root).is_ok()
}

fn takes_words<R: Vocabulary>(sample: &Value, path: &str) -> bool {
    reads_back::<R>(sample, path, json!("a word"))
}

/// Whether the field is JSON of whoever sends it.
pub(super) fn takes_any_json<R: Vocabulary>(sample: &Value, path: &str) -> bool {
    reads_back::<R>(sample, path, json!({ "any": null }))
}

/// The dry-run request with something in every field that is empty there: in each what most requests have, or this in its
/// state. What a plugin keeps of a request it often keeps of what is in it only.
fn filled_with<R: Vocabulary>(place: usize, donors: &[Value], state: Option<&Value>) -> Option<R> {
    let mut root = serde_json::to_value(R::dry_run(place)).ok()?;
    let mut empty = tree::paths(&root, is_empty);
    empty.sort();
    for path in empty {
        let value = match state {
            Some(state) if path.ends_with("_state") => Some(state.clone()),
            _ if is_body(&path) => Some(usual_body().into()),
            _ => match root.pointer(&path) {
                Some(Value::Array(_)) => {
                    let items = of_every_kind(donors, &path).into_iter();
                    Some(items.take(FILLED_ITEMS).collect())
                }
                _ => most_common(donors, &path),
            },
        };
        if let Some(value) = value.filter(|value| reads_back::<R>(&root, &path, value.clone())) {
            tree::place(&mut root, &path, value);
        }
    }
    serde_json::from_value(root).ok()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What most requests have at this path that have something there. Realistic values are few, and come most often.
fn most_common(donors: &[Value], path: &str) -> Option<Value> {
    let mut times: BTreeMap<String, (usize, &Value)> = BTreeMap::new();
    let values = donors.iter().filter_map(|donor| donor.pointer(path));
    for value in values.filter(|value| !is_empty(value)) {
        times.entry(tree::text(value)).or_insert((0, value)).0 += 1;
    }
    let most = times.into_values().max_by_key(|(times, _)| *times);
    most.map(|(_, value)| value.clone())
}

/// Arbitrary requests of a function, the same whatever the plan is: its fields and items of its lists are learned from
/// them.
pub(super) fn donors<R: Vocabulary>(place: usize) -> impl Iterator<Item = Value> {
    let donor = move |donor: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        rng.set_stream(donor);
        let mut entropy = [0; 1024];
        rng.fill_bytes(&mut entropy);
        let request = R::arbitrary_of(place, &mut Unstructured::new(&entropy));
        serde_json::to_value(request.ok()?).ok()
    };
    (0..DONORS).filter_map(donor)
}

/// What the fields of requests are called. What any JSON in them has is not among these.
pub(super) fn names<R: Vocabulary>() -> HashSet<String> {
    const OF_EACH: usize = 24;
    let mut names = HashSet::new();
    for place in 0..R::functions().len() {
        for request in donors::<R>(place).take(OF_EACH) {
            for (path, object) in tree::nodes(&request) {
                let Some(fields) = object.as_object() else {
                    continue;
                };
                if fields.keys().all(|name| names.contains(name)) {
                    continue;
                }
                let mut other = fields.clone();
                other.insert("any".to_owned(), Value::Null);
                if !reads_back::<R>(&request, &path, other.into()) {
                    names.extend(fields.keys().cloned());
                }
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Request;

    #[test]
    fn what_requests_call_their_fields_is_known_and_what_states_do_is_not() {
        let names = names::<Request>();
        for name in [
            "signer_state",
            "utilization",
            "headers",
            "request_finished",
            "duration_ms",
        ] {
            assert!(names.contains(name), "{name}");
        }
        assert!(!names.contains("access_token"));
    }
}
