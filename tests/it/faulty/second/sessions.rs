//! Hosts whose behavior depends on time, on results of earlier calls or on other sessions.

use std::collections::{BTreeMap, BTreeSet};

use cc_lb_fuzz::wire::Function;
use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;
use serde_json::Value;

use crate::faulty::plain::{
    CallResult, Failure, FailureOutcome, Fault, Guest, SharedState, is_guest_error, is_timeout,
};
use crate::faulty::{FaultyHost, dispatch, time_limited};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        dispatch::<ClosesAfterAHundredCalls>("no_poison"),
        dispatch::<ClosesAfterAThousandCalls>("no_poison"),
        dispatch::<ClosesAfterFiveThousandCalls>("no_poison"),
        dispatch::<LosesEveryThirdCall>("no_poison"),
        dispatch::<LosesEveryTenthSign>("no_poison"),
        dispatch::<ClosesAfterAMegabyteOfInput>("no_poison"),
        dispatch::<LosesTheCallBehindAnInputOf64Kib>("no_poison"),
        dispatch::<LosesTheCallBehindAnAnswerOf16Kib>("no_poison"),
        time_limited::<ClosesAFunctionAfterThreeTimeouts>("no_poison"),
        dispatch::<PausesAfterThreeFailuresInARow>("no_poison"),
        dispatch::<ClosesAfterTenAnswersThatItCannotRead>("no_poison"),
        dispatch::<HandsOutUsedInstances>("no_retry"),
        dispatch::<SharesTheInstanceFromTheThirdSessionOn>("no_retry"),
        dispatch::<TellsAGuestErrorAgain>("no_poison"),
        dispatch::<BansPrincipalsAfterTwoFailures>("no_poison"),
        time_limited::<LeavesTheRestOfTheFuelAfterAFailure>("no_poison"),
        dispatch::<TakesFunctionsOfOneLetterForTheSame>("no_poison"),
        dispatch::<LosesTheFirstCallOfLaterSessions>("sound_ok"),
        time_limited::<LosesSignAfterBuildSignerTimedOut>("no_poison"),
        time_limited::<KeepsTheInstanceAfterATimeout>("no_poison"),
    ]
}

/// Returns the error of a call that is not made.
pub fn not_called() -> CallResult {
    Err(extism::Error::msg("closed"))
}

/// Limits the number of calls of a session.
#[derive(Default)]
struct Lifetime {
    calls: u32,
}

impl Lifetime {
    fn call(&mut self, limit: u32, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        self.calls += 1;
        if self.calls > limit {
            return not_called();
        }
        guest.call(function, input)
    }
}

#[derive(Default)]
pub struct ClosesAfterAHundredCalls(Lifetime);

impl Fault for ClosesAfterAHundredCalls {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        self.0.call(100, guest, function, input)
    }
}

#[derive(Default)]
pub struct ClosesAfterAThousandCalls(Lifetime);

impl Fault for ClosesAfterAThousandCalls {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        self.0.call(1_000, guest, function, input)
    }
}

#[derive(Default)]
pub struct ClosesAfterFiveThousandCalls(Lifetime);

impl Fault for ClosesAfterFiveThousandCalls {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        self.0.call(5_000, guest, function, input)
    }
}

#[derive(Default)]
pub struct LosesEveryThirdCall {
    calls: u32,
}

impl Fault for LosesEveryThirdCall {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        self.calls += 1;
        match self.calls % 3 {
            0 => not_called(),
            _ => guest.call(function, input),
        }
    }
}

/// Takes turns with ten signers, one of which is missing.
#[derive(Default)]
pub struct LosesEveryTenthSign {
    signs: u32,
}

impl Fault for LosesEveryTenthSign {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        self.signs += u32::from(function == "sign");
        if function == "sign" && self.signs.is_multiple_of(10) {
            return not_called();
        }
        guest.call(function, input)
    }
}

/// Never frees the memory of inputs.
#[derive(Default)]
pub struct ClosesAfterAMegabyteOfInput {
    bytes: usize,
}

impl Fault for ClosesAfterAMegabyteOfInput {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        self.bytes += input.len();
        if self.bytes > 1 << 20 {
            return not_called();
        }
        guest.call(function, input)
    }
}

