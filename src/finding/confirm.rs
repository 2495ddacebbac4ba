//! From a violation to a finding: does it show again, is it one that is known, and what is the smallest case
//! that shows it?

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

/// The most steps of a history that are looked into for what was measured.
const MEASURED_STEPS: usize = 64;

/// How often the case of a plugin may be disturbed until it has shown what it shows.
const PLUGIN_MISSES: u32 = 2;

/// Makes a finding of a violation.
///
/// # Errors
/// Those of the lab.
pub fn confirm<R: Vocabulary, L: Executor<R>>(
    executor: &mut L,
    suspect: &Suspect<'_, R>,
    known: &Known,
    limits: ShrinkLimits,
) -> Result<Confirmation<R>, L::Error> {
    // Most are known, and that is seen soonest.
    if let Some(last) = suspect.history.last()
        && is_known(executor, suspect.violation, last, &known.effects)?
    {
        return Ok(Confirmation::Duplicate);
    }
    match confirm_other_sessions(executor, suspect, known)? {
        Some(confirmed) => Ok(confirmed),
        None => of_its_own(executor, suspect, known, limits),
    }
}

/// The same of what no other session has to do with.
fn of_its_own<R: Vocabulary, L: Executor<R>>(
    executor: &mut L,
    suspect: &Suspect<'_, R>,
    known: &Known,
    limits: ShrinkLimits,
) -> Result<Confirmation<R>, L::Error> {
    if let Some((violation, history)) = as_fault(suspect, executor.subject()) {
        let suspect = Suspect {
            violation: &violation,
            history: &history,
            flaky: true,
        };
        // What is known is the fault of a call that needs no others.
        if let Confirmation::Finding(finding) = of_its_own(executor, &suspect, known, limits)? {
            return Ok(Confirmation::Finding(finding));
        }
    }
    if let Some(last) = suspect.history.last()
        && let Some(confirmed) = as_no_limit(executor, suspect, last, known, limits)?
    {
        return Ok(confirmed);
    }
    // What a check that measures finds takes long, and has to show again and again.
    let steps = if must_reproduce(suspect.violation) {
        MEASURED_STEPS
    } else {
        MAX_STEPS
    };
    let joined = joined(suspect.history, steps);
    let last = suspect.history.last().cloned();
    let candidates = last.map(|last| (last, Origin::Case)).into_iter();
    for (case, origin) in candidates.chain([(joined.clone(), Origin::History)]) {
        // The case by itself is not, or there would be nothing to confirm.
        let may_be_known = origin == Origin::History;
        if may_be_known && is_known(executor, suspect.violation, &case, &known.effects)? {
            return Ok(Confirmation::Duplicate);
        }
        let violation = &located(executor, suspect.violation, &case)?;
        let is_told = violation.site != suspect.violation.site && known.findings.has(violation);
        if is_told || known.findings.has_at_a_place(violation) {
            return Ok(Confirmation::Duplicate);
        }
        if surely(executor, violation, &case)?.is_some()
            && let Some(confirmed) = shrink(executor, violation, &case, origin, known, limits)
        {
            // What the shrunk case says is unusual once more, and only that.
            if let Confirmation::Finding(finding) = &confirmed
                && let Some(other) = as_no_limit(executor, suspect, &finding.case, known, limits)?
            {
                return Ok(other);
            }
            return Ok(confirmed);
        }
    }
    let flaky = suspect.violation.is_flaky() || suspect.flaky;
    // A death is one whoever caused it: what the case would have shown is not known.
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

/// A limit as the fault that it is where the same case shows it with what hosts send: then no unusual value has to do with
/// it. `None` where it does not, and where the violation is no limit.
fn as_no_limit<R: Vocabulary, L: Executor<R>>(
    executor: &mut L,
    suspect: &Suspect<'_, R>,
    case: &Case<R>,
    known: &Known,
    limits: ShrinkLimits,
) -> Result<Option<Confirmation<R>>, L::Error> {
    let Some(fault) = suspect.violation.as_no_limit() else {
        return Ok(None);
    };
    for usual in case.as_hosts_send() {
        if again(executor, &fault, &usual)?.is_none() {
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
        let confirmed = of_its_own(executor, &suspect, known, limits)?;
        if !matches!(confirmed, Confirmation::NotReproduced) {
            return Ok(Some(confirmed));
        }
    }
    Ok(None)
}

/// A healthy call of a plugin that fails behind others, as what it is too: a fault, in a case that ends with healthy
/// calls. That case says what leads to it, be it the healthy calls in between.
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
    // Those that were not negotiated come to nothing, and go first when the case is shrunk.
    last.steps
        .extend((0..R::functions().len()).map(Step::healthy));
    (last.dispatches() <= MAX_STEPS).then_some((violation, history))
}

/// Makes findings of the violations that a session ended with, one after the other as they are asked for, each told once;
/// see [`Suspect`] for the history and what chance has to do with it.
///
/// # Errors
/// An item is an error of the lab's.
pub fn confirm_all<R: Vocabulary, L: Executor<R>>(
    executor: &mut L,
    violations: Vec<Violation>,
    history: &[Case<R>],
    flaky: bool,
    limits: ShrinkLimits,
) -> impl Iterator<Item = Result<Finding<R>, L::Error>> {
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

/// The violation with its place in the plugin, where that is not known and can be found out on this case.
fn located<R: Vocabulary, L: Executor<R>>(
    executor: &mut L,
    violation: &Violation,
    case: &Case<R>,
) -> Result<Violation, L::Error> {
    let violation = violation.clone();
    if violation.can_be_located() {
        let site = executor.locate(case, &violation)?;
        Ok(violation.with_site(site))
    } else {
        Ok(violation)
    }
}

/// Whether a case shows the violation at its place in the plugin, if it shows it at all. What is told at once is compared
/// when the case is judged.
fn keeps_place<R: Vocabulary, L: Executor<R>>(
    executor: &mut L,
    violation: &Violation,
    case: &Case<R>,
) -> Result<bool, L::Error> {
    match &violation.site {
        Some(site) if site.is_located_later() => {
            Ok(executor.locate(case, violation)?.as_ref() == Some(&**site))
        }
        _ => Ok(true),
    }
}

/// The violation, if the case shows it. Of the puppet the function may be another: a host's fault that shows with
/// any function is one fault. So it may for drift, which only a case of one request says for sure, and where the place in
/// the plugin is the same. A place that is located is that of the violation: see [`keeps_place`].
fn again<R: Vocabulary, L: Executor<R>>(
    executor: &mut L,
    violation: &Violation,
    case: &Case<R>,
) -> Result<Option<Violation>, L::Error> {
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

/// Whether the case shows the violation so many times.
fn always<R: Vocabulary, L: Executor<R>>(
    executor: &mut L,
    violation: &Violation,
    case: &Case<R>,
    times: usize,
) -> Result<bool, L::Error> {
    for _ in 0..times {
        if again(executor, violation, case)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The violation, if the case shows it whatever ran before, and of a check that measures every time.
fn surely<R: Vocabulary, L: Executor<R>>(
    executor: &mut L,
    violation: &Violation,
    case: &Case<R>,
) -> Result<Option<Violation>, L::Error> {
    let repeats = if violation.measured {
        MEASURED_REPEATS
    } else {
        2
    };
    // A plugin has nothing to throw dice with: where its case does not show again, a busy machine ended a call.
    let mut misses = match executor.subject() {
        Subject::Plugin if !violation.measured => PLUGIN_MISSES,
        _ => 0,
    };
    let (mut told, mut shown) = (None, 0);
    while shown < repeats {
        executor.start_fresh();
        match again(executor, violation, case)? {
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

/// Whether the operations that a finding is known for, and means to them, are enough to show the violation. A plugin's
/// case has none, so that they say nothing about it: what is known of a plugin is so by its function.
fn is_known<R: Vocabulary, L: Executor<R>>(
    executor: &mut L,
    violation: &Violation,
    case: &Case<R>,
    known: &[BTreeSet<&'static str>],
) -> Result<bool, L::Error> {
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
        if again(executor, violation, &only)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the case, which shows the violation, smaller; `None` if it turns out not to show it. What ends the search early
/// costs its smallness and not the finding.
fn shrink<R: Vocabulary, L: Executor<R>>(
    executor: &mut L,
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
        Ok(Shown::Surely) | Err(_) => Some(Confirmation::Finding(Box::new(finding))),
        Ok(Shown::Known) => Some(Confirmation::Duplicate),
        Ok(Shown::No) => None,
    }
}

/// What became of a case that was made smaller.
enum Shown {
    /// It shows the violation whenever it is run.
    Surely,
    /// The violation is one that was told.
    Known,
    /// It does not show it every time.
    No,
}

/// Makes the case of a finding smaller. It is one that shows the violation at any time, an early end included.
fn try_shrink<R: Vocabulary, L: Executor<R>>(
    executor: &mut L,
    finding: &mut Finding<R>,
    known: &Known,
    limits: ShrinkLimits,
) -> Result<Shown, L::Error> {
    let (violation, case) = (finding.violation.clone(), finding.case.clone());
    // What is measured takes long, so that a smaller case that shows it once is enough, if in the end it is sure.
    // Otherwise it was a busy machine that made it so small.
    // To locate a place takes long too, and a smaller case is most often at the same one.
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
        // The smallest so far, should the search end early. What is measured must show several times, and what is located at
        // its place.
        let shows_for_sure = !violation.measured && (at_its_place || !is_located);
        let fails = |executor: &mut _, smallest: &mut Case<R>, case: &Case<R>| {
            let shows = always(executor, &violation, case, repeats)?
                && (!at_its_place || keeps_place(executor, &violation, case)?);
            if shows && shows_for_sure {
                smallest.clone_from(case);
            }
            Ok::<_, L::Error>(shows)
        };
        // Few tries, and what is left says what the finding is.
        let structure =
            case.try_shrink_structure(limits, |case| fails(executor, &mut finding.case, case))?;
        let structure = structure.case;
        if let Some(told) = again(executor, &violation, &structure)? {
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
            if let Some(told) = surely(executor, &violation, &case)?
                && keeps_place(executor, &violation, &case)?
            {
                // In the words of the case that is told.
                finding.violation = told;
                finding.case = case;
                finding.minimal = minimal;
                return Ok(Shown::Surely);
            }
        }
    }
    Ok(Shown::No)
}
