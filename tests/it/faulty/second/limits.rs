//! Hosts with other limits of fuel or time.

use std::time::{Duration, Instant};

use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};

use crate::faulty::plain::{CallResult, Fault, Guest, Settings, SharedState, is_timeout};
use crate::faulty::{FaultyHost, dispatch, measured, time_limited};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        time_limited::<GivesHalfTheFuel>("sound_ok"),
        time_limited::<GivesATenthMoreFuelAndTellsNothing>("within_fuel"),
        dispatch::<FuelsByTheSizeOfTheInput>("sound_ok"),
        dispatch::<GivesObserveATenthOfTheFuel>("sound_ok"),
        measured::<TimesTheSession>("no_poison"),
        measured::<SetsTheDeadlineTenMillisecondsAhead>("sound_ok"),
        measured::<SleepsBehindATimeoutOfObserve>("within_wall"),
    ]
}

fn out_of_fuel() -> CallResult {
    Err(extism::Error::msg("plugin ran out of fuel".to_owned()))
}

#[derive(Default)]
pub struct GivesHalfTheFuel;

impl Fault for GivesHalfTheFuel {
    fn settings(&self) -> Settings {
        Settings {
            fuel: Some(HANDSHAKE_FUEL / 2),
            ..Settings::default()
        }
    }
}

#[derive(Default)]
pub struct GivesATenthMoreFuelAndTellsNothing;

impl Fault for GivesATenthMoreFuelAndTellsNothing {
    fn settings(&self) -> Settings {
        Settings {
            fuel: Some(HANDSHAKE_FUEL / 10 * 11),
            reports_calls: false,
            ..Settings::default()
        }
    }
}

#[derive(Default)]
pub struct FuelsByTheSizeOfTheInput;

impl Fault for FuelsByTheSizeOfTheInput {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let output = guest.call(function, input)?;
        let given = 2_000_000 + 1_000 * input.len() as u64;
        match guest.fuel() {
            Some(fuel) if fuel > given => out_of_fuel(),
            _ => Ok(output),
        }
    }
}

#[derive(Default)]
pub struct GivesObserveATenthOfTheFuel;

impl Fault for GivesObserveATenthOfTheFuel {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let output = guest.call(function, input)?;
        match guest.fuel() {
            Some(fuel) if function == "observe" && fuel > HANDSHAKE_FUEL / 10 => out_of_fuel(),
            _ => Ok(output),
        }
    }
}

/// Gives a session the time of one call.
#[derive(Default)]
pub struct TimesTheSession {
    spent: Duration,
}

impl Fault for TimesTheSession {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.spent > Duration::from_millis(HANDSHAKE_WALL_MS) {
            return Err(extism::Error::msg("timeout"));
        }
        let start = Instant::now();
        let result = guest.call(function, input);
        self.spent += start.elapsed();
        result
    }
}

/// Gives all sessions together half a second, which three timeouts exceed.
#[derive(Default)]
pub struct TimesAllSessions {
    shared: SharedState,
}

impl Fault for TimesAllSessions {
    fn use_shared_state(&mut self, shared: &SharedState) {
        self.shared = shared.clone();
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.shared.borrow().count >= 3 {
            return Err(extism::Error::msg("timeout"));
        }
        let result = guest.call(function, input);
        let timed_out = result.as_ref().is_err_and(is_timeout);
        self.shared.borrow_mut().count += u64::from(timed_out);
        result
    }
}

/// Gives a call ten milliseconds.
#[derive(Default)]
pub struct SetsTheDeadlineTenMillisecondsAhead;

impl Fault for SetsTheDeadlineTenMillisecondsAhead {
    fn settings(&self) -> Settings {
        Settings {
            wall_ms: 10,
            ..Settings::default()
        }
    }
}

/// Returns late after a timeout of `observe`.
#[derive(Default)]
pub struct SleepsBehindATimeoutOfObserve;

impl Fault for SleepsBehindATimeoutOfObserve {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let result = guest.call(function, input);
        if result.as_ref().is_err_and(is_timeout) && function == "observe" {
            std::thread::sleep(Duration::from_millis(HANDSHAKE_WALL_MS));
        }
        result
    }
}
