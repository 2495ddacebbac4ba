//! Hosts that change over time, by what calls came to before, or by what other sessions did.

use std::collections::{BTreeMap, BTreeSet};

use cc_lb_fuzz::wire::Function;
use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;
use serde_json::Value;

use crate::faulty::plain::{
    Called, Commons, Failure, Fault, Guest, Instead, is_guest_error, is_timeout,
};
use crate::faulty::{Faulty, clocked, dispatch};

pub fn faults() -> Vec<Faulty> {
    vec![
        dispatch::<ClosesAfterAHundredCalls>("no_poison"),
        dispatch::<ClosesAfterAThousandCalls>("no_poison"),
        dispatch::<ClosesAfterFiveThousandCalls>("no_poison"),
        dispatch::<LosesEveryThirdCall>("no_poison"),
        dispatch::<LosesEveryTenthSign>("no_poison"),
        dispatch::<ClosesAfterAMegabyteOfInput>("no_poison"),
        dispatch::<LosesTheCallBehindAnInputOf64Kib>("no_poison"),
        dispatch::<LosesTheCallBehindAnAnswerOf16Kib>("no_poison"),
        clocked::<ClosesAFunctionAfterThreeTimeouts>("no_poison"),
        dispatch::<PausesAfterThreeFailuresInARow>("no_poison"),
        dispatch::<ClosesAfterTenAnswersThatItCannotRead>("no_poison"),
        dispatch::<HandsOutUsedInstances>("no_retry"),
        dispatch::<SharesTheInstanceFromTheThirdSessionOn>("no_retry"),
        dispatch::<TellsAGuestErrorAgain>("no_poison"),
        dispatch::<BansPrincipalsAfterTwoFailures>("no_poison"),
        clocked::<LeavesTheRestOfTheFuelAfterAFailure>("no_poison"),
        dispatch::<TakesFunctionsOfOneLetterForTheSame>("no_poison"),
        dispatch::<LosesTheFirstCallOfLaterSessions>("sound_ok"),
        clocked::<LosesSignAfterBuildSignerTimedOut>("no_poison"),
        clocked::<KeepsTheInstanceAfterATimeout>("no_poison"),
    ]
}

/// A call that is not made.
pub fn not_called() -> Called {
    Err(extism::Error::msg("closed"))
}

/// A session that makes so many calls and no more.
#[derive(Default)]
struct Lifetime {
    calls: u32,
}

impl Lifetime {
    fn call(&mut self, most: u32, guest: &mut Guest, function: &str, input: &str) -> Called {
        self.calls += 1;
        if self.calls > most {
            return not_called();
        }
        guest.call(function, input)
    }
}

#[derive(Default)]
pub struct ClosesAfterAHundredCalls(Lifetime);

impl Fault for ClosesAfterAHundredCalls {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        self.0.call(100, guest, function, input)
    }
}

#[derive(Default)]
pub struct ClosesAfterAThousandCalls(Lifetime);

impl Fault for ClosesAfterAThousandCalls {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        self.0.call(1_000, guest, function, input)
    }
}

#[derive(Default)]
pub struct ClosesAfterFiveThousandCalls(Lifetime);

impl Fault for ClosesAfterFiveThousandCalls {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        self.0.call(5_000, guest, function, input)
    }
}

#[derive(Default)]
pub struct LosesEveryThirdCall {
    calls: u32,
}

impl Fault for LosesEveryThirdCall {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        self.calls += 1;
        match self.calls % 3 {
            0 => not_called(),
            _ => guest.call(function, input),
        }
    }
}

/// The signers that are taken turns with, one of which is not there.
#[derive(Default)]
pub struct LosesEveryTenthSign {
    signs: u32,
}

impl Fault for LosesEveryTenthSign {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        self.signs += u32::from(function == "sign");
        if function == "sign" && self.signs.is_multiple_of(10) {
            return not_called();
        }
        guest.call(function, input)
    }
}

/// What inputs take is never given back.
#[derive(Default)]
pub struct ClosesAfterAMegabyteOfInput {
    bytes: usize,
}

impl Fault for ClosesAfterAMegabyteOfInput {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
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
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
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
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if std::mem::take(&mut self.busy) {
            return not_called();
        }
        let called = guest.call(function, input)?;
        self.busy = called.len() >= 16 << 10;
        Ok(called)
    }
}

/// The breaker of a function opens for good.
#[derive(Default)]
pub struct ClosesAFunctionAfterThreeTimeouts {
    timeouts: BTreeMap<&'static str, u32>,
}

impl Fault for ClosesAFunctionAfterThreeTimeouts {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.timeouts.get(function).is_some_and(|count| *count >= 3) {
            return not_called();
        }
        guest.call(function, input)
    }

    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        if why.is_timeout() {
            *self.timeouts.entry(function.name).or_default() += 1;
        }
        Instead::Fallback(function.fallback)
    }
}

/// The breaker opens for five calls, and heals.
#[derive(Default)]
pub struct PausesAfterThreeFailuresInARow {
    in_a_row: u32,
    pause: u32,
}

impl Fault for PausesAfterThreeFailuresInARow {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.pause > 0 {
            self.pause -= 1;
            return not_called();
        }
        let called = guest.call(function, input);
        self.in_a_row = match called {
            Ok(_) => 0,
            Err(_) => self.in_a_row + 1,
        };
        if self.in_a_row == 3 {
            (self.in_a_row, self.pause) = (0, 5);
        }
        called
    }
}

#[derive(Default)]
pub struct ClosesAfterTenAnswersThatItCannotRead {
    unreadable: u32,
}

