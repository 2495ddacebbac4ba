//! What a runner does with sessions.

use std::cell::Cell;
use std::rc::Rc;

use cc_lb_fuzz::host::{HandshakeError, Host, Observed, PluginHost, PluginSession, Session};
use cc_lb_fuzz::observation::{Depth, Runner, Subject};
use cc_lb_fuzz::puppet::Op;
use cc_lb_fuzz::wire::Request;
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::common::{Guest, case, healthy, puppet_host, told};

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
        assert_eq!(record.fresh.len(), 1, "it is compared with a fresh session");
    }
    host.most.get()
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
        steps, 9,
        "with the healthy calls behind them they have 8 MiB"
    );
}
