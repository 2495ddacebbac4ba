//! Dispatches the steps of a case on the open session, one after the other.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Clock, Runner};
use crate::case::{MANY_STEPS, Step};
use crate::execute::memory;
use crate::host::{Call, Cause, DispatchOutcome, Host};
use crate::record::{CaseRecord, StepResult, Subject};
use crate::wire::Vocabulary;

/// The most bytes of a plugin's answers to a case, after which its other steps are skipped, because
/// the record keeps all answers, both as bytes and parsed. Identical answers in a row count once.
const ANSWERS_MAX_BYTES: usize = 8 << 20;

/// The most times its own size that a parsed answer may take before it counts for more.
const TREE_MAX_TIMES: usize = 8;

/// The largest answer, in bytes, whose parsed size is not computed.
const SMALL_BYTES: usize = 4096;

/// The most calls of a plugin in a row that may end abnormally, after which the rest of a case of
/// [`MANY_STEPS`] is skipped: each of them begins with a fresh instance, so nothing accumulates,
/// and a call that times out takes long.
const ABNORMAL_IN_A_ROW_MAX: usize = 32;

fn answer_bytes(result: &StepResult, call: &Call) -> usize {
    let text = call.output.as_ref().map(|output| output.len());
    match text {
        Some(text) if text <= SMALL_BYTES => text,
        text => text
            .unwrap_or(0)
            .max(memory::of_result(result) / TREE_MAX_TIMES),
    }
}

/// The state that decides whether the rest of a case is skipped.
struct Long {
    /// Whether the case has [`MANY_STEPS`].
    is_long: bool,
    answered_bytes: usize,
    /// The number of calls in a row that ended abnormally.
    abnormal: usize,
}

/// The part that is skipped.
#[derive(PartialEq)]
enum Left {
    /// The remaining repetitions of a step.
    Step,
    /// The remaining steps of the case.
    Case,
}

impl<H: Host, R: Vocabulary> Runner<'_, H, R> {
    /// Dispatches steps, `dispatches` in total. After each one without an answer, makes the healthy
    /// call of its function, or one of each function if the puppet timed out.
    pub(crate) fn steps<'c>(
        &mut self,
        dispatches: usize,
        steps: impl Iterator<Item = Cow<'c, Step<R>>>,
    ) -> CaseRecord {
        let mut record = CaseRecord::new(self.subject);
        record.healthy = Arc::clone(&self.healthy_results);
        record.steps.reserve(dispatches);
        self.clock = Clock::default();
        let mut long = Long {
            is_long: dispatches >= MANY_STEPS,
            answered_bytes: 0,
            abnormal: 0,
        };
        for (index, step) in steps.enumerate() {
            let mut next = ControlFlow::Continue(());
            for _ in 1..step.times.get() {
                let step = Cow::Borrowed(step.as_ref());
                next = self.dispatch(index, step, &mut record, &mut long);
                if next.is_break() {
                    break;
                }
            }
            if next.is_continue() {
                next = self.dispatch(index, step, &mut record, &mut long);
            }
            if next == ControlFlow::Break(Left::Case) {
                break;
            }
        }
        record
    }

    /// Dispatches a step once. Returns whether to skip its remaining repetitions or the rest of the
    /// case.
    fn dispatch(
        &mut self,
        index: usize,
        step: Cow<'_, Step<R>>,
        record: &mut CaseRecord,
        long: &mut Long,
    ) -> ControlFlow<Left> {
        let Some(mut seen) = self.step(index, step, long.is_long) else {
            return ControlFlow::Break(Left::Step);
        };
        let answered = matches!(seen.result.outcome(), Some(DispatchOutcome::Ok(_)));
        // If the host reports no cause, any call without an answer may have ended abnormally.
        let cause = seen.call.cause.as_ref();
        let abnormal = cause.map_or(!answered, Cause::is_abnormal);
        let function = seen.function;
        let before = record.steps.last();
        match before.filter(|before| before.step_index == index) {
            Some(before) if seen.share(before) => {}
            _ => long.answered_bytes += answer_bytes(&seen.result, &seen.call),
        }
        long.abnormal = if abnormal || seen.hit_time_limit() {
            long.abnormal + 1
        } else {
            0
        };
        let by_clock = self.subject == Subject::Puppet && seen.hit_time_limit();
        record.steps.push(seen);
        if !answered && let Some(own) = self.healthy.iter().position(|h| h.function == function) {
            // The function's own healthy call comes last, behind that of its other versions: it might
            // undo what the host does to other functions after a timeout.
            let others = 0..if by_clock { self.healthy.len() } else { 0 };
            let mut order: Vec<usize> = others.filter(|other| *other != own).collect();
            order.sort_by_key(|other| self.healthy[*other].function.name == function.name);
            for negotiated in order.into_iter().chain([own]) {
                let mut probe = self.probe(negotiated, record.steps.len());
                match record.probes.last() {
                    Some(before) if probe.share(before) => {}
                    _ => long.answered_bytes += answer_bytes(&probe.result, &probe.call),
                }
                record.probes.push(probe);
            }
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
