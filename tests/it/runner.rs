//! How a runner uses sessions.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use cc_lb_fuzz::case::Depth;
use cc_lb_fuzz::execute::Runner;
use cc_lb_fuzz::host::{HandshakeError, Host, Observed, PluginHost, PluginSession, Session};
use cc_lb_fuzz::puppet::Op;
use cc_lb_fuzz::record::{Subject, features};
use cc_lb_fuzz::wire::Request;
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::common::{Guest, case, healthy, puppet_host, repeated, with_program};

/// A host that counts its open sessions that were sent a program, and the most that were open at a
/// time.
struct Counting {
    host: PluginHost,
    large: Rc<Cell<usize>>,
    most: Rc<Cell<usize>>,
}

struct CountingSession {
    session: PluginSession,
    is_large: bool,
    large: Rc<Cell<usize>>,
    most: Rc<Cell<usize>>,
}

impl Host for Counting {
    type Session = CountingSession;

    fn open(&self) -> Result<CountingSession, HandshakeError> {
        Ok(CountingSession {
            session: self.host.open()?,
            is_large: false,
            large: Rc::clone(&self.large),
            most: Rc::clone(&self.most),
        })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.host.negotiated(function)
    }
}

impl Session for CountingSession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        let json = serde_json::to_string(&request).expect("the request serializes");
        if json.contains("puppet:") && !self.is_large {
            self.is_large = true;
            self.large.set(self.large.get() + 1);
            self.most.set(self.most.get().max(self.large.get()));
        }
        self.session.observe::<F>(request)
    }
}

impl Drop for CountingSession {
    fn drop(&mut self) {
        self.large
            .set(self.large.get() - usize::from(self.is_large));
    }
}

/// Runs two cases with a program and returns the most sessions that were open at a time after being
/// sent it.
fn most_at_a_time(ops: &[Op]) -> usize {
    let host = Counting {
        host: puppet_host(),
        large: Rc::default(),
        most: Rc::default(),
    };
    let mut runner = Runner::<_, Request>::new(&host, Subject::Puppet).expect("the puppet opens");
    let case = case([with_program("shape_v1", ops), healthy("sign_v1")]);
    for _ in 0..2 {
        let record = runner.run(&case, Depth::Thorough).expect("the host opens");
        assert_eq!(
            record.fresh_session.len(),
            1,
            "the case is compared with a fresh session"
        );
    }
    host.most.get()
}

#[test]
fn after_a_timeout_every_function_is_probed_and_the_called_one_last() {
    let host = puppet_host();
    let mut runner = Runner::<_, Request>::new(&host, Subject::Puppet).expect("the puppet opens");
    let functions = runner.negotiated().len();
    let stalls = case([with_program("sign_v1", [Op::Stall])]);
    let record = runner.run(&stalls, Depth::Light).expect("it runs");
    assert_eq!(record.probes.len(), functions);
    let labels = record.probes.iter().map(|probe| probe.function.label);
    let labels: Vec<_> = labels.collect();
    // A call of the other version may hide the same effects.
    assert_eq!(labels[functions - 2..], ["sign_v2", "sign_v1"]);
}

#[test]
fn sessions_that_have_grown_are_not_open_at_the_same_time() {
    assert_eq!(most_at_a_time(&[Op::Grow(900)]), 1);
    assert_eq!(most_at_a_time(&[Op::Flood(900)]), 1);
    assert_eq!(most_at_a_time(&[Op::GrowTable(60_000)]), 1);
    // Including the session of the trial run that measures how much to burn.
    assert_eq!(most_at_a_time(&[Op::Grow(900), Op::BurnTo(1_000_000)]), 1);
    // Others keep their session.
    assert_eq!(most_at_a_time(&[Op::EmitHealthy]), 2);
}

#[test]
fn large_answers_of_a_plugin_end_a_long_case_before_its_record_is_too_large() {
    let mut guest = Guest::shape("");
    guest.functions = r#"(func (export "shape") (result i32)
        (call $output_set (call $alloc (i64.const 500000)) (i64.const 500000)) (i32.const 0))"#
        .to_owned();
    let wasm = guest.wasm();
    let host = PluginHost::new(&wasm).expect("it opens");
    let mut runner = Runner::<_, Request>::new(&host, Subject::Plugin).expect("it opens");
    let case = case(vec![healthy("shape_v1"); 100]);
    let record = runner.run(&case, Depth::Light).expect("it runs");
    let steps = record.steps.len();
    assert_eq!(
        steps, 16,
        "their answers take 8 MiB; the healthy calls after them are equal and stored once"
    );
}

/// Returns the host of a plugin whose `shape` has this body.
fn shape(body: &str) -> PluginHost {
    let mut guest = Guest::shape("");
    guest.functions = format!(r#"(func (export "shape") (result i32) {body})"#);
    PluginHost::new(&guest.wasm()).expect("it opens")
}

#[test]
fn a_long_soak_completes_and_stores_equal_answers_once() {
    // The answers are not JSON, and too long to be stored a thousand times.
    let host = shape(
        "(call $output_set (call $alloc (i64.const 200000)) (i64.const 200000)) (i32.const 0)",
    );
    let mut runner = Runner::<_, Request>::new(&host, Subject::Plugin).expect("it opens");
    let soak = case([repeated(healthy("shape_v1"), 4_096)]);
    let record = runner.run(&soak, Depth::Light).expect("it runs");
    assert_eq!(record.steps.len(), 4_096);
    let [first, .., last] = &record.steps[..] else {
        panic!("there are many steps");
    };
    let outputs = [first, last].map(|step| step.call.output.as_ref().expect("it answers"));
    assert!(Arc::ptr_eq(outputs[0], outputs[1]));
}

#[test]
fn a_step_repeated_many_times_is_abandoned_if_all_of_its_calls_are_aborted() {
    let host = shape("(unreachable)");
    let mut runner = Runner::<_, Request>::new(&host, Subject::Plugin).expect("it opens");
    let soak = case([repeated(healthy("shape_v1"), 4_096)]);
    let record = runner.run(&soak, Depth::Light).expect("it runs");
    assert_eq!(record.steps.len(), 32);
    // Fewer calls are all made.
    let few = case([repeated(healthy("shape_v1"), 63)]);
    let record = runner.run(&few, Depth::Light).expect("it runs");
    assert_eq!(record.steps.len(), 63);
}

#[test]
fn the_features_of_a_case_do_not_depend_on_the_speed_of_the_machine() {
    let host = puppet_host();
    let mut runner = Runner::<_, Request>::new(&host, Subject::Puppet).expect("the puppet opens");
    let stalls = case([with_program("sign_v1", [Op::Stall])]);
    let record = runner.run_undisturbed(&stalls).expect("the puppet opens");
    let reached = features(&stalls, &record);
    assert!(reached.contains("sign_v1: timeout"), "{reached:?}");
    assert!(
        !reached.iter().any(|feature| feature.contains("fuel")),
        "{reached:?}"
    );
}
