//! From a violation to a finding: does it show again, is it one that is known, and what is the smallest case
//! that shows it?

use std::collections::BTreeSet;

use super::CampaignError;
use super::lab::{Lab, MEASURED_REPEATS, must_show_again};
use crate::case::{Case, MAX_STEPS, Numbers, ShrinkLimits, Step};
use crate::finding::{Finding, Origin, Told, is_healthy_call};
use crate::host::Site;
use crate::observation::Subject;
use crate::oracle::{NoCrash, NoDrift, Oracle as _, PluginFault, Violation};
use crate::puppet::{MEANS, Program};
use crate::wire::Vocabulary;

/// The most steps of a history that are looked into for what was measured.
const MEASURED_STEPS: usize = 64;

/// How often the case of a plugin may be disturbed until it has shown what it shows.
const PLUGIN_MISSES: u32 = 2;

/// What became of a violation.
#[derive(Debug)]
pub enum Confirmed<R> {
    /// It is new.
    Finding(Box<Finding<R>>),
    /// It shows with nothing but the operations that a finding is known for.
    Known,
    /// It does not show again, and chance had a say in it: the machine may have been busy. No death of a worker is that.
    No,
}

/// A violation, and what led to it.
pub struct Suspect<'a, R> {
    /// What was found.
    pub violation: &'a Violation,
    /// The cases that the session had seen, that with the violation last.
    pub history: &'a [Case<R>],
    /// Whether chance had a say in it: the clock, or somebody else.
    pub by_chance: bool,
}

/// What is known already.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// All findings.
    pub told: Told,
    /// The effects that findings of the same check and class are known for.
    pub effects: Vec<BTreeSet<&'static str>>,
}

/// Makes a finding of a violation.
///
/// # Errors
/// [`CampaignError`] where the lab fails.
pub fn confirm<R: Vocabulary>(
    lab: &mut impl Lab<R>,
    suspect: &Suspect<'_, R>,
    known: &Known,
    limits: ShrinkLimits,
) -> Result<Confirmed<R>, CampaignError> {
    if let Some((violation, history)) = as_fault(suspect, lab.subject()) {
        let suspect = Suspect {
            violation: &violation,
            history: &history,
            by_chance: true,
        };
        // What is known is the fault of a call that needs no others.
        if let Confirmed::Finding(finding) = confirm(lab, &suspect, known, limits)? {
            return Ok(Confirmed::Finding(finding));
        }
    }
    if let Some(last) = suspect.history.last()
        && let Some(confirmed) = as_no_limit(lab, suspect, last, known, limits)?
    {
        return Ok(confirmed);
    }
    // What a check that measures finds takes long, and has to show again and again.
    let steps = if must_show_again(suspect.violation) {
        MEASURED_STEPS
    } else {
        MAX_STEPS
    };
    let joined = joined(suspect.history, steps);
    let last = suspect.history.last().cloned();
    let candidates = last.map(|last| (last, Origin::Case)).into_iter();
    for (case, origin) in candidates.chain([(joined.clone(), Origin::History)]) {
        // Most are known, and that is seen soonest.
        if is_known(lab, suspect.violation, &case, &known.effects)? {
            return Ok(Confirmed::Known);
        }
        let violation = &located(lab, suspect.violation, &case)?;
        let is_told = violation.site != suspect.violation.site && known.told.has(violation);
        if is_told || known.told.has_at_a_place(violation) {
            return Ok(Confirmed::Known);
        }
        if surely(lab, violation, &case)?.is_some()
            && let Some(confirmed) = shrink(lab, violation, &case, origin, known, limits)
        {
            // What the shrunk case says is unusual once more, and only that.
            if let Confirmed::Finding(finding) = &confirmed
                && let Some(other) = as_no_limit(lab, suspect, &finding.case, known, limits)?
            {
                return Ok(other);
            }
            return Ok(confirmed);
        }
    }
    let by_chance = suspect.violation.is_by_chance() || suspect.by_chance;
    // A death is one whoever caused it: what the case would have shown is not known.
    if by_chance && suspect.violation.check != NoCrash.name() {
        return Ok(Confirmed::No);
    }
    Ok(Confirmed::Finding(Box::new(Finding {
        violation: suspect.violation.clone(),
        case: joined,
        origin: Origin::Unreproduced,
        minimal: false,
    })))
}

