//! The fields of a function's request, and values for each of them, learned from arbitrary
//! requests.

use std::collections::{BTreeMap, HashSet};

use arbitrary::Unstructured;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use super::bodies::{UNEXPECTED_VALUES, mutated_bodies, single_mutations, typical_body};
use super::growing_fields::GrowingField;
use super::list_items::of_every_kind;
use super::read_back::{reads_back, takes_any_json, takes_words};
use super::sample_mutation::is_body;
use crate::case::tree;
use crate::wire::Vocabulary;

/// The number of arbitrary requests per function from which values are learned.
const DONORS: u64 = 384;

/// The most values of a field that are learned from them.
const VALUES_MAX: usize = 64;

/// The most returned states that soaks use.
const STATES_MAX: usize = 2;

/// The number of items in each list of a filled request.
const FILLED_ITEMS: usize = 3;

/// The most variants of each returned object that a field of any JSON gets.
const VARIANTS_MAX: usize = 128;

/// Requests and fields of one function, learned from arbitrary requests.
pub(crate) struct FunctionSamples<R> {
    /// The index of the function.
    pub(crate) index: usize,
    pub(crate) donors: Vec<Value>,
    /// The fields that can grow in the dry-run request.
    pub(crate) growing: Vec<GrowingField>,
    /// See [`with_longer_lists`].
    pub(crate) longer: Option<R>,
    /// See [`filled_with`]; also with each state that the plugin returned.
    pub(crate) filled: Vec<R>,
}

impl<R: Vocabulary> FunctionSamples<R> {
    /// Learns from arbitrary requests. `response_dictionary` holds the objects that the plugin
    /// returned.
    pub(crate) fn new(index: usize, response_dictionary: &[Value]) -> Self {
        let donors: Vec<_> = donors::<R>(index).collect();
        let sample = serde_json::to_value(R::dry_run(index)).unwrap_or_default();
        let growing = GrowingField::all::<R>(&sample, &donors);
        let states = response_dictionary.iter().take(STATES_MAX).map(Some);
        let filled = std::iter::once(None).chain(states);
        let filled = filled.filter_map(|state| filled_with(index, &donors, state));
        let mut filled: Vec<R> = filled.collect();
        filled.dedup();
        Self {
            index,
            filled,
            longer: with_longer_lists(&sample, &growing),
            growing,
            donors,
        }
    }
}

/// A request of a function, with values for its fields.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// The index of the function.
    pub(crate) index: usize,
    pub(crate) sample: Value,
    /// The sample with a typical body, if it has a body.
    pub(crate) usual: Value,
    pub(crate) fields: Vec<Field>,
    /// Whether the fields are those of list items, of which there are many.
    pub(crate) is_of_items: bool,
}

/// A field and the values to try in it.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) path: String,
    pub(crate) values: Vec<Value>,
    /// Whether the field accepts any text, or any bytes in base64.
    pub(crate) takes_words: bool,
    /// Whether the field accepts any JSON.
    pub(crate) takes_any_json: bool,
}

impl Field {
    /// Returns the number of ways to insert a token.
    pub(crate) fn ways(&self) -> usize {
        usize::from(self.takes_words)
            + usize::from(self.takes_any_json) * (1 + UNEXPECTED_VALUES.len())
    }

    /// Returns the field's value with a token, in one of the ways: as a text, or as the name of a
    /// JSON field whose value is a text or something else.
    pub(crate) fn word(&self, word: &str, way: usize) -> Value {
        match way.checked_sub(usize::from(self.takes_words)) {
            None if self.path.ends_with("base64") => BASE64_STANDARD.encode(word).into(),
            None => word.into(),
            Some(0) => json!({ word: "a" }),
            Some(other) => json!({ word: UNEXPECTED_VALUES[other - 1] }),
        }
    }

    /// Returns whether the field is a scalar in the sample, not a part that grows.
    pub(crate) fn is_small(&self, sample: &Value) -> bool {
        let grows = |value: &Value| value.is_array() || value.is_object();
        !is_body(&self.path) && !sample.pointer(&self.path).is_none_or(grows)
    }
}

