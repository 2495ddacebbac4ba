//! The settings of the case generator, and arbitrary cases.

use arbitrary::Unstructured;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::programs::Wildness;
use super::{dictionary, sample_mutation};
use crate::case::{Case, MARKER, ONCE, Step};
use crate::puppet::Program;
use crate::wire::{Request, Vocabulary};

/// The most steps of a generated case.
const GENERATED_STEPS: usize = 8;

/// The most steps of a generated sequence.
const SEQUENCE_STEPS: usize = 32;

/// A generator of cases: the functions, programs and tokens that it draws from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseGenerator {
    /// The functions to call, by their indices in [`Vocabulary::functions`]. Must not be empty.
    pub functions: Vec<usize>,
    /// The kind of puppet programs that requests carry; `None` for any other plugin.
    pub programs: Option<Wildness>,
    /// Tokens for requests to a plugin that is not the puppet, the likeliest first: see
    /// [`dictionary()`].
    pub dictionary: Vec<String>,
    /// JSON objects for requests to such a plugin, as texts: see
    /// [`Runner::response_dictionary`](crate::execute::Runner::response_dictionary).
    pub response_dictionary: Vec<String>,
}

impl CaseGenerator {
    /// Returns a generator for the puppet: all functions of the vocabulary, with scripted and wild
    /// programs.
    pub fn puppet<R: Vocabulary>() -> Self {
        Self {
            functions: (0..R::functions().len()).collect(),
            programs: Some(Wildness::Wild),
            dictionary: Vec::new(),
            response_dictionary: Vec::new(),
        }
    }

    /// Returns a generator for any other plugin: all functions of the vocabulary, without programs.
    pub fn plugin<R: Vocabulary>() -> Self {
        Self {
            programs: None,
            ..Self::puppet::<R>()
        }
    }

    /// Returns the tokens that the plugin most likely looks for.
    pub(crate) fn likely_tokens(&self) -> &[String] {
        &self.dictionary[..self.dictionary.len().min(dictionary::LIKELY_MAX)]
    }

    /// Draws an arbitrary step.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    pub fn step<R: Vocabulary>(&self, u: &mut Unstructured<'_>) -> arbitrary::Result<Step<R>> {
        let index = *u.choose(&self.functions)?;
        // The part that is drawn last often gets no entropy.
        let program_first = self.programs.is_some() && u.arbitrary()?;
        let program = if program_first {
            self.program::<R>(index, u)?
        } else {
            None
        };
        let request = match self.programs {
            Some(_) => R::arbitrary_of(index, u)?,
            None => self.request(index, u)?,
        };
        let program = if program_first {
            program
        } else {
            self.program::<R>(index, u)?
        };
        Ok(Step {
            request,
            program,
            times: ONCE,
        })
    }

    /// Draws an arbitrary program or none. A plugin that is not the puppet gets none.
    fn program<R: Vocabulary>(
        &self,
        index: usize,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<Option<Program>> {
        match self.programs {
            Some(wildness) if u.int_in_range(0..=2u8)? != 0 => {
                Program::arbitrary_for(&R::functions()[index], wildness, u).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Draws a request for a plugin that is not the puppet: in most cases a mutated dry-run sample.
    fn request<R: Vocabulary>(
        &self,
        index: usize,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<R> {
        let request = match u.int_in_range(0..=2u8)? {
            0 => R::arbitrary_of(index, u)?,
            _ => sample_mutation::mutated_sample(index, u)?,
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

    /// Draws a sequence of many steps, most of them healthy calls or mutated samples.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
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

    /// Draws an arbitrary case, which has a few steps in most cases.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    pub fn case<R: Vocabulary>(&self, u: &mut Unstructured<'_>) -> arbitrary::Result<Case<R>> {
        let most = *u.choose(&[1, 2, 4, GENERATED_STEPS])?;
        let mut steps = vec![self.step(u)?];
        for _ in 1..u.int_in_range(1..=most)? {
            // Without entropy all further steps would be equal.
            if u.is_empty() {
                break;
            }
            steps.push(self.step(u)?);
        }
        Ok(Case { steps })
    }

    /// Returns a strategy of arbitrary steps of the function at an index. It shrinks.
    pub fn strategy<R: Vocabulary>(&self, index: usize) -> BoxedStrategy<Case<R>> {
        let program = match self.programs {
            Some(wildness) => {
                let program = Program::strategy_for(&R::functions()[index], wildness);
                proptest::option::of(program).boxed()
            }
            None => Just(None).boxed(),
        };
        let step = (R::strategy_of(index), program);
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
