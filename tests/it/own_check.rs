//! A check of one's own judges a campaign like any other.

use cc_lb_fuzz::campaign::{Bench, Event, Plan, run_bench};
use cc_lb_fuzz::host::Cause;
use cc_lb_fuzz::observation::{CaseRecord, Subject};
use cc_lb_fuzz::oracle::{Oracle, Violation};
use cc_lb_fuzz::puppet::Op;
use cc_lb_fuzz::wire::Request;

use crate::common::puppet_host;

#[derive(Debug)]
struct NoExitCode;

impl Oracle for NoExitCode {
    fn name(&self) -> &'static str {
        "no_exit_code"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let steps = record.steps.iter();
        let codes = steps.filter_map(|step| match step.call.cause {
            Some(Cause::ExitCode(code)) => Some((step.function, code)),
            _ => None,
        });
        codes
            .map(|(function, code)| Violation::new(self, function, format!("it was {code}")))
            .collect()
    }
}

#[test]
fn a_check_of_ones_own_finds_what_it_says_and_that_is_shrunk() {
    let host = puppet_host();
    let bench = Bench::<_, Request>::new(&host, Subject::Puppet).expect("the puppet opens");
    let mut found = Vec::new();
    let plan = Plan::puppet::<Request>(1, 200);
    let summary = run_bench(
        &mut bench.with_checks(&[&NoExitCode]),
        &plan,
        &mut |event| {
            if let Event::Finding(finding) = event {
                found.push(finding.clone());
            }
        },
    );
    assert_eq!(summary.expect("it runs").findings, found.len());
    let [finding] = &found[..] else {
        panic!("one root cause is one finding: {found:#?}");
    };
    assert_eq!(finding.violation.check, "no_exit_code");
    assert!(finding.minimal);
    let programs = finding.case.steps.iter().map(|step| step.program.clone());
    let programs: Vec<_> = programs.flatten().map(|program| program.0).collect();
    assert!(
        matches!(&programs[..], [ops] if matches!(ops[..], [Op::Return(_)])),
        "{programs:?}"
    );
}
