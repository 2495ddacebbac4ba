//! Hunts the fault of a host, and judges single cases on the host.

use cc_lb_fuzz::campaign::BlockExecutor;
use cc_lb_fuzz::case::{Case, ShrinkLimits};
use cc_lb_fuzz::check::{CheckRef, NoPoison, Violation, check_named};
use cc_lb_fuzz::execute::Executor;
use cc_lb_fuzz::finding::{Confirmation, Known, Origin, Suspect, confirm};
use cc_lb_fuzz::generate::{CASES_PER_SESSION, Cases, Plan};
use cc_lb_fuzz::handshake_case::HandshakeCase;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;

use super::openings::nth_handshake_case;
use super::{CheckModule, FaultyHost, TestInput};

/// Runs a campaign of a seed until the host's own check finds a violation that is confirmed.
/// Returns the number of cases and the finding's case.
pub(super) fn hunt_case(
    executor: &mut impl BlockExecutor<Request>,
    faulty: &FaultyHost,
    seed: u64,
    max_cases: u64,
    limits: ShrinkLimits,
) -> Option<(u64, TestInput)> {
    let plan = match faulty.subject {
        Subject::Puppet => Plan::puppet::<Request>(seed, max_cases),
        Subject::Plugin => Plan::plugin::<Request>(seed, max_cases),
    };
    let cases = Cases::new(&plan);
    let mut next = 0;
    while next < max_cases {
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
        // Running the whole session again would take longer than the campaign so far.
        if limits.candidates == 0
            && faulty.needs_no_confirmation()
            && let Some(case) = history.last()
            && reproduces_alone(executor, violation, case)
        {
            return Some((next, TestInput::Case(case.clone())));
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
            return Some((next, TestInput::Case(finding.case)));
        }
    }
    None
}

/// Returns whether a case alone shows the violation twice, in fresh sessions. Earlier cases must
/// not have affected later sessions, which a healthy call detects.
fn reproduces_alone(
    executor: &mut impl Executor<Request>,
    violation: &Violation,
    case: &Case,
) -> bool {
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

/// Runs each case alone, at the depth that the faulty host's own check needs. Returns the names of
/// the checks that find something in it.
pub(super) fn judge_cases(
    executor: &mut impl Executor<Request>,
    faulty: &FaultyHost,
    inputs: &[TestInput],
) -> Vec<Vec<String>> {
    let mut judge = |input: &TestInput| {
        let TestInput::Case(case) = input else {
            panic!("the input is not a case");
        };
        let check = check_named(faulty.check).expect("there is a check of this name");
        let found = executor.judge_repeatedly(case, CheckRef::new(check));
        check_names(found.expect("the host opens"))
    };
    inputs.iter().map(&mut judge).collect()
}

pub(super) fn check_names(found: impl IntoIterator<Item = Violation>) -> Vec<String> {
    let found = found.into_iter();
    let mut names: Vec<_> = found.map(|violation| violation.check.to_string()).collect();
    names.dedup();
    names
}

pub(super) fn hunt_handshake_case(
    check: impl Fn(&HandshakeCase) -> Option<Violation>,
    seed: u64,
    max_cases: u64,
    limits: ShrinkLimits,
) -> Option<(u64, TestInput)> {
    let fails = |case: &HandshakeCase| check(case).is_some();
    let found = (0..max_cases).find(|index| fails(&nth_handshake_case(seed, *index)))?;
    let case = nth_handshake_case(seed, found);
    let case = match limits.candidates {
        0 => case,
        _ => case.shrink(fails),
    };
    Some((found + 1, TestInput::HandshakeCase(case)))
}

pub(super) fn judge_handshake_cases(
    check: impl Fn(&HandshakeCase) -> Option<Violation>,
    inputs: &[TestInput],
) -> Vec<Vec<String>> {
    let judge = |input: &TestInput| {
        let TestInput::HandshakeCase(case) = input else {
            panic!("the input is not a handshake case");
        };
        check_names(check(case))
    };
    inputs.iter().map(judge).collect()
}

pub(super) fn judge_modules(check: CheckModule, inputs: &[TestInput]) -> Vec<Vec<String>> {
    let judge = |input: &TestInput| {
        let TestInput::Module(counts) = input else {
            panic!("the input is not a module");
        };
        check_names(check(counts))
    };
    inputs.iter().map(judge).collect()
}
