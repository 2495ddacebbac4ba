//! What generated cases are made of, and arbitrary cases.

use arbitrary::Unstructured;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::programs::Wildness;
use super::{dictionary, sample_mutation};
use crate::case::{Case, MARKER, ONCE, Step};
use crate::puppet::Program;
use crate::wire::{Request, Vocabulary};

/// The most steps that a generated case has.
const GENERATED_STEPS: usize = 8;

/// The most steps that a generated sequence has.
const SEQUENCE_STEPS: usize = 32;

/// What generated cases are made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseGenerator {
    /// The functions to call, by their places in [`Vocabulary::functions`]. Never empty.
    pub functions: Vec<usize>,
    /// Which programs for the puppet requests carry; `None` for any other plugin.
    pub programs: Option<Wildness>,
    /// Words to say to a plugin that is not the puppet: see [`dictionary()`].
    pub dictionary: Vec<String>,
    /// Objects of JSON to say to such a plugin, as texts: see
    /// [`Runner::response_dictionary`](crate::execute::Runner::response_dictionary).
    pub response_dictionary: Vec<String>,
}

impl CaseGenerator {
    /// All functions of the vocabulary, with scripted and wild programs.
    pub fn puppet<R: Vocabulary>() -> Self {
        Self {
            functions: (0..R::functions().len()).collect(),
            programs: Some(Wildness::Wild),
            dictionary: Vec::new(),
            response_dictionary: Vec::new(),
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
    pub(crate) fn likely_tokens(&self) -> &[String] {
        &self.dictionary[..self.dictionary.len().min(dictionary::LIKELY_MAX)]
    }

    /// An arbitrary step.
    ///
    /// # Errors
    /// Those of `arbitrary`.
    pub fn step<R: Vocabulary>(&self, u: &mut Unstructured<'_>) -> arbitrary::Result<Step<R>> {
        let place = *u.choose(&self.functions)?;
        // What is drawn last has often no entropy left.
        let program_first = self.programs.is_some() && u.arbitrary()?;
        let program = if program_first {
            self.program::<R>(place, u)?
        } else {
            None
        };
        let request = match self.programs {
            Some(_) => R::arbitrary_of(place, u)?,
            None => self.request(place, u)?,
        };
        let program = if program_first {
            program
        } else {
            self.program::<R>(place, u)?
        };
        Ok(Step {
            request,
            program,
            times: ONCE,
        })
    }

    /// An arbitrary program, where there are any, or none.
    fn program<R: Vocabulary>(
        &self,
        place: usize,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<Option<Program>> {
        match self.programs {
            Some(wildness) if u.int_in_range(0..=2u8)? != 0 => {
                Program::arbitrary_for(&R::functions()[place], wildness, u).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// An arbitrary request of a function of a plugin that is not the puppet: mostly near the dry-run sample.
    fn request<R: Vocabulary>(
        &self,
        place: usize,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<R> {
        let request = match u.int_in_range(0..=2u8)? {
            0 => R::arbitrary_of(place, u)?,
            _ => sample_mutation::mutated_sample(place, u)?,
        };
        let request = if !self.dictionary.is_empty() && u.ratio(1, 2)? {
            let from = if u.ratio(3, 4)? {
                self.likely_tokens()
            } else {
                &self.dictionary[..]
            };
            sample_mutation::with_token(request, u.choose(from)?, from, u)?
        } else {
            request
        };
        let request = if !self.response_dictionary.is_empty() && u.ratio(1, 4)? {
            sample_mutation::with_object(
                request,
                u.choose(&self.response_dictionary)?,
                &self.dictionary,
                u,
            )?
        } else {
            request
        };
        let request = if u.ratio(1, 8)? {
            sample_mutation::with_body(request, u)?
        } else {
            request
        };
        if u.ratio(1, 4)? {
            let marker = format!("{MARKER}{:08x}", u.arbitrary::<u32>()?);
            sample_mutation::with_token(request, &marker, &self.dictionary, u)
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
        CaseGenerator::puppet::<Request>().case(u)
    }
}
