//! Requests that differ from the dry-run sample in one field, in one that grows, or in two.

use serde_json::Value;

use super::arbitrary_case::CaseGenerator;
use super::growing_fields::GrowingField;
use super::learned_values::{Field, Function, FunctionSamples};
use crate::case::{Case, Step, tree};
use crate::wire::Vocabulary;

/// The most values of a field that are combined with those of another field.
const PAIRED_MAX: usize = 8;

/// The most values of a small field that are combined with each growing field.
const GROWN_MAX: usize = 4;

/// The most values of a field that soaks repeat.
const SOAKED_MAX: usize = 16;

/// The boundary cases of some functions.
#[derive(Clone, Debug, Default)]
pub(crate) struct BoundaryCases {
    functions: Vec<Function>,
    /// The growing fields, each with the index of its function.
    growing: Vec<(u16, GrowingField)>,
    words: Vec<String>,
    trials: Vec<Trial>,
}

/// What one case tries.
#[derive(Clone, Copy, Debug)]
enum Trial {
    Single(Single),
    /// A growing field by its index, and the value of another field.
    GrowingField(u16, Option<Single>),
    /// A token in a field, all by index, and the index of the way to insert it.
    Word {
        function: u16,
        field: u16,
        word: u16,
        way: u16,
    },
    Pair(Single, Single),
}

/// A value of a field of a function, all by index.
#[derive(Clone, Copy, Debug)]
struct Single {
    function: u16,
    field: u16,
    value: u16,
}

impl BoundaryCases {
    /// Returns the cases of the learned functions, with the generator's tokens and the objects that
    /// the plugin returned.
    pub(crate) fn new<R: Vocabulary>(
        generator: &CaseGenerator,
        learned: &[FunctionSamples<R>],
        response_dictionary: &[Value],
    ) -> Self {
        let (mut functions, mut of_items) = (Vec::new(), Vec::new());
        let mut growing = Vec::new();
        for of in learned {
            let Some(function) = Function::new(of, response_dictionary) else {
                continue;
            };
            let grows = of.growing.iter().cloned();
            let grows = grows.flat_map(GrowingField::and_of_one_kind);
            let texts = function.fields.iter().filter(|field| field.takes_words);
            let texts = texts.flat_map(|field| GrowingField::text(&field.path));
            let index = functions.len() as u16;
            growing.extend(grows.chain(texts).map(|growing| (index, growing)));
            functions.push(function);
            of_items.extend(Function::of_items(of));
        }
        // There are many texts, and few of them have a limit.
        growing.sort_by_key(|(_, growing)| growing.is_text());
        functions.extend(of_items);
        let mut all = Self {
            growing,
            words: generator.likely_tokens().to_vec(),
            trials: Vec::new(),
            functions,
        };
        all.trials = all.in_order();
        all
    }

    /// Returns the number of cases.
    pub(crate) fn len(&self) -> usize {
        self.trials.len()
    }

    /// Returns the first `values` values of each field, one field after the other.
    fn singles(&self, values: usize) -> impl Iterator<Item = Single> {
        let functions = (0u16..).zip(&self.functions);
        functions.flat_map(move |(function, of)| {
            let fields = (0u16..).zip(&of.fields);
            fields.flat_map(move |(field, of)| {
                let values = (0u16..).take(of.values.len().min(values));
                values.map(move |value| Single {
                    function,
                    field,
                    value,
                })
            })
        })
    }

    fn function(&self, single: &Single) -> &Function {
        &self.functions[usize::from(single.function)]
    }

    fn field(&self, single: &Single) -> &Field {
        &self.function(single).fields[usize::from(single.field)]
    }

    /// Orders the trials: the first value of each field, growing fields, the other values, then all
    /// others in turns.
    fn in_order(&self) -> Vec<Trial> {
        let mut singles: Vec<_> = self.singles(usize::MAX).collect();
        singles.sort_by_key(|single| single.value);
        let firsts = singles.partition_point(|single| single.value == 0);
        let (firsts, others) = singles.split_at(firsts);
        let growing = (0u16..)
            .zip(&self.growing)
            .map(|(nth, _)| Trial::GrowingField(nth, None));
        let mut trials: Vec<_> = firsts.iter().copied().map(Trial::Single).collect();
        trials.extend(growing);
        trials.extend(others.iter().copied().map(Trial::Single));
        trials.extend(in_turns([
            self.pairs(),
            self.grown_with_others(),
            self.with_words(),
        ]));
        trials
    }