/// A limit as the fault that it is where the same case shows it with what hosts send: then no unusual value has to do with
/// it. `None` where it does not, and where the violation is no limit.
fn as_no_limit<R: Vocabulary>(
    lab: &mut impl Lab<R>,
    suspect: &Suspect<'_, R>,
    case: &Case<R>,
    known: &Known,
    limits: ShrinkLimits,
) -> Result<Option<Confirmed<R>>, CampaignError> {
    let Some(fault) = suspect.violation.as_no_limit() else {
        return Ok(None);
    };
    for usual in case.as_hosts_send() {
        if again(lab, &fault, &usual)?.is_none() {
            continue;
        }
        if known.told.has(&fault) {
            return Ok(Some(Confirmed::Known));
        }
        let suspect = Suspect {
            violation: &fault,
            history: &[usual],
            by_chance: true,
        };
        let confirmed = confirm(lab, &suspect, known, limits)?;
        if !matches!(confirmed, Confirmed::No) {
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
        check: PluginFault.name().to_owned(),
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
/// An item is a [`CampaignError`] where the lab fails.
pub fn confirm_all<R: Vocabulary, L: Lab<R>>(
    lab: &mut L,
    violations: Vec<Violation>,
    history: &[Case<R>],
    by_chance: bool,
    limits: ShrinkLimits,
) -> impl Iterator<Item = Result<Finding<R>, CampaignError>> {
    let mut known = Known::default();
    violations.into_iter().filter_map(move |violation| {
        if known.told.has(&violation) {
            return None;
        }
        let suspect = Suspect {
            violation: &violation,
            history,
            by_chance,
        };
        match confirm(lab, &suspect, &known, limits) {
            Ok(Confirmed::Finding(finding)) => known.told.tell(*finding).map(Ok),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    })
}

/// The last steps of the cases of a session as one.
pub(super) fn joined<R: Vocabulary>(history: &[Case<R>], most: usize) -> Case<R> {
    let steps = history.iter().flat_map(|case| case.steps.iter().cloned());
    let all = Case {
        steps: steps.collect(),
    };
    all.last(most)
}

/// The violation with its place in the plugin, where that is not known and can be found out on this case.
fn located<R: Vocabulary>(
    lab: &mut impl Lab<R>,
    violation: &Violation,
    case: &Case<R>,
) -> Result<Violation, CampaignError> {
    let violation = violation.clone();
    if violation.can_be_located() {
        let site = lab.locate(case, &violation)?;
        Ok(violation.with_site(site))
    } else {
        Ok(violation)
    }
}

/// Whether a case shows the violation at its place in the plugin, if it shows it at all. What is told at once is compared
/// when the case is judged.
fn keeps_place<R: Vocabulary>(
    lab: &mut impl Lab<R>,
    violation: &Violation,
    case: &Case<R>,
) -> Result<bool, CampaignError> {
    match &violation.site {
        Some(site) if site.is_located_later() => {
            Ok(lab.locate(case, violation)?.as_ref() == Some(&**site))
        }
        _ => Ok(true),
    }
}

/// The violation, if the case shows it. Of the puppet the function may be another: a host's fault that shows with
/// any function is one fault. So it may for drift, which only a case of one request says for sure, and where the place in
/// the plugin is the same. A place that is located is that of the violation: see [`keeps_place`].
fn again<R: Vocabulary>(
    lab: &mut impl Lab<R>,
    violation: &Violation,
    case: &Case<R>,
) -> Result<Option<Violation>, CampaignError> {
    let found = lab.judge(case, &violation.check)?;
    let any_function = lab.subject() == Subject::Puppet || violation.check == NoDrift.name();
    let mut found = found.into_iter();
    let shown = found.find(|other| violation.is_like(other, any_function));
    Ok(shown.map(|shown| match shown.site {
        None => shown.with_site(violation.site.as_deref().cloned()),
        Some(_) => shown,
    }))
}

/// Whether the case shows the violation so many times.
fn always<R: Vocabulary>(
    lab: &mut impl Lab<R>,
    violation: &Violation,
    case: &Case<R>,
    times: usize,
) -> Result<bool, CampaignError> {
    for _ in 0..times {
        if again(lab, violation, case)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The violation, if the case shows it whatever ran before, and of a check that measures every time.
fn surely<R: Vocabulary>(
    lab: &mut impl Lab<R>,
    violation: &Violation,
    case: &Case<R>,
) -> Result<Option<Violation>, CampaignError> {
    let repeats = if violation.measured {
        MEASURED_REPEATS
    } else {
        2
    };
    // A plugin has nothing to throw dice with: where its case does not show again, a busy machine ended a call.
    let mut misses = match lab.subject() {
        Subject::Plugin if !violation.measured => PLUGIN_MISSES,
        _ => 0,
    };
    let (mut told, mut shown) = (None, 0);
    while shown < repeats {
        lab.begin_afresh();
        match again(lab, violation, case)? {
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
fn is_known<R: Vocabulary>(
    lab: &mut impl Lab<R>,
    violation: &Violation,
    case: &Case<R>,
    known: &[BTreeSet<&'static str>],
) -> Result<bool, CampaignError> {
    if lab.subject() == Subject::Plugin {
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
        if again(lab, violation, &only)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the case, which shows the violation, smaller; `None` if it turns out not to show it. What ends the search early
/// costs its smallness and not the finding.
fn shrink<R: Vocabulary>(
    lab: &mut impl Lab<R>,
    violation: &Violation,
    case: &Case<R>,
    origin: Origin,
    known: &Known,
    limits: ShrinkLimits,
) -> Option<Confirmed<R>> {
    let mut finding = Finding {
        violation: violation.clone(),
        case: case.clone(),
        origin,
        minimal: false,
    };
    match try_shrink(lab, &mut finding, known, limits) {
        Ok(Shown::Surely) | Err(_) => Some(Confirmed::Finding(Box::new(finding))),
        Ok(Shown::Known) => Some(Confirmed::Known),
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
fn try_shrink<R: Vocabulary>(
    lab: &mut impl Lab<R>,
    finding: &mut Finding<R>,
    known: &Known,
    limits: ShrinkLimits,
) -> Result<Shown, CampaignError> {
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
        let fails = |lab: &mut _, smallest: &mut Case<R>, case: &Case<R>| {
            let shows = always(lab, &violation, case, repeats)?
                && (!at_its_place || keeps_place(lab, &violation, case)?);
            if shows && shows_for_sure {
                smallest.clone_from(case);
            }
            Ok::<_, CampaignError>(shows)
        };
        // Few tries, and what is left says what the finding is.
        let structure =
            case.try_shrink_structure(limits, |case| fails(lab, &mut finding.case, case))?;
        let structure = structure.case;
        if let Some(told) = again(lab, &violation, &structure)? {
            let smaller = Finding {
                violation: told,
                case: structure.clone(),
                ..finding.clone()
            };
            if known.told.has_finding(&smaller) {
                return Ok(Shown::Known);
            }
        }
        let shrunk = structure.try_shrink(limits, |case| fails(lab, &mut finding.case, case))?;
        let larger = if Some(&(repeats, at_its_place)) == rounds.last() {
            vec![structure, case.clone()]
        } else {
            Vec::new()
        };
        let larger = larger.into_iter().map(|case| (case, false));
        for (case, minimal) in [(shrunk.case, shrunk.minimal)].into_iter().chain(larger) {
            if let Some(told) = surely(lab, &violation, &case)?
                && keeps_place(lab, &violation, &case)?
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