#[derive(Default)]
pub struct LosesTheCallBehindAnInputOf64Kib {
    busy: bool,
}

impl Fault for LosesTheCallBehindAnInputOf64Kib {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if std::mem::replace(&mut self.busy, input.len() >= 64 << 10) {
            return not_called();
        }
        guest.call(function, input)
    }
}

#[derive(Default)]
pub struct LosesTheCallBehindAnAnswerOf16Kib {
    busy: bool,
}

impl Fault for LosesTheCallBehindAnAnswerOf16Kib {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if std::mem::take(&mut self.busy) {
            return not_called();
        }
        let result = guest.call(function, input)?;
        self.busy = result.len() >= 16 << 10;
        Ok(result)
    }
}

/// Each function has a circuit breaker that opens permanently.
#[derive(Default)]
pub struct ClosesAFunctionAfterThreeTimeouts {
    timeouts: BTreeMap<&'static str, u32>,
}

impl Fault for ClosesAFunctionAfterThreeTimeouts {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.timeouts.get(function).is_some_and(|count| *count >= 3) {
            return not_called();
        }
        guest.call(function, input)
    }

    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        if failure.is_timeout() {
            *self.timeouts.entry(function.name).or_default() += 1;
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

/// A circuit breaker opens for five calls.
#[derive(Default)]
pub struct PausesAfterThreeFailuresInARow {
    in_a_row: u32,
    pause: u32,
}

impl Fault for PausesAfterThreeFailuresInARow {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.pause > 0 {
            self.pause -= 1;
            return not_called();
        }
        let result = guest.call(function, input);
        self.in_a_row = match result {
            Ok(_) => 0,
            Err(_) => self.in_a_row + 1,
        };
        if self.in_a_row == 3 {
            (self.in_a_row, self.pause) = (0, 5);
        }
        result
    }
}

#[derive(Default)]
pub struct ClosesAfterTenAnswersThatItCannotRead {
    unreadable: u32,
}

impl Fault for ClosesAfterTenAnswersThatItCannotRead {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.unreadable >= 10 {
            return not_called();
        }
        guest.call(function, input)
    }

    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        self.unreadable += u32::from(matches!(failure, Failure::InvalidAnswer));
        FailureOutcome::Fallback(function.fallback)
    }
}

/// All sessions share a circuit breaker.
#[derive(Default)]
pub struct ClosesAllSessionsAfterFiftyFailures {
    shared: SharedState,
}

impl Fault for ClosesAllSessionsAfterFiftyFailures {
    fn use_shared_state(&mut self, shared: &SharedState) {
        self.shared = shared.clone();
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.shared.borrow().count >= 50 {
            return not_called();
        }
        guest.call(function, input)
    }

    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        self.shared.borrow_mut().count += 1;
        FailureOutcome::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct OpensNoInstanceAfterAHundredSessions {
    blind: bool,
}

impl Fault for OpensNoInstanceAfterAHundredSessions {
    fn on_open(&mut self, sessions: u32) {
        self.blind = sessions > 100;
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.blind {
            return not_called();
        }
        guest.call(function, input)
    }
}

/// The instance is not ready yet.
#[derive(Default)]
pub struct LosesTheFirstCallOfLaterSessions {
    cold: bool,
}

impl Fault for LosesTheFirstCallOfLaterSessions {
    fn on_open(&mut self, sessions: u32) {
        self.cold = sessions > 1;
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if std::mem::take(&mut self.cold) {
            return not_called();
        }
        guest.call(function, input)
    }
}

#[derive(Default)]
pub struct KeepsTheInstanceAfterATimeout;

impl Fault for KeepsTheInstanceAfterATimeout {
    fn replaces_instance(&mut self, error: &extism::Error) -> bool {
        !is_timeout(error)
    }
}

/// Pools instances that earlier sessions used.
#[derive(Default)]
pub struct HandsOutUsedInstances {
    shared: SharedState,
    has_called: bool,
}

impl Fault for HandsOutUsedInstances {
    fn use_shared_state(&mut self, shared: &SharedState) {
        self.shared = shared.clone();
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if !std::mem::replace(&mut self.has_called, true) {
            guest.swap(&mut self.shared.borrow_mut().instance);
        }
        guest.call(function, input)
    }

