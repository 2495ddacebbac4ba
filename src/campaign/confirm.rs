//! From a violation to a finding: does it show again, and what is the smallest case that shows it?

use crate::case::{Case, MAX_STEPS, ShrinkLimits};
use crate::finding::{Finding, Origin};
use crate::host::{HandshakeError, Host};
use crate::observation::{CaseRecord, Runner};
use crate::oracle::{CHECKS, Oracle, Violation, check_all};
use crate::wire::Vocabulary;

/// How often a violation of a check of time must show, on fresh sessions, to count.
const TIMING_REPEATS: usize = 3;

/// Runs a case alone on a fresh session, thoroughly, and returns what was seen and what the checks find in it.
/// What a check of time finds is there only if it shows every time.
///
/// # Errors
/// [`HandshakeError`] where the host opens no session.
pub fn judge_alone<H: Host, R: Vocabulary>(
    runner: &mut Runner<'_, H, R>,
    case: &Case<R>,
) -> Result<(CaseRecord, Vec<Violation>), HandshakeError> {
    let record = runner.run_alone(case)?;
    let mut found = check_all(&CHECKS, &record);
    for _ in 1..TIMING_REPEATS {
        if !found.iter().any(is_timing) {
            break;
        }
        let again = check_all(&CHECKS, &runner.run_alone(case)?);
        found.retain(|violation| {
            !is_timing(violation) || again.iter().any(|other| other.key() == violation.key())
        });
    }
    Ok((record, found))
}

fn is_timing(violation: &Violation) -> bool {
    let check = CHECKS.iter().find(|check| check.name() == violation.check);
    check.is_some_and(|check: &&dyn Oracle| check.is_timing())
}

/// Makes a finding of a violation that a record of the last case of a session's history showed. `None` where
/// it does not show again and the clock had a say in it: the machine may have been busy.
///
/// # Errors
/// [`HandshakeError`] where the host opens no session.
pub fn confirm<H: Host, R: Vocabulary>(
    runner: &mut Runner<'_, H, R>,
    violation: &Violation,
    record: &CaseRecord,
    history: &[Case<R>],
) -> Result<Option<Finding<R>>, HandshakeError> {
    let mut again = |case: &Case<R>| -> Result<Option<Violation>, HandshakeError> {
        let (_, found) = judge_alone(runner, case)?;
        Ok(found.into_iter().find(|v| v.key() == violation.key()))
    };
    let mut joined = Case {
        steps: history.iter().flat_map(|case| case.steps.clone()).collect(),
    };
    // A case file has no room for more.
    joined
        .steps
        .drain(..joined.steps.len().saturating_sub(MAX_STEPS));
    let candidates = history.last().map(|last| (last.clone(), Origin::Case));
    let candidates = candidates
        .into_iter()
        .chain([(joined.clone(), Origin::History)]);
    for (case, origin) in candidates {
        if again(&case)?.is_none() {
            continue;
        }
        let mut failed = None;
        let shrunk = case.shrink(ShrinkLimits::default(), |case| match again(case) {
            Ok(found) => found.is_some(),
            Err(error) => {
                failed.get_or_insert(error);
                false
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        // In the words of the case that is told.
        let violation = again(&shrunk.case)?.unwrap_or_else(|| violation.clone());
        return Ok(Some(Finding {
            violation,
            case: shrunk.case,
            origin,
            minimal: shrunk.minimal,
        }));
    }
    let by_the_clock = is_timing(violation) || record.met_the_wall();
    Ok((!by_the_clock).then(|| Finding {
        violation: violation.clone(),
        case: joined,
        origin: Origin::Unreproduced,
        minimal: false,
    }))
}