impl Function {
    /// Returns the fields of the dry-run request with values from arbitrary requests. Fields that
    /// accept any JSON also get the returned objects and their single mutations.
    pub(crate) fn new<R: Vocabulary>(
        learned: &FunctionSamples<R>,
        response_dictionary: &[Value],
    ) -> Option<Self> {
        let index = learned.index;
        let sample = serde_json::to_value(R::dry_run(index)).ok()?;
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
                let bodies = mutated_bodies().iter().cloned();
                field.values.extend(bodies.map(Value::from));
            }
            if field.takes_any_json {
                let variants = response_dictionary.iter().flat_map(|object| {
                    let changed = single_mutations(object).into_iter().take(VARIANTS_MAX);
                    std::iter::once(object.clone()).chain(changed)
                });
                let variants =
                    variants.filter(|value| reads_back::<R>(&sample, &field.path, value.clone()));
                field.values.extend(variants);
            }
        }
        let mut usual = sample.clone();
        for field in fields.iter().filter(|field| is_body(&field.path)) {
            tree::replace(&mut usual, &field.path, typical_body().into());
        }
        Some(Self {
            index,
            sample,
            usual,
            fields,
            is_of_items: false,
        })
    }

    /// Returns the fields of list items with boundary values.
    pub(crate) fn of_items<R: Vocabulary>(learned: &FunctionSamples<R>) -> Option<Self> {
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
            index: learned.index,
            fields: fields.collect(),
            usual: sample.clone(),
            sample,
            is_of_items: true,
        })
    }
}

/// Returns boundary values for fields of items. The long texts have multi-byte characters at three
/// different offsets, so that cutting a text at some byte splits a character in one of them.
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

/// Returns the dry-run request with every empty field filled: with its most common value, or with
/// `state` if it is a state. What a plugin stores of a request often depends on its content.
fn filled_with<R: Vocabulary>(index: usize, donors: &[Value], state: Option<&Value>) -> Option<R> {
    let mut root = serde_json::to_value(R::dry_run(index)).ok()?;
    let mut empty = tree::paths(&root, is_empty);
    empty.sort();
    for path in empty {
        let value = match state {
            Some(state) if path.ends_with("_state") => Some(state.clone()),
            _ if is_body(&path) => Some(typical_body().into()),
            _ => match root.pointer(&path) {
                Some(Value::Array(_)) => {
                    let items = of_every_kind(donors, &path).into_iter();
                    Some(items.take(FILLED_ITEMS).collect())
                }
                _ => most_common(donors, &path),
            },
        };
        if let Some(value) = value.filter(|value| reads_back::<R>(&root, &path, value.clone())) {
            tree::replace(&mut root, &path, value);
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

/// Returns the most common non-empty value at this path. Realistic values are few, so they are the
/// most common.
fn most_common(donors: &[Value], path: &str) -> Option<Value> {
    let mut times: BTreeMap<String, (usize, &Value)> = BTreeMap::new();
    let values = donors.iter().filter_map(|donor| donor.pointer(path));
    for value in values.filter(|value| !is_empty(value)) {
        times.entry(tree::text(value)).or_insert((0, value)).0 += 1;
    }
    let most = times.into_values().max_by_key(|(times, _)| *times);
    most.map(|(_, value)| value.clone())
}

/// Returns arbitrary requests of a function, from which its fields and list items are learned. They
/// do not depend on the plan.
pub(crate) fn donors<R: Vocabulary>(index: usize) -> impl Iterator<Item = Value> {
    let donor = move |donor: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        rng.set_stream(donor);
        let mut entropy = [0; 1024];
        rng.fill_bytes(&mut entropy);
        let request = R::arbitrary_of(index, &mut Unstructured::new(&entropy));
        serde_json::to_value(request.ok()?).ok()
    };
    (0..DONORS).filter_map(donor)
}

/// Returns the names of the fields of requests, without those inside fields of any JSON.
pub(crate) fn names<R: Vocabulary>() -> HashSet<String> {
    const OF_EACH: usize = 24;
    let mut names = HashSet::new();
    for index in 0..R::functions().len() {
        for request in donors::<R>(index).take(OF_EACH) {
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

/// Returns the dry-run request with items of every kind in each of its lists, or `None` if it has
/// no list or no items are known. What a plugin stores of a request, it often stores per item.
pub(crate) fn with_longer_lists<R: Vocabulary>(
    sample: &Value,
    growing: &[GrowingField],
) -> Option<R> {
    let mut longer = sample.clone();
    for (path, items) in growing.iter().filter_map(GrowingField::list) {
        tree::replace(&mut longer, path, Value::Array(items.to_vec()));
    }
    (longer != *sample).then(|| serde_json::from_value(longer).ok())?
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