    fn on_close(&mut self, guest: &mut Guest) {
        if self.has_called {
            guest.swap(&mut self.shared.borrow_mut().instance);
        }
    }
}

/// A pool has two instances, so the third session shares one.
#[derive(Default)]
pub struct SharesTheInstanceFromTheThirdSessionOn {
    shared: SharedState,
    shares: bool,
}

impl Fault for SharesTheInstanceFromTheThirdSessionOn {
    fn on_open(&mut self, sessions: u32) {
        self.shares = sessions > 2;
    }

    fn use_shared_state(&mut self, shared: &SharedState) {
        self.shared = shared.clone();
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if !self.shares {
            return guest.call(function, input);
        }
        let mut shared = self.shared.borrow_mut();
        guest.swap(&mut shared.instance);
        let result = guest.call(function, input);
        if result.is_ok() {
            guest.swap(&mut shared.instance);
        }
        result
    }
}

/// Reads Extism's error before the call sets its own.
#[derive(Default)]
pub struct TellsAGuestErrorAgain {
    had_error: bool,
}

impl Fault for TellsAGuestErrorAgain {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let result = guest.call(function, input);
        let set = result.as_ref().is_err_and(is_guest_error);
        if std::mem::replace(&mut self.had_error, set) && result.is_ok() {
            return Err(extism::Error::msg(
                "the error of the call before".to_owned(),
            ));
        }
        result
    }
}

/// Rejects principals whose calls failed.
#[derive(Default)]
pub struct BansPrincipalsAfterTwoFailures {
    principal: String,
    failures: BTreeMap<String, u32>,
}

impl Fault for BansPrincipalsAfterTwoFailures {
    fn request(&mut self, _: &str, request: &mut Value) {
        self.principal = request["principal"]["id"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let failures = self.failures.get(&self.principal);
        if !self.principal.is_empty() && failures.is_some_and(|count| *count >= 2) {
            return not_called();
        }
        guest.call(function, input)
    }

    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        *self.failures.entry(self.principal.clone()).or_default() += 1;
        FailureOutcome::Fallback(function.fallback)
    }
}

/// Handles failures of the other functions correctly.
#[derive(Default)]
pub struct LosesSignAfterBuildSignerTimedOut {
    lost: bool,
}

impl Fault for LosesSignAfterBuildSignerTimedOut {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.lost && function == "sign" {
            return not_called();
        }
        let result = guest.call(function, input);
        if function == "build_signer" {
            self.lost = result.as_ref().is_err_and(is_timeout);
        }
        result
    }
}

/// Refills the fuel only after successful calls.
#[derive(Default)]
pub struct LeavesTheRestOfTheFuelAfterAFailure {
    used: u64,
}

impl Fault for LeavesTheRestOfTheFuelAfterAFailure {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let result = guest.call(function, input);
        let fuel = guest.fuel().unwrap_or_default();
        if self.used + fuel > HANDSHAKE_FUEL && result.is_ok() {
            self.used = 0;
            return Err(extism::Error::msg("plugin ran out of fuel".to_owned()));
        }
        self.used = match result {
            Ok(_) => 0,
            Err(_) => fuel,
        };
        result
    }
}

#[derive(Default)]
pub struct GivesRenewedInstancesHalfTheFuel {
    fresh_session: bool,
}

impl Fault for GivesRenewedInstancesHalfTheFuel {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let result = guest.call(function, input);
        let is_expensive = guest.fuel().is_some_and(|fuel| fuel > HANDSHAKE_FUEL / 2);
        let fresh = std::mem::replace(&mut self.fresh_session, result.is_err());
        if fresh && is_expensive && result.is_ok() {
            self.fresh_session = true;
            return Err(extism::Error::msg("plugin ran out of fuel".to_owned()));
        }
        result
    }
}

/// Identifies failed functions by their first letters.
#[derive(Default)]
pub struct TakesFunctionsOfOneLetterForTheSame {
    failed: BTreeSet<u8>,
}

impl Fault for TakesFunctionsOfOneLetterForTheSame {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let letter = function.as_bytes()[0];
        if self.failed.remove(&letter) {
            return not_called();
        }
        guest.call(function, input).inspect_err(|error| {
            if is_guest_error(error) {
                self.failed.insert(letter);
            }
        })
    }
}
