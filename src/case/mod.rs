//! The case: what is tried.
//!
//! A [`Case`] is a sequence of steps for one session, a value with a file format of its own and not a
//! string of fuzzer bytes: corpora and findings keep their meaning when a generator changes.
//!
//! A discrepancy here is a case that does not mean the same after it was written and read.

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

/// What a marker begins with; eight hexadecimal digits follow, which no other request has. See
/// [`NoCarryover`](crate::check::NoCarryover).
pub const MARKER: &str = "cclbmark";

/// The most dispatches that a case may have, of all its steps together.
pub const MAX_STEPS: usize = 16_384;

/// The times of a step that is dispatched once.
pub const ONCE: NonZeroU32 = NonZeroU32::MIN;

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
    pub fn request_with_program(&self) -> R {
        Self::request_and_program(Cow::Borrowed(self)).0
    }

    /// The same, of a step that need not be copied where it is of no more use, and the program.
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
                Some(place) => carry_in(&mut request, place.into(), text),
                None => request.carry(text),
            }
        }
        (request, program)
    }
}

/// Puts a text into the request's text of this place, counted round and round; into that of its function where its type does
/// not know them.
fn carry_in<R: Vocabulary>(request: &mut R, place: usize, text: String) {
    let is_text = |part: &Part<'_>| matches!(part, Part::Text(_) | Part::Body(_) | Part::Json(_));
    let mut all = 0;
    request.parts(&mut |part| all += usize::from(is_text(&part)));
    if all == 0 {
        return request.carry(text);
    }
    let (mut at, place) = (0, place % all);
    request.parts(&mut |part| {
        if !is_text(&part) {
            return;
        }
        if at == place {
            match part {
                Part::Text(own) | Part::Body(own) => own.clone_from(&text),
                Part::Json(json) => *json = text.as_str().into(),
                _ => {}
            }
        }
        at += 1;
    });
}

/// A case of so many steps shows whether calls do more and more.
pub const MANY_STEPS: usize = 64;
