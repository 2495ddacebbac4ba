//! Requests that differ from the dry-run sample in one field, in one that grows, then in two.

use serde_json::Value;

use super::growth::Growing;
use super::values::{Field, Function, Learned};
use crate::case::{Case, Menu, Step, tree};
use crate::wire::Vocabulary;

/// So many values of each field are tried with those of another one, at most.
const PAIRED_MAX: usize = 8;

/// So many values of each small field are tried with each field that grows.
const GROWN_MAX: usize = 4;

/// The first values of each field come in soaks too, many in turns.
const SOAKED_MAX: usize = 16;

/// What is tried of some functions.
#[derive(Clone, Debug, Default)]
pub(super) struct Boundaries {
    functions: Vec<Function>,
    /// What grows, each with the place of its function.
    growing: Vec<(u16, Growing)>,
    words: Vec<String>,
    trials: Vec<Trial>,
}

/// What one case tries.
#[derive(Clone, Copy, Debug)]
enum Trial {
    Single(Single),
    /// A field that grows, by its place, while another one has this value.
    Growing(u16, Option<Single>),
    /// A field of a function and a word in it, each by its place, and in which way.
    Word {
        function: u16,
        field: u16,
        word: u16,
        way: u16,
    },
    Pair(Single, Single),
}

/// A value of a field of a function, each by its place.
#[derive(Clone, Copy, Debug)]
struct Single {
    function: u16,
    field: u16,
    value: u16,
}

impl Boundaries {
    /// Those of a menu's functions, of which this was learned, with its words and what the plugin hands out.
    pub(super) fn of<R: Vocabulary>(
        menu: &Menu,
        learned: &[Learned<R>],
        objects: &[Value],
    ) -> Self {
        let (mut functions, mut of_items) = (Vec::new(), Vec::new());
        let mut growing = Vec::new();
        for of in learned {
            let Some(function) = Function::of(of, objects) else {
                continue;
            };
            let grows = of.growing.iter().cloned();
            let grows = grows.flat_map(Growing::and_of_one_kind);
            let texts = function.fields.iter().filter(|field| field.takes_words);
            let texts = texts.flat_map(|field| Growing::text(&field.path));
            let place = functions.len() as u16;
            growing.extend(grows.chain(texts).map(|growing| (place, growing)));
            functions.push(function);
            of_items.extend(Function::of_items(of));
        }
        // There are many texts, and limits of theirs are seldom.
        growing.sort_by_key(|(_, growing)| growing.is_text());
        functions.extend(of_items);
        let mut all = Self {
            growing,
            words: menu.likely_words().to_vec(),
            trials: Vec::new(),
            functions,
        };
        all.trials = all.in_order();
        all
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.trials.len()
    }

    /// The first values of all fields, one field after the other.
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

    /// The first value of each field, what grows, the other values; then all else in turns.
    fn in_order(&self) -> Vec<Trial> {
        let mut singles: Vec<_> = self.singles(usize::MAX).collect();
        singles.sort_by_key(|single| single.value);
        let firsts = singles.partition_point(|single| single.value == 0);
        let (firsts, others) = singles.split_at(firsts);
        let growing = (0u16..)
            .zip(&self.growing)
            .map(|(nth, _)| Trial::Growing(nth, None));
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
        for (place, one) in paired.iter().enumerate() {
            let others = paired[place..].iter();
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
            .map(|(nth, single)| Trial::Growing(nth, Some(single)))
            .collect()
    }

    /// The likeliest words first.
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

/// One of each as long as there are any.
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

impl Boundaries {
    /// The case of an index.
    pub(super) fn nth<R: Vocabulary>(&self, index: usize) -> Option<Case<R>> {
        let steps = match *self.trials.get(index)? {
            Trial::Single(single) => vec![self.step(&[single])],
            Trial::Pair(one, other) => vec![self.step(&[one, other])],
            Trial::Growing(growing, single) => self.grow(growing, single),
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
                tree::place(&mut root, &field.path, word);
                vec![step(of, root)]
            }
        };
        Some(Case { steps })
    }

    /// Requests to make again and again, in turns.
    pub(super) fn soaked<R: Vocabulary>(&self) -> Vec<Step<R>> {
        let singles = self.singles(SOAKED_MAX);
        singles.map(|single| self.step(&[single])).collect()
    }

    /// The sample of a function with these values in their fields.
    fn with(&self, function: &Function, singles: &[Single]) -> Value {
        let mut root = function.sample.clone();
        for single in singles {
            let field = self.field(single);
            let value = field.values[usize::from(single.value)].clone();
            tree::place(&mut root, &field.path, value);
        }
        root
    }

    /// Values of fields of one function, together.
    fn step<R: Vocabulary>(&self, singles: &[Single]) -> Step<R> {
        let function = self.function(&singles[0]);
        step(function, self.with(function, singles))
    }

    /// A request that grows from step to step.
    fn grow<R: Vocabulary>(&self, growing: u16, single: Option<Single>) -> Vec<Step<R>> {
        let (function, growing) = &self.growing[usize::from(growing)];
        let function = &self.functions[usize::from(*function)];
        let sample = self.with(function, single.as_slice());
        let requests = growing.doubling(&sample).into_iter();
        let steps: Vec<_> = requests.map(Step::without_program).collect();
        if steps.is_empty() {
            vec![Step::healthy(function.place)]
        } else {
            steps
        }
    }
}

/// A step of this request; the healthy call where two values do not read back together, though each does alone.
fn step<R: Vocabulary>(function: &Function, request: Value) -> Step<R> {
    match serde_json::from_value(request) {
        Ok(request) => Step::without_program(request),
        Err(_) => Step::healthy(function.place),
    }
}
