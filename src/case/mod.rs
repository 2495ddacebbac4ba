//! The case: what is tried.
//!
//! A [`Case`] is a sequence of steps for one session, a value with a file format of its own and not a
//! string of fuzzer bytes: corpora and findings keep their meaning when a generator changes.
//!
//! A discrepancy here is a case that does not mean the same after it was written and read.

use std::borrow::Cow;
use std::num::NonZeroU32;

use arbitrary::Unstructured;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::puppet::{Program, Wildness};
use crate::wire::{Request, Vocabulary};

mod bodies;
mod file;
mod mutate;
mod near;
mod shorten;
mod shrink;
pub(crate) mod tree;
mod usual;
mod words;

pub(crate) use bodies::{NO_WORDS, near_bodies, one_change_away, usual_body};
pub use file::{CaseError, FORMAT, Folder};
pub(crate) use near::is_body;
pub use shrink::{ShrinkLimits, Shrunk};
pub use tree::Numbers;
pub use words::words;

/// What a marker begins with; eight hexadecimal digits follow, which no other request has. See
/// [`NoCarryover`](crate::oracle::NoCarryover).
pub const MARKER: &str = "cclbmark";

/// The most dispatches that a case may have, of all its steps together.
pub const MAX_STEPS: usize = 16_384;

/// The times of a step that is dispatched once.
pub const ONCE: NonZeroU32 = NonZeroU32::MIN;

/// The most steps that a generated case has.
const GENERATED_STEPS: usize = 8;

/// The most steps that a generated sequence has.
const SEQUENCE_STEPS: usize = 32;

/// A sequence of steps for one session.
#[derive(Clone, Debug, PartialEq)]
pub struct Case<R = Request> {
    /// The steps, in the order in which they are dispatched.
    pub steps: Vec<Step<R>>,
}

/// A dispatch of a case, or some equal ones in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "R: Vocabulary")]
pub struct Step<R = Request> {
    /// The request.
    pub request: R,
    /// What the request tells the puppet to do; without a program it answers healthily. Other plugins
    /// take it for a strange string.
    #[serde(default)]
    pub program: Option<Program>,
    /// How often it is dispatched before the next step is.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: NonZeroU32,
}

fn once() -> NonZeroU32 {
    ONCE
}

fn is_once(times: &NonZeroU32) -> bool {
    *times == ONCE
}

impl<R> Case<R> {
    /// How often something is dispatched: the times of all steps together.
    pub fn dispatches(&self) -> usize {
        let times = self.steps.iter().map(|step| step.times.get() as usize);
        times.fold(0, usize::saturating_add)
    }
}

impl<R: Vocabulary> Case<R> {
    /// Equal steps in a row become one with their times together: that means the same.
    pub(crate) fn merge(&mut self) {
        self.steps.dedup_by(|next, step| {
            let times = step.times.checked_add(next.times.get());
            match times {
                Some(times) if step.is_same_call(next) => {
                    step.times = times;
                    true
                }
                _ => false,
            }
        });
    }

    /// The last dispatches, so many at most.
    pub(crate) fn last(&self, most: usize) -> Self {
        let mut left = most;
        let mut steps = Vec::new();
        for step in self.steps.iter().rev() {
            let times = (step.times.get() as usize).min(left);
            let Some(times) = NonZeroU32::new(times as u32) else {
                break;
            };
            steps.push(Step {
                times,
                ..step.clone()
            });
            left -= times.get() as usize;
        }
        steps.reverse();
        Self { steps }
    }
}

impl<R: Vocabulary> Step<R> {
    /// The healthy call of a function, given by its place in [`Vocabulary::functions`]: its dry-run
    /// request without a program.
    pub fn healthy(place: usize) -> Self {
        Self::without_program(R::dry_run(place))
    }

    /// The request as it is.
    pub fn without_program(request: R) -> Self {
        Self {
            request,
            program: None,
            times: ONCE,
        }
    }

    /// Whether it dispatches the same, however often.
    pub(crate) fn is_same_call(&self, other: &Self) -> bool {
        self.request == other.request && self.program == other.program
    }

    /// The request with the program in it.
    pub fn told(&self) -> R {
        Self::told_with(Cow::Borrowed(self)).0
    }

    /// The same, of a step that need not be copied where it is of no more use, and the program.
    pub(crate) fn told_with(step: Cow<'_, Self>) -> (R, Option<Cow<'_, Program>>) {
        let (mut request, program) = match step {
            Cow::Borrowed(step) => (
                step.request.clone(),
                step.program.as_ref().map(Cow::Borrowed),
            ),
            Cow::Owned(step) => (step.request, step.program.map(Cow::Owned)),
        };
        if let Some(program) = &program {
            request.carry(program.encode());
        }
        (request, program)
    }
}

