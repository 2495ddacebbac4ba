//! A user's own check works in a campaign like any other.

use cc_lb_fuzz::campaign::{Event, run_on};
use cc_lb_fuzz::check::{Advice, Check, Severity, Violation};
use cc_lb_fuzz::execute::InProcessExecutor;
use cc_lb_fuzz::generate::Plan;
use cc_lb_fuzz::host::{Cause, TrapKind};
use cc_lb_fuzz::puppet::{Op, TrapOp};
use cc_lb_fuzz::record::{CaseRecord, Subject};
use cc_lb_fuzz::wire::Request;

use crate::common::puppet_host;

#[derive(Debug)]
struct NoStackOverflow;

impl Check for NoStackOverflow {
    fn name(&self) -> &'static str {
        "no_stack_overflow"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let steps = record.steps.iter();
        let overflows =
            steps.filter(|step| step.call.cause == Some(Cause::Trap(TrapKind::StackOverflow)));
        let detail = || "the guest's stack is exhausted".to_owned();
        overflows
            .map(|step| Violation::new(&NoStackOverflow, step.function, detail()))
            .collect()
    }

    fn severity(&self, _: &Violation) -> Severity {
        Severity::Warning
    }

    fn advice(&self, _: &Violation) -> Advice {
        ADVICE
    }
}

const ADVICE: Advice = Advice {
    meaning: "The stack of a guest is exhausted.",
    action: "Give it a larger one.",
};

#[test]
fn violations_of_an_own_check_are_found_and_shrunk() {
    let host = puppet_host();
    let executor =
        InProcessExecutor::<_, Request>::new(&host, Subject::Puppet).expect("the puppet opens");
    let mut found = Vec::new();
    let plan = Plan::puppet::<Request>(1, 1_000);
    let summary = run_on(
        &mut executor.with_checks(&[&NoStackOverflow]),
        &plan,
        &mut |event| {
            if let Event::Finding(finding) = event {
                found.push(finding.clone());
            }
        },
    );
    assert_eq!(summary.expect("it runs").findings, found.len());
    let [finding] = &found[..] else {
        panic!("one root cause must be one finding: {found:#?}");
    };
    assert_eq!(finding.violation.check.name(), "no_stack_overflow");
    assert_eq!(finding.violation.severity(), Severity::Warning);
    assert_eq!(finding.advice(), ADVICE);
    assert!(finding.minimal);
    let programs = finding.case.steps.iter().map(|step| step.program.clone());
    let programs: Vec<_> = programs.flatten().map(|program| program.0).collect();
    assert_eq!(programs, [[Op::Trap(TrapOp::StackOverflow)]]);
}
