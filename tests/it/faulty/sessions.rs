//! Hosts whose sessions carry something from one call to a later one, or differ.

use std::collections::BTreeSet;
use std::time::Duration;

use cc_lb_fuzz::wire::Function;
use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};

use super::plain::{
    Called, Failure, Fault, Guest, Instead, Settings, is_guest_error, is_timeout, is_trap,
};

fn closed() -> Called {
    Err(extism::Error::msg("the session is closed"))
}

#[derive(Default)]
pub struct KeepsTheInstanceAfterATrap;

impl Fault for KeepsTheInstanceAfterATrap {
    fn renews(&mut self, error: &extism::Error) -> bool {
        !is_trap(error)
    }
}

#[derive(Default)]
pub struct FuelsASessionOnce {
    taken: u64,
}

impl Fault for FuelsASessionOnce {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.taken > HANDSHAKE_FUEL {
            return closed();
        }
        let called = guest.call(function, input);
        self.taken += guest.fuel().unwrap_or(0);
        called
    }
}

/// The timer of a call that ran out of time strikes once more.
#[derive(Default)]
pub struct LeavesTheTimerArmed {
    armed: bool,
}

impl Fault for LeavesTheTimerArmed {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if std::mem::take(&mut self.armed) {
            return closed();
        }
        let called = guest.call(function, input);
        self.armed = matches!(&called, Err(error) if is_timeout(error));
        called
    }
}

/// The call behind a trap waits until its time is over, and is not answered.
#[derive(Default)]
pub struct WaitsOutTheTimeBehindATrap {
    trapped: bool,
}

impl Fault for WaitsOutTheTimeBehindATrap {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if std::mem::take(&mut self.trapped) {
            std::thread::sleep(Duration::from_millis(HANDSHAKE_WALL_MS));
            return closed();
        }
        let called = guest.call(function, input);
        self.trapped = matches!(&called, Err(error) if is_trap(error));
        called
    }
}

#[derive(Default)]
pub struct ClosesAfterATrap {
    closed: bool,
}

impl Fault for ClosesAfterATrap {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.closed {
            return closed();
        }
        let called = guest.call(function, input);
        self.closed = matches!(&called, Err(error) if is_trap(error));
        called
    }
}

#[derive(Default)]
pub struct ClosesAfterTwelveFailures {
    failures: u32,
}

impl Fault for ClosesAfterTwelveFailures {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.failures >= 12 {
            return closed();
        }
        let called = guest.call(function, input);
        self.failures += u32::from(called.is_err());
        called
    }
}

#[derive(Default)]
pub struct LosesObserveAfterSignFailed {
    failed: bool,
}

impl Fault for LosesObserveAfterSignFailed {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.failed && function == "observe" {
            return closed();
        }
        let called = guest.call(function, input);
        self.failed |= function == "sign" && called.is_err();
        called
    }
}

/// It forgets what was negotiated for a function that fails.
#[derive(Default)]
pub struct ForgetsAFunctionThatAnsweredRubbish {
    forgotten: BTreeSet<&'static str>,
}

impl Fault for ForgetsAFunctionThatAnsweredRubbish {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.forgotten.contains(function) {
            closed()
        } else {
            guest.call(function, input)
        }
    }

    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        if matches!(why, Failure::Answer) {
            self.forgotten.insert(function.name);
        }
        Instead::Fallback(function.fallback)
    }
}

/// Healthy calls it answers, and all whose answer is foretold.
#[derive(Default)]
pub struct LosesWildCallsAfterAGuestError {
    error: bool,
}

impl Fault for LosesWildCallsAfterAGuestError {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.error && input.contains("puppet:0f") {
            return closed();
        }
        let called = guest.call(function, input);
        self.error |= matches!(&called, Err(error) if is_guest_error(error));
        called
    }
}

/// One in two sessions has no answer for programs that call Extism by themselves.
#[derive(Default)]
pub struct OpensEverySecondSessionBlind {
    blind: bool,
}

impl Fault for OpensEverySecondSessionBlind {
    fn opened(&mut self, sessions: u32) {
        self.blind = sessions.is_multiple_of(2);
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.blind && input.contains("puppet:0f") {
            closed()
        } else {
            guest.call(function, input)
        }
    }
}

/// It tells nothing of its calls, so that only the published host tells what is right.
#[derive(Default)]
pub struct AnswersPostsOnly;

impl Fault for AnswersPostsOnly {
    fn settings(&self) -> Settings {
        Settings {
            tells: false,
            ..Settings::default()
        }
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if !input.contains("\"method\":") || input.contains("\"method\":\"POST\"") {
            guest.call(function, input)
        } else {
            closed()
        }
    }
}

/// Makes a new instance behind a failure, and takes half a second for it.
#[derive(Default)]
pub struct RecoversSlowly {
    failed: bool,
}

impl Fault for RecoversSlowly {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if std::mem::take(&mut self.failed) {
            std::thread::sleep(Duration::from_millis(500));
        }
        let called = guest.call(function, input);
        self.failed = called.is_err();
        called
    }
}
