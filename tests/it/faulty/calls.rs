//! Hosts that call the guest incorrectly: they retry, lack limits, or panic.

use cc_lb_fuzz::wire::Function;
use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};
use serde_json::Value;

use super::plain::{
    CallResult, Failure, FailureOutcome, Fault, Guest, Settings, is_timeout, is_trap,
};

#[derive(Default)]
pub struct RetriesOnce;

impl Fault for RetriesOnce {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let result = guest.call(function, input);
        result.or_else(|_| guest.call(function, input))
    }
}

#[derive(Default)]
pub struct RetriesTimeouts;

impl Fault for RetriesTimeouts {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        match guest.call(function, input) {
            Err(error) if is_timeout(&error) => guest.call(function, input),
            result => result,
        }
    }
}

#[derive(Default)]
pub struct RetriesTrapsOnAFreshInstance;

impl Fault for RetriesTrapsOnAFreshInstance {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        match guest.call(function, input) {
            Err(error) if is_trap(&error) => {
                guest.discard_instance();
                guest.call(function, input)
            }
            result => result,
        }
    }
}

#[derive(Default)]
pub struct AsksAgainForAnEmptyAnswer;

impl Fault for AsksAgainForAnEmptyAnswer {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        match guest.call(function, input) {
            Ok(output) if output.is_empty() => guest.call(function, input),
            result => result,
        }
    }
}

#[derive(Default)]
pub struct PanicsWhenTheGuestTraps;

impl Fault for PanicsWhenTheGuestTraps {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        assert!(!failure.is_trap(), "the guest trapped");
        FailureOutcome::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct PanicsOnAnswersThatAreNoJson;

impl Fault for PanicsOnAnswersThatAreNoJson {
    fn json(&mut self, text: &str) -> Option<Value> {
        Some(serde_json::from_str(text).expect("the answer is JSON"))
    }
}

#[derive(Default)]
pub struct HasNoFuelLimit;

impl Fault for HasNoFuelLimit {
    fn settings(&self) -> Settings {
        Settings {
            fuel: None,
            ..Settings::default()
        }
    }
}

#[derive(Default)]
pub struct GivesTwiceTheFuel;

impl Fault for GivesTwiceTheFuel {
    fn settings(&self) -> Settings {
        Settings {
            fuel: Some(2 * HANDSHAKE_FUEL),
            ..Settings::default()
        }
    }
}

#[derive(Default)]
pub struct WaitsThreeTimesAsLong;

impl Fault for WaitsThreeTimesAsLong {
    fn settings(&self) -> Settings {
        Settings {
            wall_ms: 3 * HANDSHAKE_WALL_MS,
            ..Settings::default()
        }
    }
}
