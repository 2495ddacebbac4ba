//! Confirms a violation: does it reproduce, is it known, and what is the smallest case that shows
//! it?

use std::collections::BTreeSet;

use super::history::joined;
use super::other_sessions::confirm_other_sessions;
use super::suspect::{Confirmation, Known, Suspect};
use super::{Finding, Origin, is_healthy_call};
use crate::case::{Case, MAX_STEPS, Numbers, ShrinkLimits, Step};
use crate::check::{CheckRef, Nature, PluginFault, Violation};
use crate::execute::Executor;
use crate::execute::executor::{MEASURED_REPEATS, must_reproduce};
use crate::host::Site;
use crate::puppet::{MEANS, Program};
use crate::record::Subject;
use crate::wire::Vocabulary;

/// The most steps of a history that are run for a measured violation.
const MEASURED_STEPS: usize = 64;

/// How often a plugin's case may fail to reproduce before it has reproduced often enough.
const PLUGIN_MISSES: u32 = 2;

/// Confirms a violation and shrinks its case.
///
/// # Errors
/// Returns the errors of the executor.
pub fn confirm<R: Vocabulary, X: Executor<R>>(
    executor: &mut X,
    suspect: &Suspect<'_, R>,
    known: &Known,
    limits: ShrinkLimits,
) -> Result<Confirmation<R>, X::Error> {
    // Most violations are known, which this detects fastest.
    if let Some(last) = suspect.history.last()
        && is_known(executor, suspect.violation, last, &known.effects)?
    {
        return Ok(Confirmation::Duplicate);
    }
    match confirm_other_sessions(executor, suspect, known)? {
        Some(confirmed) => Ok(confirmed),
        None => confirm_in_one_session(executor, suspect, known, limits),
    }
}

/// Does the same for a violation that does not involve other sessions.
fn confirm_in_one_session<R: Vocabulary, X: Executor<R>>(
    executor: &mut X,
    suspect: &Suspect<'_, R>,
    known: &Known,
    limits: ShrinkLimits,
) -> Result<Confirmation<R>, X::Error> {
    if let Some((violation, history)) = as_fault(suspect, executor.subject()) {
        let suspect = Suspect {
            violation: &violation,
            history: &history,
            flaky: true,
        };
        // Known violations are faults of a call that does not need the earlier ones.
        if let Confirmation::Finding(finding) =
            confirm_in_one_session(executor, &suspect, known, limits)?
        {
            return Ok(Confirmation::Finding(finding));
        }
    }
    if let Some(last) = suspect.history.last()
        && let Some(confirmed) = confirm_on_usual_requests(executor, suspect, last, known, limits)?
    {
        return Ok(confirmed);
    }
    // Measured violations take long and must reproduce several times.
    let steps = if must_reproduce(suspect.violation) {
        MEASURED_STEPS
    } else {
        MAX_STEPS
    };
    let joined = joined(suspect.history, steps);
    let last = suspect.history.last().cloned();
    let candidates = last.map(|last| (last, Origin::Case)).into_iter();
    for (case, origin) in candidates.chain([(joined.clone(), Origin::History)]) {
        // The single case is not known: that was checked before.
        let may_be_known = origin == Origin::History;
        if may_be_known && is_known(executor, suspect.violation, &case, &known.effects)? {
            return Ok(Confirmation::Duplicate);
        }
        let violation = &located(executor, suspect.violation, &case)?;
        let is_told = violation.site != suspect.violation.site && known.findings.has(violation);
        if is_told || known.findings.has_at_a_place(violation) {
            return Ok(Confirmation::Duplicate);
        }
        if reproduce_reliably(executor, violation, &case)?.is_some()
            && let Some(confirmed) = shrink(executor, violation, &case, origin, known, limits)
        {
            // Check once more whether the unusual content that the shrunk case still has is needed.
            if let Confirmation::Finding(finding) = &confirmed
                && let Some(other) =
                    confirm_on_usual_requests(executor, suspect, &finding.case, known, limits)?
            {
                return Ok(other);
            }
            return Ok(confirmed);
        }
    }
    let flaky = suspect.violation.is_flaky() || suspect.flaky;
    // A death counts whatever caused it: what the case would have shown is unknown.
    if flaky && suspect.violation.nature() != Nature::Death {
        return Ok(Confirmation::NotReproduced);
    }
    Ok(Confirmation::Finding(Box::new(Finding {
        violation: suspect.violation.clone(),
        case: joined,
        origin: Origin::Unreproduced,
        minimal: false,
    })))
}