impl Fault for ClosesAfterTenAnswersThatItCannotRead {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.unreadable >= 10 {
            return not_called();
        }
        guest.call(function, input)
    }

    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        self.unreadable += u32::from(matches!(why, Failure::Answer));
        Instead::Fallback(function.fallback)
    }
}

/// The breaker of all sessions.
#[derive(Default)]
pub struct ClosesAllSessionsAfterFiftyFailures {
    commons: Commons,
}

impl Fault for ClosesAllSessionsAfterFiftyFailures {
    fn shares(&mut self, commons: &Commons) {
        self.commons = commons.clone();
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.commons.borrow().count >= 50 {
            return not_called();
        }
        guest.call(function, input)
    }

    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        self.commons.borrow_mut().count += 1;
        Instead::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct OpensNoInstanceAfterAHundredSessions {
    blind: bool,
}

impl Fault for OpensNoInstanceAfterAHundredSessions {
    fn opened(&mut self, sessions: u32) {
        self.blind = sessions > 100;
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.blind {
            return not_called();
        }
        guest.call(function, input)
    }
}

/// The instance is not there yet.
#[derive(Default)]
pub struct LosesTheFirstCallOfLaterSessions {
    cold: bool,
}

impl Fault for LosesTheFirstCallOfLaterSessions {
    fn opened(&mut self, sessions: u32) {
        self.cold = sessions > 1;
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if std::mem::take(&mut self.cold) {
            return not_called();
        }
        guest.call(function, input)
    }
}

#[derive(Default)]
pub struct KeepsTheInstanceAfterATimeout;

impl Fault for KeepsTheInstanceAfterATimeout {
    fn renews(&mut self, error: &extism::Error) -> bool {
        !is_timeout(error)
    }
}

/// A pool of what sessions leave.
#[derive(Default)]
pub struct HandsOutUsedInstances {
    commons: Commons,
    began: bool,
}

impl Fault for HandsOutUsedInstances {
    fn shares(&mut self, commons: &Commons) {
        self.commons = commons.clone();
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if !std::mem::replace(&mut self.began, true) {
            guest.swap(&mut self.commons.borrow_mut().instance);
        }
        guest.call(function, input)
    }

    fn closes(&mut self, guest: &mut Guest) {
        if self.began {
            guest.swap(&mut self.commons.borrow_mut().instance);
        }
    }
}

/// Only as soon as a third session is opened: two are within the pool's size.
#[derive(Default)]
pub struct SharesTheInstanceFromTheThirdSessionOn {
    commons: Commons,
    shares: bool,
}

impl Fault for SharesTheInstanceFromTheThirdSessionOn {
    fn opened(&mut self, sessions: u32) {
        self.shares = sessions > 2;
    }

    fn shares(&mut self, commons: &Commons) {
        self.commons = commons.clone();
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if !self.shares {
            return guest.call(function, input);
        }
        let mut commons = self.commons.borrow_mut();
        guest.swap(&mut commons.instance);
        let called = guest.call(function, input);
        if called.is_ok() {
            guest.swap(&mut commons.instance);
        }
        called
    }
}

/// Extism's error is read before the call's own is set.
#[derive(Default)]
pub struct TellsAGuestErrorAgain {
    stands: bool,
}

impl Fault for TellsAGuestErrorAgain {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let called = guest.call(function, input);
        let set = called.as_ref().is_err_and(is_guest_error);
        if std::mem::replace(&mut self.stands, set) && called.is_ok() {
            return Err(extism::Error::msg(
                "the error of the call before".to_owned(),
            ));
        }
        called
    }
}

/// A principal that made a call fail is turned away from then on.
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

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let failures = self.failures.get(&self.principal);
        if !self.principal.is_empty() && failures.is_some_and(|count| *count >= 2) {
            return not_called();
        }
        guest.call(function, input)
    }

    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        *self.failures.entry(self.principal.clone()).or_default() += 1;
        Instead::Fallback(function.fallback)
    }
}

/// Of other functions it knows that they can fail.
#[derive(Default)]
pub struct LosesSignAfterBuildSignerTimedOut {
    lost: bool,
}

impl Fault for LosesSignAfterBuildSignerTimedOut {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.lost && function == "sign" {
            return not_called();
        }
        let called = guest.call(function, input);
        if function == "build_signer" {
            self.lost = called.as_ref().is_err_and(is_timeout);
        }
        called
    }
}

/// The fuel is set behind calls that return.
#[derive(Default)]
pub struct LeavesTheRestOfTheFuelAfterAFailure {
    used: u64,
}

impl Fault for LeavesTheRestOfTheFuelAfterAFailure {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let called = guest.call(function, input);
        let fuel = guest.fuel().unwrap_or_default();
        if self.used + fuel > HANDSHAKE_FUEL && called.is_ok() {
            self.used = 0;
            return Err(extism::Error::msg("plugin ran out of fuel".to_owned()));
        }
        self.used = match called {
            Ok(_) => 0,
            Err(_) => fuel,
        };
        called
    }
}

#[derive(Default)]
pub struct GivesRenewedInstancesHalfTheFuel {
    fresh_session: bool,
}

impl Fault for GivesRenewedInstancesHalfTheFuel {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let called = guest.call(function, input);
        let dear = guest.fuel().is_some_and(|fuel| fuel > HANDSHAKE_FUEL / 2);
        let fresh = std::mem::replace(&mut self.fresh_session, called.is_err());
        if fresh && dear && called.is_ok() {
            self.fresh_session = true;
            return Err(extism::Error::msg("plugin ran out of fuel".to_owned()));
        }
        called
    }
}

/// The functions that were called are known by their first letters.
#[derive(Default)]
pub struct TakesFunctionsOfOneLetterForTheSame {
    failed: BTreeSet<u8>,
}

impl Fault for TakesFunctionsOfOneLetterForTheSame {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
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
