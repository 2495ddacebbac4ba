//! Hunts the fault of a host, and judges single cases on it.

use cc_lb_fuzz::campaign::BlockExecutor;
use cc_lb_fuzz::case::{Case, ShrinkLimits};
use cc_lb_fuzz::check::{CheckRef, NoPoison, Violation, check_named};
use cc_lb_fuzz::execute::Executor;
use cc_lb_fuzz::finding::{Confirmation, Known, Origin, Suspect, confirm};
use cc_lb_fuzz::generate::{CASES_PER_SESSION, Cases, Plan};
use cc_lb_fuzz::handshake_case::HandshakeCase;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;

use super::openings::nth_opening;
use super::{CheckModule, Faulty, Tried};

/// What a campaign of a seed finds first of a check.
pub(super) fn hunt_case(
    executor: &mut impl BlockExecutor<Request>,
    faulty: &Faulty,
    seed: u64,
    most: u64,
    limits: ShrinkLimits,
) -> Option<(u64, Tried)> {
    let plan = match faulty.subject {
        Subject::Puppet => Plan::puppet::<Request>(seed, most),
        Subject::Plugin => Plan::plugin::<Request>(seed, most),
    };
    let cases = Cases::new(&plan);
    let mut next = 0;
    while next < most {
        let end = (next / CASES_PER_SESSION + 1) * CASES_PER_SESSION;
        let block = executor
            .run(&plan, next..end, None)
            .expect("the host opens");
        let Some(stopped) = block.stopped else {
            next = end;
            continue;
        };
        let history = next..=stopped.case;
        let history: Vec<_> = history.map(|case| cases.nth(case)).collect();
        next = stopped.case + 1;
        let mut found = stopped.violations.iter();
        let Some(violation) = found.find(|violation| violation.check.name() == faulty.check) else {
            continue;
        };
        // To run all of a session once more takes longer than to come as far.
        if limits.candidates == 0
            && faulty.shows_by_itself()
            && let Some(case) = history.last()
            && is_shown_by(executor, violation, case)
        {
            return Some((next, Tried::Case(case.clone())));
        }
        let suspect = Suspect {
            violation,
            history: &history,
            flaky: stopped.flaky,
        };
        let confirmed =
            confirm(executor, &suspect, &Known::default(), limits).expect("the host opens");
        if let Confirmation::Finding(finding) = confirmed
            && finding.violation.check.name() == faulty.check
            && finding.origin != Origin::Unreproduced
        {
            return Some((next, Tried::Case(finding.case)));
        }
    }
    None
}

/// Whether a case shows a violation by itself, each time on a fresh session, and these are what they were when the host was
/// opened.
fn is_shown_by(executor: &mut impl Executor<Request>, violation: &Violation, case: &Case) -> bool {
    let healthy = Case {
        steps: vec![crate::common::healthy("shape_v1")],
    };
    let found = executor.judge(&healthy, CheckRef::new(&NoPoison));
    let found = found.expect("the host opens");
    if found.iter().any(|other| other.class == "other sessions") {
        return false;
    }
    (0..2).all(|_| {
        let found = executor.judge(case, violation.check);
        let mut found = found.expect("the host opens").into_iter();
        found.any(|other| other.check == violation.check && other.class == violation.class)
    })
}

/// The checks that find something in each case alone, as deep as the faulty host's own check needs it.
pub(super) fn found_by(
    executor: &mut impl Executor<Request>,
    faulty: &Faulty,
    tried: &[Tried],
) -> Vec<Vec<String>> {
    let mut found = |tried: &Tried| {
        let Tried::Case(case) = tried else {
            panic!("a dispatch is tried with cases");
        };
        let check = check_named(faulty.check).expect("a dispatch is judged by a check");
        let found = executor.judge_repeatedly(case, CheckRef::new(check));
        names(found.expect("the host opens"))
    };
    tried.iter().map(&mut found).collect()
}

pub(super) fn names(found: impl IntoIterator<Item = Violation>) -> Vec<String> {
    let found = found.into_iter();
    let mut names: Vec<_> = found.map(|violation| violation.check.to_string()).collect();
    names.dedup();
    names
}

pub(super) fn hunt_opening(
    check: impl Fn(&HandshakeCase) -> Option<Violation>,
    seed: u64,
    most: u64,
    limits: ShrinkLimits,
) -> Option<(u64, Tried)> {
    let fails = |opening: &HandshakeCase| check(opening).is_some();
    let found = (0..most).find(|index| fails(&nth_opening(seed, *index)))?;
    let opening = nth_opening(seed, found);
    let opening = match limits.candidates {
        0 => opening,
        _ => opening.shrink(fails),
    };
    Some((found + 1, Tried::HandshakeCase(opening)))
}

pub(super) fn found_in_openings(
    check: impl Fn(&HandshakeCase) -> Option<Violation>,
    tried: &[Tried],
) -> Vec<Vec<String>> {
    let found = |tried: &Tried| {
        let Tried::HandshakeCase(opening) = tried else {
            panic!("a loader is tried with openings");
        };
        names(check(opening))
    };
    tried.iter().map(found).collect()
}

pub(super) fn found_in_modules(check: CheckModule, tried: &[Tried]) -> Vec<Vec<String>> {
    let found = |tried: &Tried| {
        let Tried::Module(counts) = tried else {
            panic!("it is tried with modules");
        };
        names(check(counts))
    };
    tried.iter().map(found).collect()
}