/// Confirms a limit as a fault, if the case also shows it with values that hosts send: then no
/// unusual value is needed. Returns `None` if it does not, or if the violation is not a limit.
fn confirm_on_usual_requests<R: Vocabulary, X: Executor<R>>(
    executor: &mut X,
    suspect: &Suspect<'_, R>,
    case: &Case<R>,
    known: &Known,
    limits: ShrinkLimits,
) -> Result<Option<Confirmation<R>>, X::Error> {
    let Some(fault) = suspect.violation.on_usual_requests() else {
        return Ok(None);
    };
    for usual in case.as_hosts_send() {
        if reproduce(executor, &fault, &usual)?.is_none() {
            continue;
        }
        if known.findings.has(&fault) {
            return Ok(Some(Confirmation::Duplicate));
        }
        let suspect = Suspect {
            violation: &fault,
            history: &[usual],
            flaky: true,
        };
        let confirmed = confirm_in_one_session(executor, &suspect, known, limits)?;
        if !matches!(confirmed, Confirmation::NotReproduced) {
            return Ok(Some(confirmed));
        }
    }
    Ok(None)
}

/// Returns a plugin's failed healthy call as a fault of a case that ends with the healthy calls.
/// That case includes everything that led to it, even the healthy calls in between.
fn as_fault<R: Vocabulary>(
    suspect: &Suspect<'_, R>,
    subject: Subject,
) -> Option<(Violation, Vec<Case<R>>)> {
    if subject == Subject::Puppet || !is_healthy_call(suspect.violation) {
        return None;
    }
    let violation = Violation {
        check: CheckRef::new(&PluginFault),
        ..suspect.violation.clone()
    };
    let mut history = suspect.history.to_vec();
    let last = history.last_mut()?;
    // Calls that were not negotiated do nothing, and shrinking removes them first.
    last.steps
        .extend((0..R::functions().len()).map(Step::healthy));
    (last.dispatches() <= MAX_STEPS).then_some((violation, history))
}

