//! Hosts with other limits of fuel or time.

use std::time::{Duration, Instant};

use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};

use crate::faulty::plain::{Called, Commons, Fault, Guest, Settings, is_timeout};
use crate::faulty::{Faulty, clocked, dispatch, measured};

pub fn faults() -> Vec<Faulty> {
    vec![
        clocked::<GivesHalfTheFuel>("sound_ok"),
        clocked::<GivesATenthMoreFuelAndTellsNothing>("within_fuel"),
        dispatch::<FuelsByTheSizeOfTheInput>("sound_ok"),
        dispatch::<GivesObserveATenthOfTheFuel>("sound_ok"),
        measured::<TimesTheSession>("no_poison"),
        measured::<SetsTheDeadlineTenMillisecondsAhead>("sound_ok"),
        measured::<SleepsBehindATimeoutOfObserve>("within_wall"),
    ]
}

fn out_of_fuel() -> Called {
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
            tells: false,
            ..Settings::default()
        }
    }
}

#[derive(Default)]
pub struct FuelsByTheSizeOfTheInput;

impl Fault for FuelsByTheSizeOfTheInput {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
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
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let output = guest.call(function, input)?;
        match guest.fuel() {
            Some(fuel) if function == "observe" && fuel > HANDSHAKE_FUEL / 10 => out_of_fuel(),
            _ => Ok(output),
        }
    }
}

/// By the clock.
#[derive(Default)]
pub struct TimesTheSession {
    spent: Duration,
}

impl Fault for TimesTheSession {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.spent > Duration::from_millis(HANDSHAKE_WALL_MS) {
            return Err(extism::Error::msg("timeout"));
        }
        let start = Instant::now();
        let called = guest.call(function, input);
        self.spent += start.elapsed();
        called
    }
}

/// Three timeouts are more than half a second, which is what the host has.
#[derive(Default)]
pub struct TimesAllSessions {
    commons: Commons,
}

impl Fault for TimesAllSessions {
    fn shares(&mut self, commons: &Commons) {
        self.commons = commons.clone();
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.commons.borrow().count >= 3 {
            return Err(extism::Error::msg("timeout"));
        }
        let called = guest.call(function, input);
        let timed_out = called.as_ref().is_err_and(is_timeout);
        self.commons.borrow_mut().count += u64::from(timed_out);
        called
    }
}

/// By the clock.
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

/// By the clock.
#[derive(Default)]
pub struct SleepsBehindATimeoutOfObserve;

impl Fault for SleepsBehindATimeoutOfObserve {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let called = guest.call(function, input);
        if called.as_ref().is_err_and(is_timeout) && function == "observe" {
            std::thread::sleep(Duration::from_millis(HANDSHAKE_WALL_MS));
        }
        called
    }
}
