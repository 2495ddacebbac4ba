//! Hosts whose sessions carry state from one call to a later one, or differ from each other.

use std::collections::BTreeSet;
use std::time::Duration;

use cc_lb_fuzz::wire::Function;
use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};

use super::plain::{
    CallResult, Failure, FailureOutcome, Fault, Guest, Settings, is_guest_error, is_timeout,
    is_trap,
};

fn closed() -> CallResult {
    Err(extism::Error::msg("the session is closed"))
}

#[derive(Default)]
pub struct KeepsTheInstanceAfterATrap;

impl Fault for KeepsTheInstanceAfterATrap {
    fn replaces_instance(&mut self, error: &extism::Error) -> bool {
        !is_trap(error)
    }
}

#[derive(Default)]
pub struct FuelsASessionOnce {
    taken: u64,
}

impl Fault for FuelsASessionOnce {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.taken > HANDSHAKE_FUEL {
            return closed();
        }
        let result = guest.call(function, input);
        self.taken += guest.fuel().unwrap_or(0);
        result
    }
}

/// The timer of a call that timed out fires again during the next call.
#[derive(Default)]
pub struct LeavesTheTimerArmed {
    armed: bool,
}

impl Fault for LeavesTheTimerArmed {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if std::mem::take(&mut self.armed) {
            return closed();
        }
        let result = guest.call(function, input);
        self.armed = matches!(&result, Err(error) if is_timeout(error));
        result
    }
}

/// The call after a trap waits until its time limit and fails.
#[derive(Default)]
pub struct WaitsOutTheTimeBehindATrap {
    trapped: bool,
}

impl Fault for WaitsOutTheTimeBehindATrap {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if std::mem::take(&mut self.trapped) {
            std::thread::sleep(Duration::from_millis(HANDSHAKE_WALL_MS));
            return closed();
        }
        let result = guest.call(function, input);
        self.trapped = matches!(&result, Err(error) if is_trap(error));
        result
    }
}

#[derive(Default)]
pub struct ClosesAfterATrap {
    closed: bool,
}

impl Fault for ClosesAfterATrap {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.closed {
            return closed();
        }
        let result = guest.call(function, input);
        self.closed = matches!(&result, Err(error) if is_trap(error));
        result
    }
}

#[derive(Default)]
pub struct ClosesAfterTwelveFailures {
    failures: u32,
}

impl Fault for ClosesAfterTwelveFailures {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.failures >= 12 {
            return closed();
        }
        let result = guest.call(function, input);
        self.failures += u32::from(result.is_err());
        result
    }
}

#[derive(Default)]
pub struct LosesObserveAfterSignFailed {
    failed: bool,
}

impl Fault for LosesObserveAfterSignFailed {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.failed && function == "observe" {
            return closed();
        }
        let result = guest.call(function, input);
        self.failed |= function == "sign" && result.is_err();
        result
    }
}

/// Forgets the negotiated version of a function that returned an invalid answer.
#[derive(Default)]
pub struct ForgetsAFunctionThatAnsweredRubbish {
    forgotten: BTreeSet<&'static str>,
}

impl Fault for ForgetsAFunctionThatAnsweredRubbish {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.forgotten.contains(function) {
            closed()
        } else {
            guest.call(function, input)
        }
    }

    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        if matches!(failure, Failure::InvalidAnswer) {
            self.forgotten.insert(function.name);
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

/// Answers healthy calls and all calls whose answer is predicted; the others fail.
#[derive(Default)]
pub struct LosesWildCallsAfterAGuestError {
    error: bool,
}

impl Fault for LosesWildCallsAfterAGuestError {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.error && input.contains("puppet:0f") {
            return closed();
        }
        let result = guest.call(function, input);
        self.error |= matches!(&result, Err(error) if is_guest_error(error));
        result
    }
}

/// In every second session, programs that call Extism themselves fail.
#[derive(Default)]
pub struct OpensEverySecondSessionBlind {
    blind: bool,
}

impl Fault for OpensEverySecondSessionBlind {
    fn on_open(&mut self, sessions: u32) {
        self.blind = sessions.is_multiple_of(2);
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.blind && input.contains("puppet:0f") {
            closed()
        } else {
            guest.call(function, input)
        }
    }
}

/// Does not report its calls, so only the comparison with the published host shows the fault.
#[derive(Default)]
pub struct AnswersPostsOnly;

impl Fault for AnswersPostsOnly {
    fn settings(&self) -> Settings {
        Settings {
            reports_calls: false,
            ..Settings::default()
        }
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if !input.contains("\"method\":") || input.contains("\"method\":\"POST\"") {
            guest.call(function, input)
        } else {
            closed()
        }
    }
}

/// Takes half a second to create a new instance after a failure.
#[derive(Default)]
pub struct RecoversSlowly {
    failed: bool,
}

impl Fault for RecoversSlowly {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if std::mem::take(&mut self.failed) {
            std::thread::sleep(Duration::from_millis(500));
        }
        let result = guest.call(function, input);
        self.failed = result.is_err();
        result
    }
}