    fn pairs(&self) -> Vec<Trial> {
        let is_paired = |single: &Single| !self.function(single).is_of_items;
        let paired: Vec<_> = self.singles(PAIRED_MAX).filter(is_paired).collect();
        let mut pairs = Vec::new();
        for (index, one) in paired.iter().enumerate() {
            let others = paired[index..].iter();
            let others = others.take_while(|other| other.function == one.function);
            let others = others.filter(|other| other.field != one.field);
            pairs.extend(others.map(|other| (*one, *other)));
        }
        pairs.sort_by_key(|(one, other)| one.value.max(other.value));
        pairs
            .into_iter()
            .map(|(one, other)| Trial::Pair(one, other))
            .collect()
    }

    fn grown_with_others(&self) -> Vec<Trial> {
        let is_small = |single: &Single| {
            let sample = &self.function(single).sample;
            self.field(single).is_small(sample)
        };
        let small: Vec<_> = self.singles(GROWN_MAX).filter(is_small).collect();
        let mut grown = Vec::new();
        for (nth, (function, growing)) in (0u16..).zip(&self.growing) {
            if growing.is_text() {
                continue;
            }
            let others = small.iter().filter(|single| single.function == *function);
            let others = others.filter(|single| self.field(single).path != growing.path);
            grown.extend(others.map(|single| (nth, *single)));
        }
        grown.sort_by_key(|(_, single)| single.value);
        let trials = grown.into_iter();
        trials
            .map(|(nth, single)| Trial::GrowingField(nth, Some(single)))
            .collect()
    }

    /// Returns the trials of tokens, the likeliest token first.
    fn with_words(&self) -> Vec<Trial> {
        let mut trials = Vec::new();
        for (word, _) in (0u16..).zip(&self.words) {
            for (function, of) in (0u16..).zip(&self.functions) {
                for (field, of) in (0u16..).zip(&of.fields) {
                    let ways = (0u16..).take(of.ways());
                    trials.extend(ways.map(|way| Trial::Word {
                        function,
                        field,
                        word,
                        way,
                    }));
                }
            }
        }
        trials
    }
}

/// Takes one of each list in turns until all are empty.
fn in_turns(lists: [Vec<Trial>; 3]) -> Vec<Trial> {
    let mut lists = lists.map(Vec::into_iter);
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(lists.iter_mut().filter_map(Iterator::next));
        if all.len() == before {
            return all;
        }
    }
}

impl BoundaryCases {
    /// Returns the case of an index.
    pub(crate) fn nth<R: Vocabulary>(&self, index: usize) -> Option<Case<R>> {
        let steps = match *self.trials.get(index)? {
            Trial::Single(single) => vec![self.step(&[single])],
            Trial::Pair(one, other) => vec![self.step(&[one, other])],
            Trial::GrowingField(growing, single) => self.grow(growing, single),
            Trial::Word {
                function,
                field,
                word,
                way,
            } => {
                let of = &self.functions[usize::from(function)];
                let field = &of.fields[usize::from(field)];
                let word = field.word(&self.words[usize::from(word)], way.into());
                let mut root = of.usual.clone();
                tree::replace(&mut root, &field.path, word);
                vec![step(of, root)]
            }
        };
        Some(Case { steps })
    }

    /// Returns the requests that a soak repeats in turns.
    pub(crate) fn soaked<R: Vocabulary>(&self) -> Vec<Step<R>> {
        let singles = self.singles(SOAKED_MAX);
        singles.map(|single| self.step(&[single])).collect()
    }

    /// Returns the sample of a function with these values in their fields.
    fn with(&self, function: &Function, singles: &[Single]) -> Value {
        let mut root = function.sample.clone();
        for single in singles {
            let field = self.field(single);
            let value = field.values[usize::from(single.value)].clone();
            tree::replace(&mut root, &field.path, value);
        }
        root
    }

    /// Returns the step with these values, all in fields of one function.
    fn step<R: Vocabulary>(&self, singles: &[Single]) -> Step<R> {
        let function = self.function(&singles[0]);
        step(function, self.with(function, singles))
    }

    /// Returns requests that grow from step to step.
    fn grow<R: Vocabulary>(&self, growing: u16, single: Option<Single>) -> Vec<Step<R>> {
        let (function, growing) = &self.growing[usize::from(growing)];
        let function = &self.functions[usize::from(*function)];
        let sample = self.with(function, single.as_slice());
        let requests = growing.doubling(&sample).into_iter();
        let steps: Vec<_> = requests.map(Step::without_program).collect();
        if steps.is_empty() {
            vec![Step::healthy(function.index)]
        } else {
            steps
        }
    }
}

/// Returns a step with this request, or the healthy call if the request does not deserialize: two
/// values may be valid alone but not together.
fn step<R: Vocabulary>(function: &Function, request: Value) -> Step<R> {
    match serde_json::from_value(request) {
        Ok(request) => Step::without_program(request),
        Err(_) => Step::healthy(function.index),
    }
}
