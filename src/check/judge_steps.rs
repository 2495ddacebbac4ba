//! Runs checks that judge each step separately.

use super::{Check, Violation, no_poison};
use crate::record::{CaseRecord, StepRecord};

/// Returns the violations of a check that judges each step separately; `judge` returns what is
/// wrong with a step. Steps on a session that is known to be poisoned are left to `no_poison`.
pub(super) fn judge_steps(
    check: &'static dyn Check,
    record: &CaseRecord,
    judge: impl Fn(&StepRecord) -> Option<String>,
) -> Vec<Violation> {
    judge_each(check, record, record.steps.iter().enumerate(), judge)
}

/// Does the same for a check that reads requests and answers: of steps that repeat each other, only
/// the first is judged.
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
    let steps = steps.take_while(|(index, _)| *index < sound);
    let violations =
        steps.filter_map(|(_, step)| Some(Violation::new(check, step.function, judge(step)?)));
    violations.collect()
}