/// What generated cases are made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Menu {
    /// The functions to call, by their places in [`Vocabulary::functions`]. Never empty.
    pub functions: Vec<usize>,
    /// Which programs for the puppet requests carry; `None` for any other plugin.
    pub programs: Option<Wildness>,
    /// Words to say to a plugin that is not the puppet: see [`words()`].
    pub words: Vec<String>,
    /// Objects of JSON to say to such a plugin, as texts: see
    /// [`Runner::objects`](crate::observation::Runner::objects).
    pub objects: Vec<String>,
}

impl Menu {
    /// All functions of the vocabulary, with scripted and wild programs.
    pub fn puppet<R: Vocabulary>() -> Self {
        Self {
            functions: (0..R::functions().len()).collect(),
            programs: Some(Wildness::Wild),
            words: Vec::new(),
            objects: Vec::new(),
        }
    }

    /// All functions of the vocabulary, without programs: for a plugin that is not the puppet.
    pub fn plugin<R: Vocabulary>() -> Self {
        Self {
            programs: None,
            ..Self::puppet::<R>()
        }
    }

    /// The words that are most likely meant.
    pub(crate) fn likely_words(&self) -> &[String] {
        &self.words[..self.words.len().min(words::LIKELY_MAX)]
    }

    /// An arbitrary step.
    ///
    /// # Errors
    /// Those of `arbitrary`.
    pub fn step<R: Vocabulary>(&self, u: &mut Unstructured<'_>) -> arbitrary::Result<Step<R>> {
        let place = *u.choose(&self.functions)?;
        let request = match self.programs {
            Some(_) => R::arbitrary_of(place, u)?,
            None => self.request(place, u)?,
        };
        let program = match self.programs {
            Some(wildness) if u.int_in_range(0..=2u8)? != 0 => {
                Some(Program::arbitrary_for(&R::functions()[place], wildness, u)?)
            }
            _ => None,
        };
        Ok(Step {
            request,
            program,
            times: ONCE,
        })
    }

    /// An arbitrary request of a function of a plugin that is not the puppet: mostly near the dry-run sample.
    fn request<R: Vocabulary>(
        &self,
        place: usize,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<R> {
        let request = match u.int_in_range(0..=2u8)? {
            0 => R::arbitrary_of(place, u)?,
            _ => near::near(place, u)?,
        };
        let request = if !self.words.is_empty() && u.ratio(1, 2)? {
            let from = if u.ratio(3, 4)? {
                self.likely_words()
            } else {
                &self.words[..]
            };
            near::with_word(request, u.choose(from)?, from, u)?
        } else {
            request
        };
        let request = if !self.objects.is_empty() && u.ratio(1, 4)? {
            near::with_object(request, u.choose(&self.objects)?, &self.words, u)?
        } else {
            request
        };
        let request = if u.ratio(1, 8)? {
            near::with_body(request, u)?
        } else {
            request
        };
        if u.ratio(1, 4)? {
            let marker = format!("{MARKER}{:08x}", u.arbitrary::<u32>()?);
            near::with_word(request, &marker, &self.words, u)
        } else {
            Ok(request)
        }
    }

    /// A sequence of many steps, most of them the healthy call of a function or near that.
    ///
    /// # Errors
    /// Those of `arbitrary`.
    pub fn sequence<R: Vocabulary>(&self, u: &mut Unstructured<'_>) -> arbitrary::Result<Case<R>> {
        let mut steps = Vec::new();
        for _ in 0..u.int_in_range(2..=SEQUENCE_STEPS)? {
            steps.push(match u.int_in_range(0..=2u8)? {
                0 => self.step(u)?,
                _ => Step::healthy(*u.choose(&self.functions)?),
            });
        }
        Ok(Case { steps })
    }

    /// An arbitrary case: mostly a few steps.
    ///
    /// # Errors
    /// Those of `arbitrary`.
    pub fn case<R: Vocabulary>(&self, u: &mut Unstructured<'_>) -> arbitrary::Result<Case<R>> {
        let most = *u.choose(&[1, 2, 4, GENERATED_STEPS])?;
        let mut steps = vec![self.step(u)?];
        for _ in 1..u.int_in_range(1..=most)? {
            // Without entropy every step is the same.
            if u.is_empty() {
                break;
            }
            steps.push(self.step(u)?);
        }
        Ok(Case { steps })
    }

    /// Arbitrary steps of one function as a strategy that shrinks.
    pub fn strategy<R: Vocabulary>(&self, place: usize) -> BoxedStrategy<Case<R>> {
        let program = match self.programs {
            Some(wildness) => {
                let program = Program::strategy_for(&R::functions()[place], wildness);
                proptest::option::of(program).boxed()
            }
            None => Just(None).boxed(),
        };
        let step = (R::strategy_of(place), program);
        proptest::collection::vec(step, 1..=GENERATED_STEPS)
            .prop_map(|steps| Case {
                steps: steps
                    .into_iter()
                    .map(|(request, program)| Step {
                        request,
                        program,
                        times: ONCE,
                    })
                    .collect(),
            })
            .boxed()
    }
}

impl<'a> arbitrary::Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Menu::puppet::<Request>().case(u)
    }
}
