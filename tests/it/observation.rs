//! What a runner does with sessions.

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

use crate::common::{Guest, case, healthy, often, puppet_host, told};

/// A host that counts how many of its sessions have been told to grow and are open, and the most that were.
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

/// The most sessions with a program behind them that were open at a time while two cases with it ran.
fn most_at_a_time(ops: &[Op]) -> usize {
    let host = Counting {
        host: puppet_host(),
        large: Rc::default(),
        most: Rc::default(),
    };
    let mut runner = Runner::<_, Request>::new(&host, Subject::Puppet).expect("the puppet opens");
    let case = case([told("shape_v1", ops), healthy("sign_v1")]);
    for _ in 0..2 {
        let record = runner.run(&case, Depth::Thorough).expect("the host opens");
        assert_eq!(
            record.fresh_session.len(),
            1,
            "it is compared with a fresh session"
        );
    }
    host.most.get()
}

#[test]
fn behind_a_call_that_the_clock_ended_stands_a_healthy_one_of_each_function_its_own_last() {
    let host = puppet_host();
    let mut runner = Runner::<_, Request>::new(&host, Subject::Puppet).expect("the puppet opens");
    let functions = runner.negotiated().len();
    let stalls = case([told("sign_v1", [Op::Stall])]);
    let record = runner.run(&stalls, Depth::Light).expect("it runs");
    assert_eq!(record.probes.len(), functions);
    let labels = record.probes.iter().map(|probe| probe.function.label);
    let labels: Vec<_> = labels.collect();
    // Its other version may undo as much.
    assert_eq!(labels[functions - 2..], ["sign_v2", "sign_v1"]);
}

#[test]
fn two_sessions_that_have_grown_are_not_open_at_a_time() {
    assert_eq!(most_at_a_time(&[Op::Grow(900)]), 1);
    assert_eq!(most_at_a_time(&[Op::Flood(900)]), 1);
    assert_eq!(most_at_a_time(&[Op::GrowTable(60_000)]), 1);
    // That of the trial which tells how much to burn, too.
    assert_eq!(most_at_a_time(&[Op::Grow(900), Op::BurnTo(1_000_000)]), 1);
    // Others go on with their session.
    assert_eq!(most_at_a_time(&[Op::EmitHealthy]), 2);
}

#[test]
fn a_plugins_large_answers_end_a_long_case_before_its_record_takes_all_memory() {
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
        "they have 8 MiB; the healthy calls behind them are equal, and kept once"
    );
}

/// A plugin whose `shape` does this.
fn shape(body: &str) -> PluginHost {
    let mut guest = Guest::shape("");
    guest.functions = format!(r#"(func (export "shape") (result i32) {body})"#);
    PluginHost::new(&guest.wasm()).expect("it opens")
}

#[test]
fn a_long_soak_reaches_its_end_and_keeps_what_is_equal_once() {
    // No JSON, as long as no soak could have it a thousand times.
    let host = shape(
        "(call $output_set (call $alloc (i64.const 200000)) (i64.const 200000)) (i32.const 0)",
    );
    let mut runner = Runner::<_, Request>::new(&host, Subject::Plugin).expect("it opens");
    let soak = case([often(healthy("shape_v1"), 4_096)]);
    let record = runner.run(&soak, Depth::Light).expect("it runs");
    assert_eq!(record.steps.len(), 4_096);
    let [first, .., last] = &record.steps[..] else {
        panic!("there are many");
    };
    let outputs = [first, last].map(|step| step.call.output.as_ref().expect("it answers"));
    assert!(Arc::ptr_eq(outputs[0], outputs[1]));
}

#[test]
fn a_step_that_is_made_many_times_is_left_when_each_of_its_calls_is_ended() {
    let host = shape("(unreachable)");
    let mut runner = Runner::<_, Request>::new(&host, Subject::Plugin).expect("it opens");
    let soak = case([often(healthy("shape_v1"), 4_096)]);
    let record = runner.run(&soak, Depth::Light).expect("it runs");
    assert_eq!(record.steps.len(), 32);
    // What is told by few calls is told.
    let few = case([often(healthy("shape_v1"), 63)]);
    let record = runner.run(&few, Depth::Light).expect("it runs");
    assert_eq!(record.steps.len(), 63);
}

#[test]
fn what_a_case_reaches_does_not_say_how_fast_the_machine_is() {
    let host = puppet_host();
    let mut runner = Runner::<_, Request>::new(&host, Subject::Puppet).expect("the puppet opens");
    let stalls = case([told("sign_v1", [Op::Stall])]);
    let record = runner.run_undisturbed(&stalls).expect("the puppet opens");
    let reached = features(&stalls, &record);
    assert!(reached.contains("sign_v1: timeout"), "{reached:?}");
    assert!(
        !reached.iter().any(|feature| feature.contains("fuel")),
        "{reached:?}"
    );
}
