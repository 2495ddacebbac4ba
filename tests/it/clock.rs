//! What the clock of a busy machine does to a call is nobody's fault, and a host whose calls run into it every time is.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use cc_lb_fuzz::check::{CheckRef, NoPoison, Violation};
use cc_lb_fuzz::execute::{Executor as _, InProcessExecutor};
use cc_lb_fuzz::host::{
    Call, Cause, DispatchOutcome, HandshakeError, Host, Observed, PluginHost, PluginSession,
    Session,
};
use cc_lb_fuzz::puppet::{Op, TrapOp};
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;
use cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS;
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::common::{case, puppet_host, told};

/// The guarded host with a clock that ends calls.
struct Clocked {
    host: PluginHost,
    /// How many of the calls behind a trap it ends yet.
    behind_traps: Rc<Cell<u32>>,
    /// How many of the first calls of a session it ends yet.
    at_first: Cell<u32>,
    /// Whether it does so when their time is over, or at once: for the time of the call before.
    in_time: bool,
    /// Whether it tells why.
    tells: bool,
}

struct ClockedSession {
    session: PluginSession,
    behind_traps: Rc<Cell<u32>>,
    strikes: bool,
    in_time: bool,
    tells: bool,
}

impl Host for Clocked {
    type Session = ClockedSession;

    fn open(&self) -> Result<ClockedSession, HandshakeError> {
        let left = self.at_first.get();
        self.at_first.set(left.saturating_sub(1));
        Ok(ClockedSession {
            session: self.host.open()?,
            behind_traps: Rc::clone(&self.behind_traps),
            strikes: left > 0,
            in_time: self.in_time,
            tells: self.tells,
        })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.host.negotiated(function)
    }
}

impl Session for ClockedSession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        if std::mem::take(&mut self.strikes) {
            if self.in_time {
                std::thread::sleep(Duration::from_millis(HANDSHAKE_WALL_MS));
            }
            return Observed {
                outcome: DispatchOutcome::Fallback(F::FALLBACK),
                call: Call {
                    cause: self.tells.then_some(Cause::Timeout),
                    ..Call::default()
                },
            };
        }
        let observed = self.session.observe::<F>(request);
        let left = self.behind_traps.get();
        if matches!(observed.call.cause, Some(Cause::Trap(_))) && left > 0 {
            self.behind_traps.set(left - 1);
            self.strikes = true;
        }
        observed
    }
}

fn clocked(behind_traps: u32, at_first: u32, in_time: bool, tells: bool) -> Clocked {
    Clocked {
        host: puppet_host(),
        behind_traps: Rc::new(Cell::new(behind_traps)),
        at_first: Cell::new(at_first),
        in_time,
        tells,
    }
}

/// What `no_poison` finds in a case with a trap, where it has to show again if it was measured.
fn found(host: &Clocked) -> Vec<Violation> {
    let mut executor =
        InProcessExecutor::<_, Request>::new(host, Subject::Puppet).expect("it opens");
    let case = case([told("sign_v1", [Op::Trap(TrapOp::Memory)])]);
    let found = executor.judge_repeatedly(&case, CheckRef::new(&NoPoison));
    found.expect("it opens")
}

#[test]
fn a_healthy_call_that_runs_into_the_clock_every_time_is_poisoned() {
    for (in_time, tells) in [(true, true), (true, false), (false, true)] {
        // Where the machine is too busy to tell, it says nothing.
        let found = (0..10).map(|_| found(&clocked(u32::MAX, 0, in_time, tells)));
        let found: Vec<_> = found.skip_while(Vec::is_empty).flatten().take(1).collect();
        let checks: Vec<_> = found.iter().map(|v| v.check.name()).collect();
        assert_eq!(checks, ["no_poison"], "in time: {in_time}, tells: {tells}");
        assert!(found[0].measured);
    }
}

#[test]
fn a_healthy_call_that_the_clock_ends_once_is_not() {
    for (in_time, tells) in [(true, true), (true, false), (false, true)] {
        for once_or_twice in 1..=2 {
            let found = found(&clocked(once_or_twice, 0, in_time, tells));
            assert_eq!(found, [], "in time: {in_time}, tells: {tells}");
        }
    }
}

#[test]
fn a_healthy_call_that_the_clock_ended_is_not_what_others_are_compared_with() {
    for (in_time, tells) in [(true, true), (false, true), (false, false)] {
        for sessions in 1..=3 {
            let host = clocked(0, sessions, in_time, tells);
            assert_eq!(found(&host), [], "in time: {in_time}, tells: {tells}");
        }
    }
}
