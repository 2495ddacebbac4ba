//! Hosts that call the guest more than once, or not at all.

use std::collections::BTreeSet;

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;
use serde_json::Value;

use crate::faulty::plain::{Called, Fault, Guest, is_guest_error, is_timeout};
use crate::faulty::{Faulty, clocked, dispatch};

pub fn faults() -> Vec<Faulty> {
    vec![
        dispatch::<WarmsUpEachFunction>("no_retry"),
        dispatch::<CallsBuildSignerBeforeTheFirstSign>("no_retry"),
        dispatch::<ProbesEveryHundredCalls>("no_retry"),
        dispatch::<RetriesGuestErrorsThatSayRetry>("no_retry"),
        dispatch::<RetriesExitCode75>("no_retry"),
        dispatch::<RetriesNegativeExitCodes>("no_retry"),
        dispatch::<RetriesAnswersThatAreCutOff>("no_retry"),
        dispatch::<AsksAgainInTheVersionOfTheAnswer>("no_retry"),
        dispatch::<RetriesWhatChangesNothing>("no_retry"),
        clocked::<CallsASecondTimeWhatTakesLong>("no_retry"),
        dispatch::<AnswersObserveWhateverItComesTo>("fallback_policy"),
        clocked::<ProbesAfterATimeout>("no_retry"),
    ]
}

/// One more call, of which nobody reads what it came to.
fn beside(guest: &mut Guest, function: &str, input: &str) {
    if guest.call(function, input).is_err() {
        guest.renew();
    }
}

/// One more call behind one that failed.
fn again(guest: &mut Guest, function: &str, input: &str) -> Called {
    guest.renew();
    guest.call(function, input)
}

/// Before the first call of a function.
#[derive(Default)]
pub struct WarmsUpEachFunction {
    warm: BTreeSet<String>,
}

impl Fault for WarmsUpEachFunction {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if self.warm.insert(function.to_owned()) {
            beside(guest, function, input);
        }
        guest.call(function, input)
    }
}

#[derive(Default)]
pub struct CallsBuildSignerBeforeTheFirstSign {
    built: bool,
}

impl Fault for CallsBuildSignerBeforeTheFirstSign {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if function == "sign" && !std::mem::replace(&mut self.built, true) {
            beside(guest, "build_signer", input);
        }
        guest.call(function, input)
    }
}

#[derive(Default)]
pub struct ProbesEveryHundredCalls {
    calls: u32,
}

impl Fault for ProbesEveryHundredCalls {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        self.calls += 1;
        if self.calls.is_multiple_of(100) {
            beside(guest, function, input);
        }
        guest.call(function, input)
    }
}

/// With what last went well, to see whether the fresh instance works.
#[derive(Default)]
pub struct ProbesAfterATimeout {
    good: Option<(String, String)>,
    probes: bool,
}

impl Fault for ProbesAfterATimeout {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if let Some((function, input)) = &self.good
            && std::mem::take(&mut self.probes)
        {
            beside(guest, function, input);
        }
        let called = guest.call(function, input);
        match &called {
            Ok(_) => self.good = Some((function.to_owned(), input.to_owned())),
            Err(error) => self.probes = is_timeout(error),
        }
        called
    }
}

#[derive(Default)]
pub struct RetriesGuestErrorsThatSayRetry;

impl Fault for RetriesGuestErrorsThatSayRetry {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        guest.call(function, input).or_else(|error| {
            let words = error.to_string().to_ascii_lowercase();
            if is_guest_error(&error) && words.contains("retry") {
                return again(guest, function, input);
            }
            Err(error)
        })
    }
}

#[derive(Default)]
pub struct RetriesExitCode75;

impl Fault for RetriesExitCode75 {
    /// It is `EX_TEMPFAIL`.
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        guest.call(function, input).or_else(|error| {
            if error.to_string() == "Returned non-zero exit code: 75" {
                return again(guest, function, input);
            }
            Err(error)
        })
    }
}

#[derive(Default)]
pub struct RetriesNegativeExitCodes;

impl Fault for RetriesNegativeExitCodes {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        guest.call(function, input).or_else(|error| {
            if error
                .to_string()
                .starts_with("Returned non-zero exit code: -")
            {
                return again(guest, function, input);
            }
            Err(error)
        })
    }
}

#[derive(Default)]
pub struct RetriesAnswersThatAreCutOff;

impl Fault for RetriesAnswersThatAreCutOff {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let output = guest.call(function, input)?;
        match serde_json::from_slice::<Value>(&output) {
            Err(error) if error.is_eof() && !output.is_empty() => guest.call(function, input),
            _ => Ok(output),
        }
    }
}

/// In the version that the plugin answered in.
#[derive(Default)]
pub struct AsksAgainInTheVersionOfTheAnswer;

impl Fault for AsksAgainInTheVersionOfTheAnswer {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let output = guest.call(function, input)?;
        let read = |json: &[u8]| serde_json::from_slice::<Value>(json).ok();
        let (Some(answer), Some(mut request)) = (read(&output), read(input.as_bytes())) else {
            return Ok(output);
        };
        match answer.get("_v").and_then(Value::as_u64) {
            Some(other) if request["_v"] != other => {
                request["_v"] = other.into();
                guest.call(function, &request.to_string())
            }
            _ => Ok(output),
        }
    }
}

#[derive(Default)]
pub struct RetriesWhatChangesNothing;

impl Fault for RetriesWhatChangesNothing {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let called = guest.call(function, input);
        if called.is_err() && matches!(function, "filter" | "observe") {
            return again(guest, function, input);
        }
        called
    }
}

/// Whichever is there first; what takes much fuel takes long.
#[derive(Default)]
pub struct CallsASecondTimeWhatTakesLong;

impl Fault for CallsASecondTimeWhatTakesLong {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let first = guest.call(function, input)?;
        if guest.fuel().is_some_and(|fuel| fuel > HANDSHAKE_FUEL / 2) {
            beside(guest, function, input);
        }
        Ok(first)
    }
}

#[derive(Default)]
pub struct AnswersObserveWhateverItComesTo;

impl Fault for AnswersObserveWhateverItComesTo {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        if function != "observe" {
            return guest.call(function, input);
        }
        // Nobody waits for it.
        beside(guest, function, input);
        let request: Value = serde_json::from_str(input).unwrap_or_default();
        Ok(serde_json::json!({ "_v": request["_v"] })
            .to_string()
            .into_bytes())
    }
}
