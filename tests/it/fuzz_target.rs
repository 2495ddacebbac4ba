//! The body of the fuzz target `dispatch`, with fixed seeds and without libFuzzer.

use cc_lb_fuzz::campaign;
use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::finding::Origin;
use cc_lb_fuzz::fuzz_target::{FuzzTarget, Verdict, mutate_case};
use cc_lb_fuzz::generate::{Phase, Plan};
use cc_lb_fuzz::host::{
    DispatchOutcome, HandshakeError, Host, Observed, PluginHost, PluginSession, Session,
};
use cc_lb_fuzz::puppet::Op;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::common::{case, cases, healthy, puppet_host, with_program};

#[test]
fn mutated_cases_run_without_findings() {
    let host = puppet_host();
    let mut target = FuzzTarget::<_, Request>::new(&host).expect("the puppet opens");
    let mut data = vec![0; 64 * 1024];
    let mut size = 0;
    let mut kept = 0;
    for seed in 0..cases(200) as u32 {
        size = mutate_case::<Request>(&mut data, size, 16 * 1024, seed);
        assert!((1..=16 * 1024).contains(&size), "{size}");
        kept += u64::from(target.run(&data[..size]).expect("the puppet opens") == Verdict::Keep);
    }
    assert!(kept > 0);
}

#[test]
fn inputs_that_are_not_cases_or_use_all_the_fuel_are_rejected() {
    let host = puppet_host();
    let mut target = FuzzTarget::<_, Request>::new(&host).expect("the puppet opens");
    let mut verdict = |input: &[u8]| target.run(input).expect("the puppet opens");
    let encode = |case: Case| case.to_postcard().expect("it serializes");
    assert_eq!(verdict(b"no case"), Verdict::Reject);
    assert_eq!(
        verdict(&encode(case([with_program("sign_v1", [Op::Spin])]))),
        Verdict::Reject
    );
    assert_eq!(
        verdict(&encode(case([with_program("sign_v1", [Op::Return(1)])]))),
        Verdict::Keep
    );
    let json = case([healthy("sign_v1")]).to_json().expect("it serializes");
    assert_eq!(verdict(json.as_bytes()), Verdict::Keep);
}

#[test]
fn a_mutation_that_does_not_fit_leaves_the_input_unchanged() {
    let input = case([healthy("filter_v3")])
        .to_postcard()
        .expect("it serializes");
    for seed in 0..50 {
        let mut data = input.clone();
        let size = mutate_case::<Request>(&mut data, input.len(), 8, seed);
        assert_eq!((size, &data), (input.len(), &input));
    }
}

/// A host whose sessions answer this many calls each, and fall back afterwards.
struct Limited {
    host: PluginHost,
    calls: u32,
}

struct LimitedSession {
    session: PluginSession,
    left: u32,
}

impl Host for Limited {
    type Session = LimitedSession;

    fn open(&self) -> Result<LimitedSession, HandshakeError> {
        Ok(LimitedSession {
            session: self.host.open()?,
            left: self.calls,
        })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.host.negotiated(function)
    }
}

impl Session for LimitedSession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                self.session.observe::<F>(request)
            }
            None => DispatchOutcome::Fallback(F::FALLBACK).into(),
        }
    }
}

/// The first case is thorough, so the healthy calls at its end are part of the session's history.
#[test]
fn a_finding_that_depends_on_healthy_calls_of_earlier_cases_reproduces() {
    let host = Limited {
        host: puppet_host(),
        calls: 24,
    };
    let mut target = FuzzTarget::<_, Request>::new(&host).expect("the puppet opens");
    let finding = (0..24).find_map(|_| {
        let checked = target.check(case([healthy("sign_v1")]));
        checked.expect("the puppet opens").1
    });
    let finding = finding.expect("the session fails");
    assert_eq!(finding.origin, Origin::History, "{finding:#?}");
    assert!(finding.case.dispatches() > 16, "{finding:#?}");
}

#[test]
fn a_bug_that_needs_a_long_session_is_found_and_shrunk_to_repeated_steps() {
    let host = Limited {
        host: puppet_host(),
        calls: 1_500,
    };
    let findings = |cases| {
        let plan = Plan {
            phases: vec![Phase::Random],
            ..Plan::plugin::<Request>(1, cases)
        };
        let findings = campaign::findings::<_, Request>(&host, Subject::Plugin, &plan);
        findings.expect("the puppet opens")
    };
    assert!(findings(1_024).is_empty(), "sessions are short");
    let found = findings(2_048);
    let first = found.first().expect("the long session fails");
    assert_eq!(first.origin, Origin::History, "{:?}", first.violation);
    assert!((1_400..=1_500).contains(&first.case.dispatches()));
    assert!(
        first.case.steps.len() < 8,
        "{} steps",
        first.case.steps.len()
    );
}
