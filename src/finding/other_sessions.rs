//! Whether sessions are apart: what one does must not change others.

use super::history::joined;
use super::suspect::{Confirmation, Known, Suspect};
use super::{Finding, Origin};
use crate::case::{Case, MAX_STEPS, Step};
use crate::check::{CheckRef, Nature, NoPoison, OTHER_SESSIONS};
use crate::execute::Executor;
use crate::record::Subject;
use crate::wire::Vocabulary;

/// What is the matter where a fresh session is not what it was when the host was opened: then nothing that is seen says what
/// comes of its own case. It is told once, with what led to it, for no case by itself may show it.
pub(crate) fn confirm_other_sessions<R: Vocabulary, L: Executor<R>>(
    executor: &mut L,
    suspect: &Suspect<'_, R>,
    known: &Known,
) -> Result<Option<Confirmation<R>>, L::Error> {
    let violation = suspect.violation;
    let nature = violation.nature();
    // A death says more, and what is measured has another cause. What is the matter with a plugin is none of its sessions'.
    let is_told_otherwise = violation.measured || nature == Nature::Death || nature.is_of_plugin();
    let last = suspect.history.last().and_then(|case| case.steps.first());
    let Some(step) = last.filter(|_| !is_told_otherwise) else {
        return Ok(None);
    };
    // It shows whatever the case is.
    let healthy = Case {
        steps: vec![Step::healthy(step.request.function_index())],
    };
    let changes = |executor: &mut L, case: &Case<R>| {
        let mut found = executor.judge(case, CheckRef::new(&NoPoison))?.into_iter();
        let changed = found.find(|violation| violation.class == OTHER_SESSIONS);
        Ok::<_, L::Error>(changed)
    };
    let case = joined(suspect.history, MAX_STEPS);
    // A host that is changed stays so. A lab that is a process has begun anew: what led to it leads there again.
    let (seen, is_changed) = match changes(executor, &healthy)? {
        Some(_) => (changes(executor, &healthy)?, true),
        None if executor.subject() == Subject::Puppet => (changes(executor, &case)?, false),
        None => (None, false),
    };
    let Some(violation) = seen else {
        return Ok(None);
    };
    let mut finding = Finding {
        violation,
        case,
        origin: Origin::History,
        minimal: false,
    };
    if known.findings.has_finding(&finding) {
        return Ok(Some(Confirmation::Duplicate));
    }
    executor.start_fresh();
    match changes(executor, &finding.case)? {
        Some(_) => {}
        None if is_changed => finding.origin = Origin::Unreproduced,
        // It was seen once.
        None => return Ok(None),
    }
    Ok(Some(Confirmation::Finding(Box::new(finding))))
}
