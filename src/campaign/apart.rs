//! Whether sessions are apart: what one does must not change others.

use super::CampaignError;
use super::lab::Lab;
use super::suspect::{Confirmed, Known, Suspect, joined};
use crate::case::{Case, MAX_STEPS, Step};
use crate::finding::{Finding, Origin};
use crate::observation::Subject;
use crate::oracle::{NoCrash, NoPoison, OTHER_SESSIONS, Oracle as _};
use crate::wire::Vocabulary;

/// What is the matter where a fresh session is not what it was when the host was opened: then nothing that is seen says what
/// comes of its own case. It is told once, with what led to it, for no case by itself may show it.
pub(super) fn of_other_sessions<R: Vocabulary, L: Lab<R>>(
    lab: &mut L,
    suspect: &Suspect<'_, R>,
    known: &Known,
) -> Result<Option<Confirmed<R>>, CampaignError> {
    let violation = suspect.violation;
    // A death says more, and what is measured has another cause. What is the matter with a plugin is none of its sessions'.
    let is_told_otherwise =
        violation.measured || violation.check == NoCrash.name() || violation.is_of_plugin();
    let last = suspect.history.last().and_then(|case| case.steps.first());
    let Some(step) = last.filter(|_| !is_told_otherwise) else {
        return Ok(None);
    };
    // It shows whatever the case is.
    let healthy = Case {
        steps: vec![Step::healthy(step.request.place())],
    };
    let changes = |lab: &mut L, case: &Case<R>| {
        let mut found = lab.judge(case, NoPoison.name())?.into_iter();
        let changed = found.find(|violation| violation.class == OTHER_SESSIONS);
        Ok::<_, CampaignError>(changed)
    };
    let case = joined(suspect.history, MAX_STEPS);
    // A host that is changed stays so. A lab that is a process has begun anew: what led to it leads there again.
    let (seen, is_changed) = match changes(lab, &healthy)? {
        Some(_) => (changes(lab, &healthy)?, true),
        None if lab.subject() == Subject::Puppet => (changes(lab, &case)?, false),
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
    if known.told.has_finding(&finding) {
        return Ok(Some(Confirmed::Known));
    }
    lab.begin_afresh();
    match changes(lab, &finding.case)? {
        Some(_) => {}
        None if is_changed => finding.origin = Origin::Unreproduced,
        // It was seen once.
        None => return Ok(None),
    }
    Ok(Some(Confirmed::Finding(Box::new(finding))))
}
