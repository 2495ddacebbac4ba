//! Hosts that call the guest wrong: again, without limits, or with a panic.

use cc_lb_fuzz::host::DispatchOutcome;
use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};
use cc_lb_plugin_wire::wire_function::WireFunction;
use serde_json::Value;

use super::plain::{Called, Failure, Fault, Guest, is_timeout, is_trap};

#[derive(Clone, Default)]
pub struct RetriesOnce;

impl Fault for RetriesOnce {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let called = guest.call(function, input);
        called.or_else(|_| guest.call(function, input))
    }
}

#[derive(Clone, Default)]
pub struct RetriesTimeouts;

impl Fault for RetriesTimeouts {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        match guest.call(function, input) {
            Err(error) if is_timeout(&error) => guest.call(function, input),
            called => called,
        }
    }
}

#[derive(Clone, Default)]
pub struct RetriesTrapsOnAFreshInstance;

impl Fault for RetriesTrapsOnAFreshInstance {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        match guest.call(function, input) {
            Err(error) if is_trap(&error) => {
                guest.renew();
                guest.call(function, input)
            }
            called => called,
        }
    }
}

#[derive(Clone, Default)]
pub struct AsksAgainForAnEmptyAnswer;

impl Fault for AsksAgainForAnEmptyAnswer {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        match guest.call(function, input) {
            Ok(output) if output.is_empty() => guest.call(function, input),
            called => called,
        }
    }
}

#[derive(Clone, Default)]
pub struct PanicsWhenTheGuestTraps;

impl Fault for PanicsWhenTheGuestTraps {
    fn failed<F: WireFunction>(&mut self, why: &Failure) -> DispatchOutcome<F::Response> {
        assert!(!why.is_trap(), "the guest trapped");
        DispatchOutcome::Fallback(F::FALLBACK)
    }
}

#[derive(Clone, Default)]
pub struct PanicsOnAnswersThatAreNoJson;

impl Fault for PanicsOnAnswersThatAreNoJson {
    fn json(&mut self, text: &str) -> Option<Value> {
        Some(serde_json::from_str(text).expect("the answer is JSON"))
    }
}

#[derive(Clone, Default)]
pub struct HasNoFuelLimit;

impl Fault for HasNoFuelLimit {
    const FUEL: Option<u64> = None;
}

#[derive(Clone, Default)]
pub struct GivesTwiceTheFuel;

impl Fault for GivesTwiceTheFuel {
    const FUEL: Option<u64> = Some(2 * HANDSHAKE_FUEL);
}

#[derive(Clone, Default)]
pub struct WaitsThreeTimesAsLong;

impl Fault for WaitsThreeTimesAsLong {
    const WALL_MS: u64 = 3 * HANDSHAKE_WALL_MS;
}
