//! Requests that differ from the dry-run sample in one field, in one that grows, and then in two.

use std::collections::HashSet;

use arbitrary::Unstructured;
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use serde_json::Value;

use super::growth::{Growing, with_longer_lists};
use crate::case::{Case, Step, is_body, near_bodies, tree};
use crate::wire::Vocabulary;

/// From so many arbitrary requests of a function it is learned what its fields may be.
const DONORS: u64 = 384;

/// So many values of each field are tried alone, at most.
const VALUES_MAX: usize = 64;

/// So many values of each field are tried with those of another one, at most.
const PAIRED_MAX: usize = 8;

/// What is tried of some functions.
#[derive(Clone, Debug, Default)]
pub(super) struct Boundaries {
    functions: Vec<Function>,
    /// The first values of all fields come first.
    singles: Vec<Single>,
    /// Functions and their fields that grow, behind the first values.
    growing: Vec<(usize, Growing)>,
    /// Where these are among the singles.
    growing_at: usize,
    pairs: Vec<[Single; 2]>,
}

#[derive(Clone, Debug)]
struct Function {
    place: usize,
    sample: Value,
    fields: Vec<Field>,
    /// Whether two fields at a time are tried.
    is_paired: bool,
}

/// A field and the values that it may have.
#[derive(Clone, Debug)]
struct Field {
    path: String,
    values: Vec<Value>,
}

/// A value of a field of a function, each by its place.
#[derive(Clone, Copy, Debug)]
struct Single {
    function: u16,
    field: u16,
    value: u16,
}

impl Boundaries {
    /// Those of these functions.
    pub(super) fn of<R: Vocabulary>(places: &[usize]) -> Self {
        let of_samples = places.iter().filter_map(|place| Function::of::<R>(*place));
        let of_items = places
            .iter()
            .filter_map(|place| Function::of_items::<R>(*place));
        let functions: Vec<_> = of_samples.chain(of_items).collect();
        let all = |values: usize| {
            let functions = functions.iter().enumerate();
            functions.flat_map(move |(function, of)| {
                let fields = of.fields.iter().enumerate();
                fields.flat_map(move |(field, of)| {
                    let values = 0..of.values.len().min(values);
                    values.map(move |value| Single {
                        function: function as u16,
                        field: field as u16,
                        value: value as u16,
                    })
                })
            })
        };
        let mut singles: Vec<_> = all(usize::MAX).collect();
        singles.sort_by_key(|single| single.value);
        let growing_at = singles.partition_point(|single| single.value == 0);
        let of_samples = functions.iter().enumerate().filter(|(_, of)| of.is_paired);
        let growing = of_samples.flat_map(|(nth, function)| {
            let all = Growing::all::<R>(function.place, &function.sample);
            all.into_iter().map(move |growing| (nth, growing))
        });
        let growing = growing.collect();
        let is_paired = |single: &Single| functions[usize::from(single.function)].is_paired;
        let paired: Vec<_> = all(PAIRED_MAX).filter(is_paired).collect();
        let mut pairs = Vec::new();
        for (place, one) in paired.iter().enumerate() {
            let others = paired[place..].iter();
            let others = others.take_while(|other| other.function == one.function);
            let others = others.filter(|other| other.field != one.field);
            pairs.extend(others.map(|other| [*one, *other]));
        }
        pairs.sort_by_key(|[one, other]| one.value.max(other.value));
        Self {
            functions,
            singles,
            growing,
            growing_at,
            pairs,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.singles.len() + self.growing.len() + self.pairs.len()
    }

    /// The case of an index.
    pub(super) fn nth<R: Vocabulary>(&self, index: usize) -> Option<Case<R>> {
        let index = match index.checked_sub(self.growing_at) {
            None => index,
            Some(behind) => match self.growing.get(behind) {
                Some((function, growing)) => return Some(self.grow(*function, growing)),
                None => index - self.growing.len(),
            },
        };
        let singles = match self.singles.get(index) {
            Some(single) => std::slice::from_ref(single),
            None => self.pairs.get(index - self.singles.len())?,
        };
        let function = &self.functions[usize::from(singles[0].function)];
        let mut root = function.sample.clone();
        for single in singles {
            let field = &function.fields[usize::from(single.field)];
            let value = field.values[usize::from(single.value)].clone();
            tree::place(&mut root, &field.path, value);
        }
        let request = serde_json::from_value(root);
        Some(Case {
            steps: vec![match request {
                Ok(request) => Step {
                    request,
                    program: None,
                },
                // Each of the two reads back alone.
                Err(_) => Step::healthy(function.place),
            }],
        })
    }
}

impl Boundaries {
    /// A request that grows from step to step.
    fn grow<R: Vocabulary>(&self, function: usize, growing: &Growing) -> Case<R> {
        let function = &self.functions[function];
        let requests = growing.doubling(&function.sample).into_iter();
        let steps: Vec<_> = requests
            .map(|request| Step {
                request,
                program: None,
            })
            .collect();
        match steps.is_empty() {
            true => Case {
                steps: vec![Step::healthy(function.place)],
            },
            false => Case { steps },
        }
    }
}

impl Function {
    fn of<R: Vocabulary>(place: usize) -> Option<Self> {
        let sample = serde_json::to_value(R::dry_run(place)).ok()?;
        let mut fields: Vec<Field> = Vec::new();
        let mut seen = HashSet::new();
        for donor in (0..DONORS).filter_map(|index| donor::<R>(place, index)) {
            for (path, value) in tree::differences(&sample, &donor) {
                if !seen.insert((path.clone(), value.to_string()))
                    || !reads_back::<R>(&sample, &path, &value)
                {
                    continue;
                }
                match fields.iter_mut().find(|field| field.path == path) {
                    Some(field) if field.values.len() < VALUES_MAX => field.values.push(value),
                    Some(_) => {}
                    None => fields.push(Field {
                        path,
                        values: vec![value],
                    }),
                }
            }
        }
        for field in fields.iter_mut().filter(|field| is_body(&field.path)) {
            field
                .values
                .extend(near_bodies().iter().cloned().map(Value::from));
        }
        Some(Self {
            place,
            sample,
            fields,
            is_paired: true,
        })
    }

    /// The fields of what its lists are made of, each at its edges.
    fn of_items<R: Vocabulary>(place: usize) -> Option<Self> {
        let sample = serde_json::to_value(with_longer_lists::<R>(place)?).ok()?;
        let is_leaf = |value: &Value| !value.is_array() && !value.is_object();
        let in_a_list = |path: &String| path.split('/').any(|key| key.parse::<usize>().is_ok());
        let paths = tree::paths(&sample, is_leaf).into_iter().filter(in_a_list);
        let fields = paths.map(|path| Field {
            values: edges()
                .filter(|value| reads_back::<R>(&sample, &path, value))
                .collect(),
            path,
        });
        Some(Self {
            place,
            fields: fields.collect(),
            sample,
            is_paired: false,
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

fn reads_back<R: Vocabulary>(sample: &Value, path: &str, value: &Value) -> bool {
    let mut root = sample.clone();
    tree::place(&mut root, path, value.clone());
    serde_json::from_value::<R>(root).is_ok()
}

/// An arbitrary request of a function, the same whatever the plan is.
pub(super) fn donor<R: Vocabulary>(place: usize, donor: u64) -> Option<Value> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    rng.set_stream(donor);
    let mut entropy = [0; 1024];
    rng.fill_bytes(&mut entropy);
    let request = R::arbitrary_of(place, &mut Unstructured::new(&entropy));
    serde_json::to_value(request.ok()?).ok()
}
