//! The case: a sequence of requests to try.
//!
//! A [`Case`] is a sequence of steps for one session. It is a value with a file format of its own,
//! not a string of fuzzer bytes, so corpora and findings keep their meaning when a generator
//! changes.
//!
//! Bugs in this module look like a case that has another meaning after it is written and read.

use std::borrow::Cow;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::puppet::Program;
use crate::wire::{Part, Request, Vocabulary};

mod as_hosts_send;
mod depth;
mod file;
mod shrink;
mod shrink_text;
pub(crate) mod tree;

pub use depth::Depth;
pub use file::{CaseError, FORMAT, Folder};
pub use shrink::{ShrinkLimits, Shrunk};
pub use shrink_text::Numbers;

/// The prefix of a marker. Eight hexadecimal digits follow, which no other request has. See
/// [`NoCarryover`](crate::check::NoCarryover).
pub const MARKER: &str = "cclbmark";

/// The most dispatches of a case, all of its steps together.
pub const MAX_STEPS: usize = 16_384;

/// The `times` of a step that is dispatched once.
pub const ONCE: NonZeroU32 = NonZeroU32::MIN;

/// A sequence of steps for one session.
#[derive(Clone, Debug, PartialEq)]
pub struct Case<R = Request> {
    /// The steps, in the order in which they are dispatched.
    pub steps: Vec<Step<R>>,
}

/// One dispatch of a case, or several equal ones in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "R: Vocabulary")]
pub struct Step<R = Request> {
    /// The request.
    pub request: R,
    /// The puppet program that the request carries; without one the puppet answers healthily. Other
    /// plugins see an unusual string.
    #[serde(default)]
    pub program: Option<Program>,
    /// The number of dispatches before the next step.
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
    /// Returns the number of dispatches: the `times` of all steps together.
    pub fn dispatches(&self) -> usize {
        let times = self.steps.iter().map(|step| step.times.get() as usize);
        times.fold(0, usize::saturating_add)
    }
}

impl<R: Vocabulary> Case<R> {
    /// Merges equal steps in a row into one with the sum of their `times`, which has the same
    /// meaning.
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

    /// Returns the case of the last dispatches, at most `most` of them.
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
    /// Returns the healthy call of the function at an index of [`Vocabulary::functions`]: its
    /// dry-run request without a program.
    pub fn healthy(index: usize) -> Self {
        Self::without_program(R::dry_run(index))
    }

    /// Returns the step that dispatches the request once, without a program.
    pub fn without_program(request: R) -> Self {
        Self {
            request,
            program: None,
            times: ONCE,
        }
    }

    /// Returns whether both steps dispatch the same, regardless of `times`.
    pub(crate) fn is_same_call(&self, other: &Self) -> bool {
        self.request == other.request && self.program == other.program
    }

    /// Returns the request with the program encoded in it.
    pub fn request_with_program(&self) -> R {
        Self::request_and_program(Cow::Borrowed(self)).0
    }

    /// Returns the same, and the program. An owned step is not copied.
    pub(crate) fn request_and_program(step: Cow<'_, Self>) -> (R, Option<Cow<'_, Program>>) {
        let (mut request, program) = match step {
            Cow::Borrowed(step) => (
                step.request.clone(),
                step.program.as_ref().map(Cow::Borrowed),
            ),
            Cow::Owned(step) => (step.request, step.program.map(Cow::Owned)),
        };
        if let Some(program) = &program {
            let text = program.encode();
            match program.carrier_index() {
                Some(index) => carry_in(&mut request, index.into(), text),
                None => request.carry(text),
            }
        }
        (request, program)
    }
}

/// Puts the text into the request's text at `index`, modulo their number. If the type does not know
/// its texts, the text goes into the function's usual field.
fn carry_in<R: Vocabulary>(request: &mut R, index: usize, text: String) {
    let is_text = |part: &Part<'_>| matches!(part, Part::Text(_) | Part::Body(_) | Part::Json(_));
    let mut all = 0;
    request.parts(&mut |part| all += usize::from(is_text(&part)));
    if all == 0 {
        return request.carry(text);
    }
    let (mut at, index) = (0, index % all);
    request.parts(&mut |part| {
        if !is_text(&part) {
            return;
        }
        if at == index {
            match part {
                Part::Text(own) | Part::Body(own) => own.clone_from(&text),
                Part::Json(json) => *json = text.as_str().into(),
                _ => {}
            }
        }
        at += 1;
    });
}

/// The fewest dispatches of a case that can show growth from call to call.
pub const MANY_STEPS: usize = 64;
