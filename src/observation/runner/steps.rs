//! The steps of a case on the session that is open, one dispatch after the other.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Clock, Runner, Subject};
use crate::case::Step;
use crate::host::{Call, Cause, DispatchOutcome, Host};
use crate::observation::{CaseRecord, MANY_STEPS, Reaction, memory};
use crate::wire::Vocabulary;

/// When a plugin's answers to a case have so many bytes together, its other steps are left out: the record keeps all of
/// them, read too. What it answers again and again counts once.
const ANSWERS_MAX_BYTES: usize = 8 << 20;

/// An answer that takes more than so many times its bytes when it is read counts for more.
const TREE_MAX_TIMES: usize = 8;

/// Up to so many bytes of text an answer's tree is not looked at.
const SMALL_BYTES: usize = 4096;

/// When so many calls of a plugin in a row ended abnormally, the rest of a case of [`MANY_STEPS`] is left out: each began
/// with a fresh instance, in which nothing adds up, and a call that the clock ends takes long.
const ABNORMAL_IN_A_ROW_MAX: usize = 32;

fn answer_bytes(reaction: &Reaction, call: &Call) -> usize {
    let text = call.output.as_ref().map(|output| output.len());
    match text {
        Some(text) if text <= SMALL_BYTES => text,
        text => text
            .unwrap_or(0)
            .max(memory::of_reaction(reaction) / TREE_MAX_TIMES),
    }
}

/// What a case came to so far, for its length.
struct Long {
    /// Whether it has [`MANY_STEPS`].
    is_long: bool,
    answered_bytes: usize,
    /// How many calls in a row ended abnormally.
    abnormal: usize,
}

/// What is left out.
#[derive(PartialEq)]
enum Left {
    /// The rest of a step's times.
    Step,
    /// The rest of the case.
    Case,
}

impl<H: Host, R: Vocabulary> Runner<'_, H, R> {
    /// Dispatches steps, so often together, and behind each that did not answer the healthy call of its function.
    pub(super) fn steps<'c>(
        &mut self,
        dispatches: usize,
        steps: impl Iterator<Item = Cow<'c, Step<R>>>,
    ) -> CaseRecord {
        let mut record = CaseRecord::new(self.subject);
        record.healthy = Arc::clone(&self.healthy_reactions);
        record.steps.reserve(dispatches);
        self.clock = Clock::default();
        let mut long = Long {
            is_long: dispatches >= MANY_STEPS,
            answered_bytes: 0,
            abnormal: 0,
        };
        for (place, step) in steps.enumerate() {
            let mut next = ControlFlow::Continue(());
            for _ in 1..step.times.get() {
                let step = Cow::Borrowed(step.as_ref());
                next = self.dispatch(place, step, &mut record, &mut long);
                if next.is_break() {
                    break;
                }
            }
            if next.is_continue() {
                next = self.dispatch(place, step, &mut record, &mut long);
            }
            if next == ControlFlow::Break(Left::Case) {
                break;
            }
        }
        record
    }

    /// Dispatches a step once; whether the rest of its times is left out, or of the case.
    fn dispatch(
        &mut self,
        place: usize,
        step: Cow<'_, Step<R>>,
        record: &mut CaseRecord,
        long: &mut Long,
    ) -> ControlFlow<Left> {
        let Some(mut seen) = self.step(place, step, long.is_long) else {
            return ControlFlow::Break(Left::Step);
        };
        let answered = matches!(seen.reaction.outcome(), Some(DispatchOutcome::Ok(_)));
        // Of a host that tells no cause, any call without an answer may have ended so.
        let cause = seen.call.cause.as_ref();
        let abnormal = cause.map_or(!answered, Cause::is_abnormal);
        let function = seen.function;
        let before = record.steps.last();
        match before.filter(|before| before.place == place) {
            Some(before) if seen.share(before) => {}
            _ => long.answered_bytes += answer_bytes(&seen.reaction, &seen.call),
        }
        long.abnormal = if abnormal || seen.met_the_wall() {
            long.abnormal + 1
        } else {
            0
        };
        record.steps.push(seen);
        if !answered && let Some(own) = self.healthy.iter().position(|h| h.function == function) {
            let mut probe = self.probe(own, record.steps.len());
            match record.probes.last() {
                Some(before) if probe.share(before) => {}
                _ => long.answered_bytes += answer_bytes(&probe.reaction, &probe.call),
            }
            record.probes.push(probe);
        }
        let too_many = long.is_long && long.abnormal >= ABNORMAL_IN_A_ROW_MAX;
        let too_large = long.answered_bytes > ANSWERS_MAX_BYTES;
        if self.subject == Subject::Plugin && (too_many || too_large) {
            ControlFlow::Break(Left::Case)
        } else {
            ControlFlow::Continue(())
        }
    }
}
