//! Checks that judge each step by itself.

use super::{Check, Violation, no_poison};
use crate::record::{CaseRecord, StepRecord};

/// The violations of a check that judges each step by itself; `judge` says what is wrong with one. What a session does
/// that is known to be poisoned is `no_poison`'s matter.
pub(super) fn judge_steps(
    check: &'static dyn Check,
    record: &CaseRecord,
    judge: impl Fn(&StepRecord) -> Option<String>,
) -> Vec<Violation> {
    judge_each(check, record, record.steps.iter().enumerate(), judge)
}

/// The same of a check that reads what was said and answered: of steps that repeat each other the first tells all.
pub(super) fn judge_distinct_steps(
    check: &'static dyn Check,
    record: &CaseRecord,
    judge: impl Fn(&StepRecord) -> Option<String>,
) -> Vec<Violation> {
    judge_each(check, record, record.distinct_steps(), judge)
}

fn judge_each<'r>(
    check: &'static dyn Check,
    record: &'r CaseRecord,
    steps: impl Iterator<Item = (usize, &'r StepRecord)>,
    judge: impl Fn(&StepRecord) -> Option<String>,
) -> Vec<Violation> {
    let sound = match no_poison::changed_elsewhere(record) {
        Some(_) => Some(0),
        None => no_poison::poisoned(record).map(|probe| probe.after).min(),
    };
    let sound = sound.unwrap_or(usize::MAX);
    let steps = steps.take_while(|(place, _)| *place < sound);
    let violations =
        steps.filter_map(|(_, step)| Some(Violation::new(check, step.function, judge(step)?)));
    violations.collect()
}