/// Confirms the violations that a session ended with, lazily, each once. See [`Suspect`] for
/// `history` and `flaky`.
///
/// # Errors
/// An item is an error of the executor.
pub fn confirm_all<R: Vocabulary, X: Executor<R>>(
    executor: &mut X,
    violations: Vec<Violation>,
    history: &[Case<R>],
    flaky: bool,
    limits: ShrinkLimits,
) -> impl Iterator<Item = Result<Finding<R>, X::Error>> {
    let mut known = Known::default();
    violations.into_iter().filter_map(move |violation| {
        if known.findings.has(&violation) {
            return None;
        }
        let suspect = Suspect {
            violation: &violation,
            history,
            flaky,
        };
        match confirm(executor, &suspect, &known, limits) {
            Ok(Confirmation::Finding(finding)) => known.findings.insert(*finding).map(Ok),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    })
}

/// Returns the violation with its site, if the site was unknown and can be located with this case.
fn located<R: Vocabulary, X: Executor<R>>(
    executor: &mut X,
    violation: &Violation,
    case: &Case<R>,
) -> Result<Violation, X::Error> {
    let violation = violation.clone();
    if violation.can_be_located() {
        let site = executor.locate(case, &violation)?;
        Ok(violation.with_site(site))
    } else {
        Ok(violation)
    }
}

/// Returns whether the case shows the violation at its site, if it shows it at all. Sites that are
/// known without a metered copy were compared when the case was judged.
fn keeps_place<R: Vocabulary, X: Executor<R>>(
    executor: &mut X,
    violation: &Violation,
    case: &Case<R>,
) -> Result<bool, X::Error> {
    match &violation.site {
        Some(site) if site.is_located_later() => {
            Ok(executor.locate(case, violation)?.as_ref() == Some(&**site))
        }
        _ => Ok(true),
    }
}

/// Returns the violation if the case shows it. In the puppet's cases the function may differ,
/// because a fault of the host in several functions is one fault. So it may for drift, which only a
/// case with one request attributes reliably, and if the site is the same. A located site is taken
/// from the violation: see [`keeps_place`].
fn reproduce<R: Vocabulary, X: Executor<R>>(
    executor: &mut X,
    violation: &Violation,
    case: &Case<R>,
) -> Result<Option<Violation>, X::Error> {
    let found = executor.judge(case, violation.check)?;
    let any_function =
        executor.subject() == Subject::Puppet || violation.nature() == Nature::PluginDrift;
    let mut found = found.into_iter();
    let shown = found.find(|other| violation.is_like(other, any_function));
    Ok(shown.map(|shown| match shown.site {
        None => shown.with_site(violation.site.as_deref().cloned()),
        Some(_) => shown,
    }))
}

/// Returns whether the case shows the violation this many times in a row.
fn reproduces_every_time<R: Vocabulary, X: Executor<R>>(
    executor: &mut X,
    violation: &Violation,
    case: &Case<R>,
    times: usize,
) -> Result<bool, X::Error> {
    for _ in 0..times {
        if reproduce(executor, violation, case)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns the violation if the case shows it on its own; a measured one must show every time.
fn reproduce_reliably<R: Vocabulary, X: Executor<R>>(
    executor: &mut X,
    violation: &Violation,
    case: &Case<R>,
) -> Result<Option<Violation>, X::Error> {
    let repeats = if violation.measured {
        MEASURED_REPEATS
    } else {
        2
    };
    // A plugin is deterministic. If its case does not reproduce, the busy machine ended a call.
    let mut misses = match executor.subject() {
        Subject::Plugin if !violation.measured => PLUGIN_MISSES,
        _ => 0,
    };
    let (mut told, mut shown) = (None, 0);
    while shown < repeats {
        executor.start_fresh();
        match reproduce(executor, violation, case)? {
            Some(violation) => {
                told = Some(violation);
                shown += 1;
            }
            None if misses > 0 => misses -= 1,
            None => return Ok(None),
        }
    }
    Ok(told)
}

/// Returns whether the violation needs only operations that a reported finding needs, and their
/// means. A plugin's case has no operations; known violations of plugins are recognized by
/// function.
fn is_known<R: Vocabulary, X: Executor<R>>(
    executor: &mut X,
    violation: &Violation,
    case: &Case<R>,
    known: &[BTreeSet<&'static str>],
) -> Result<bool, X::Error> {
    if executor.subject() == Subject::Plugin {
        return Ok(false);
    }
    let has: BTreeSet<_> = case
        .steps
        .iter()
        .filter_map(|step| step.program.as_ref())
        .flat_map(Program::effects)
        .collect();
    for effects in known.iter().filter(|effects| effects.is_subset(&has)) {
        let mut only = case.clone();
        for program in only.steps.iter_mut().filter_map(|s| s.program.as_mut()) {
            program
                .0
                .retain(|op| MEANS.contains(&op.effect()) || effects.contains(op.effect()));
        }
        if reproduce(executor, violation, &only)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Shrinks the case, which shows the violation. Returns `None` if it turns out not to show it
/// reliably. An early end of the search makes the case larger but does not lose the finding.
fn shrink<R: Vocabulary, X: Executor<R>>(
    executor: &mut X,
    violation: &Violation,
    case: &Case<R>,
    origin: Origin,
    known: &Known,
    limits: ShrinkLimits,
) -> Option<Confirmation<R>> {
    let mut finding = Finding {
        violation: violation.clone(),
        case: case.clone(),
        origin,
        minimal: false,
    };
    match try_shrink(executor, &mut finding, known, limits) {
        Ok(Shown::Reliably) | Err(_) => Some(Confirmation::Finding(Box::new(finding))),
        Ok(Shown::Known) => Some(Confirmation::Duplicate),
        Ok(Shown::No) => None,
    }
}

/// The result of shrinking.
enum Shown {
    /// The case shows the violation reliably.
    Reliably,
    /// The violation is one that was already reported.
    Known,
    /// The case does not show it every time.
    No,
}

/// Shrinks the case of a finding. Even after an early end, the case shows the violation.
fn try_shrink<R: Vocabulary, X: Executor<R>>(
    executor: &mut X,
    finding: &mut Finding<R>,
    known: &Known,
    limits: ShrinkLimits,
) -> Result<Shown, X::Error> {
    let (violation, case) = (finding.violation.clone(), finding.case.clone());
    // For a measured violation, which takes long, a candidate needs to show it only once, if the
    // final case shows it reliably. If that fails, a busy machine made the case too small, and a
    // second round follows. Locating takes long too, and a smaller case most often has the same
    // site.
    let is_located = violation
        .site
        .as_deref()
        .is_some_and(Site::is_located_later);
    let rounds: &[(usize, bool)] = match (violation.measured, is_located) {
        (true, _) => &[(1, false), (MEASURED_REPEATS, false)],
        (false, true) => &[(1, false), (1, true)],
        (false, false) => &[(1, false)],
    };
    let numbers = if violation.measured {
        Numbers::AsTheyAre
    } else {
        limits.numbers
    };
    let limits = ShrinkLimits { numbers, ..limits };
    for &(repeats, at_its_place) in rounds {
        // The smallest case so far, in case the search ends early. A measured violation must show
        // several times, and a located one at its site.
        let shows_for_sure = !violation.measured && (at_its_place || !is_located);
        let fails = |executor: &mut _, smallest: &mut Case<R>, case: &Case<R>| {
            let shows = reproduces_every_time(executor, &violation, case, repeats)?
                && (!at_its_place || keeps_place(executor, &violation, case)?);
            if shows && shows_for_sure {
                smallest.clone_from(case);
            }
            Ok::<_, X::Error>(shows)
        };
        // This takes few candidates, and the result identifies the finding.
        let structure =
            case.try_shrink_structure(limits, |case| fails(executor, &mut finding.case, case))?;
        let structure = structure.case;
        if let Some(told) = reproduce(executor, &violation, &structure)? {
            let smaller = Finding {
                violation: told,
                case: structure.clone(),
                ..finding.clone()
            };
            if known.findings.has_finding(&smaller) {
                return Ok(Shown::Known);
            }
        }
        let shrunk =
            structure.try_shrink(limits, |case| fails(executor, &mut finding.case, case))?;
        let larger = if Some(&(repeats, at_its_place)) == rounds.last() {
            vec![structure, case.clone()]
        } else {
            Vec::new()
        };
        let larger = larger.into_iter().map(|case| (case, false));
        for (case, minimal) in [(shrunk.case, shrunk.minimal)].into_iter().chain(larger) {
            if let Some(told) = reproduce_reliably(executor, &violation, &case)?
                && keeps_place(executor, &violation, &case)?
            {
                // Report the violation as the final case shows it.
                finding.violation = told;
                finding.case = case;
                finding.minimal = minimal;
                return Ok(Shown::Reliably);
            }
        }
    }
    Ok(Shown::No)
}
