//! Healthy calls that time out: once or twice is the fault of a busy machine and not a violation;
//! every time is a violation of the host.

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

use crate::common::{case, puppet_host, with_program};

/// The guarded host, but some calls time out.
struct TimingOut {
    host: PluginHost,
    /// How many more calls after a trap time out.
    after_traps: Rc<Cell<u32>>,
    /// How many more sessions have a first call that times out.
    first_calls: Cell<u32>,
    /// Whether they take the whole time limit; otherwise they time out at once, as if the call
    /// before had used it.
    waits: bool,
    /// Whether they report the cause.
    reports_cause: bool,
}

struct TimingOutSession {
    session: PluginSession,
    after_traps: Rc<Cell<u32>>,
    next_times_out: bool,
    waits: bool,
    reports_cause: bool,
}

impl Host for TimingOut {
    type Session = TimingOutSession;

    fn open(&self) -> Result<TimingOutSession, HandshakeError> {
        let left = self.first_calls.get();
        self.first_calls.set(left.saturating_sub(1));
        Ok(TimingOutSession {
            session: self.host.open()?,
            after_traps: Rc::clone(&self.after_traps),
            next_times_out: left > 0,
            waits: self.waits,
            reports_cause: self.reports_cause,
        })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.host.negotiated(function)
    }
}

impl Session for TimingOutSession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        if std::mem::take(&mut self.next_times_out) {
            if self.waits {
                std::thread::sleep(Duration::from_millis(HANDSHAKE_WALL_MS));
            }
            return Observed {
                outcome: DispatchOutcome::Fallback(F::FALLBACK),
                call: Call {
                    cause: self.reports_cause.then_some(Cause::Timeout),
                    ..Call::default()
                },
            };
        }
        let observed = self.session.observe::<F>(request);
        let left = self.after_traps.get();
        if matches!(observed.call.cause, Some(Cause::Trap(_))) && left > 0 {
            self.after_traps.set(left - 1);
            self.next_times_out = true;
        }
        observed
    }
}

fn host(after_traps: u32, first_calls: u32, waits: bool, reports_cause: bool) -> TimingOut {
    TimingOut {
        host: puppet_host(),
        after_traps: Rc::new(Cell::new(after_traps)),
        first_calls: Cell::new(first_calls),
        waits,
        reports_cause,
    }
}

/// Returns the violations of `no_poison` in a case with a trap, as far as they reproduce.
fn found(host: &TimingOut) -> Vec<Violation> {
    let mut executor =
        InProcessExecutor::<_, Request>::new(host, Subject::Puppet).expect("it opens");
    let case = case([with_program("sign_v1", [Op::Trap(TrapOp::Memory)])]);
    let found = executor.judge_repeatedly(&case, CheckRef::new(&NoPoison));
    found.expect("it opens")
}

#[test]
fn a_healthy_call_that_times_out_every_time_after_a_trap_is_a_violation() {
    for (waits, reports_cause) in [(true, true), (true, false), (false, true)] {
        // If the machine is too busy, the check finds nothing.
        let found = (0..10).map(|_| found(&host(u32::MAX, 0, waits, reports_cause)));
        let found: Vec<_> = found.skip_while(Vec::is_empty).flatten().take(1).collect();
        let checks: Vec<_> = found.iter().map(|v| v.check.name()).collect();
        assert_eq!(
            checks,
            ["no_poison"],
            "waits: {waits}, reports the cause: {reports_cause}"
        );
        assert!(found[0].measured);
    }
}

#[test]
fn a_healthy_call_that_times_out_once_or_twice_is_not_a_violation() {
    for (waits, reports_cause) in [(true, true), (true, false), (false, true)] {
        for timeouts in 1..=2 {
            let found = found(&host(timeouts, 0, waits, reports_cause));
            assert_eq!(
                found,
                [],
                "waits: {waits}, reports the cause: {reports_cause}"
            );
        }
    }
}

#[test]
fn a_healthy_call_that_timed_out_is_not_used_as_a_baseline() {
    for (waits, reports_cause) in [(true, true), (false, true), (false, false)] {
        for sessions in 1..=3 {
            let host = host(0, sessions, waits, reports_cause);
            assert_eq!(
                found(&host),
                [],
                "waits: {waits}, reports the cause: {reports_cause}"
            );
        }
    }
}
