//! Confirms violations of isolation: what one session does must not affect others.

use super::history::joined;
use super::suspect::{Confirmation, Known, Suspect};
use super::{Finding, Origin};
use crate::case::{Case, MAX_STEPS, Step};
use crate::check::{CheckRef, Nature, NoPoison, OTHER_SESSIONS};
use crate::execute::Executor;
use crate::record::Subject;
use crate::wire::Vocabulary;

/// Confirms that a fresh session differs from one when the host was opened. Then no case can be
/// blamed for what it shows. The finding is reported once, with the history that led to it, because
/// a single case may not show it.
pub(crate) fn confirm_other_sessions<R: Vocabulary, X: Executor<R>>(
    executor: &mut X,
    suspect: &Suspect<'_, R>,
    known: &Known,
) -> Result<Option<Confirmation<R>>, X::Error> {
    let violation = suspect.violation;
    let nature = violation.nature();
    // A death outranks this, and a measured violation has another cause. A violation of the plugin
    // does not come from its sessions.
    let is_told_otherwise = violation.measured || nature == Nature::Death || nature.is_of_plugin();
    let last = suspect.history.last().and_then(|case| case.steps.first());
    let Some(step) = last.filter(|_| !is_told_otherwise) else {
        return Ok(None);
    };
    // Any case shows it.
    let healthy = Case {
        steps: vec![Step::healthy(step.request.function_index())],
    };
    let changes = |executor: &mut X, case: &Case<R>| {
        let mut found = executor.judge(case, CheckRef::new(&NoPoison))?.into_iter();
        let changed = found.find(|violation| violation.class == OTHER_SESSIONS);
        Ok::<_, X::Error>(changed)
    };
    let case = joined(suspect.history, MAX_STEPS);
    // A changed host stays changed. An executor in a new process starts over, and the history
    // changes the host again.
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
        // It was seen only once.
        None => return Ok(None),
    }
    Ok(Some(Confirmation::Finding(Box::new(finding))))
}
