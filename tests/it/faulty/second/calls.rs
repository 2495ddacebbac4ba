//! Hosts that call the guest more than once for a dispatch, or not at all.

use std::collections::BTreeSet;

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;
use serde_json::Value;

use crate::faulty::plain::{CallResult, Fault, Guest, is_guest_error, is_timeout};
use crate::faulty::{FaultyHost, dispatch, time_limited};

pub fn faults() -> Vec<FaultyHost> {
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
        time_limited::<CallsASecondTimeWhatTakesLong>("no_retry"),
        dispatch::<AnswersObserveWhateverItComesTo>("fallback_policy"),
        time_limited::<ProbesAfterATimeout>("no_retry"),
    ]
}

/// Makes an additional call and ignores its result.
fn call_and_ignore(guest: &mut Guest, function: &str, input: &str) {
    if guest.call(function, input).is_err() {
        guest.discard_instance();
    }
}

/// Retries a failed call on a fresh instance.
fn retry(guest: &mut Guest, function: &str, input: &str) -> CallResult {
    guest.discard_instance();
    guest.call(function, input)
}

/// Makes an additional call before the first one of each function.
#[derive(Default)]
pub struct WarmsUpEachFunction {
    warm: BTreeSet<String>,
}

impl Fault for WarmsUpEachFunction {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if self.warm.insert(function.to_owned()) {
            call_and_ignore(guest, function, input);
        }
        guest.call(function, input)
    }
}

#[derive(Default)]
pub struct CallsBuildSignerBeforeTheFirstSign {
    built: bool,
}

impl Fault for CallsBuildSignerBeforeTheFirstSign {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if function == "sign" && !std::mem::replace(&mut self.built, true) {
            call_and_ignore(guest, "build_signer", input);
        }
        guest.call(function, input)
    }
}

#[derive(Default)]
pub struct ProbesEveryHundredCalls {
    calls: u32,
}

impl Fault for ProbesEveryHundredCalls {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        self.calls += 1;
        if self.calls.is_multiple_of(100) {
            call_and_ignore(guest, function, input);
        }
        guest.call(function, input)
    }
}

/// Repeats the last successful call, to check that the fresh instance works.
#[derive(Default)]
pub struct ProbesAfterATimeout {
    good: Option<(String, String)>,
    probes: bool,
}

impl Fault for ProbesAfterATimeout {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if let Some((function, input)) = &self.good
            && std::mem::take(&mut self.probes)
        {
            call_and_ignore(guest, function, input);
        }
        let result = guest.call(function, input);
        match &result {
            Ok(_) => self.good = Some((function.to_owned(), input.to_owned())),
            Err(error) => self.probes = is_timeout(error),
        }
        result
    }
}

#[derive(Default)]
pub struct RetriesGuestErrorsThatSayRetry;

impl Fault for RetriesGuestErrorsThatSayRetry {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        guest.call(function, input).or_else(|error| {
            let message = error.to_string().to_ascii_lowercase();
            if is_guest_error(&error) && message.contains("retry") {
                return retry(guest, function, input);
            }
            Err(error)
        })
    }
}

#[derive(Default)]
pub struct RetriesExitCode75;

impl Fault for RetriesExitCode75 {
    // 75 is `EX_TEMPFAIL`.
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        guest.call(function, input).or_else(|error| {
            if error.to_string() == "Returned non-zero exit code: 75" {
                return retry(guest, function, input);
            }
            Err(error)
        })
    }
}

#[derive(Default)]
pub struct RetriesNegativeExitCodes;

impl Fault for RetriesNegativeExitCodes {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        guest.call(function, input).or_else(|error| {
            if error
                .to_string()
                .starts_with("Returned non-zero exit code: -")
            {
                return retry(guest, function, input);
            }
            Err(error)
        })
    }
}

#[derive(Default)]
pub struct RetriesAnswersThatAreCutOff;

impl Fault for RetriesAnswersThatAreCutOff {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let output = guest.call(function, input)?;
        match serde_json::from_slice::<Value>(&output) {
            Err(error) if error.is_eof() && !output.is_empty() => guest.call(function, input),
            _ => Ok(output),
        }
    }
}

/// If an answer has another version, calls again in that version.
#[derive(Default)]
pub struct AsksAgainInTheVersionOfTheAnswer;

impl Fault for AsksAgainInTheVersionOfTheAnswer {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
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
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let result = guest.call(function, input);
        if result.is_err() && matches!(function, "filter" | "observe") {
            return retry(guest, function, input);
        }
        result
    }
}

/// Sends a second call and takes the answer that arrives first. The fuel stands for the time.
#[derive(Default)]
pub struct CallsASecondTimeWhatTakesLong;

impl Fault for CallsASecondTimeWhatTakesLong {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let first = guest.call(function, input)?;
        if guest.fuel().is_some_and(|fuel| fuel > HANDSHAKE_FUEL / 2) {
            call_and_ignore(guest, function, input);
        }
        Ok(first)
    }
}

#[derive(Default)]
pub struct AnswersObserveWhateverItComesTo;

impl Fault for AnswersObserveWhateverItComesTo {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        if function != "observe" {
            return guest.call(function, input);
        }
        // It does not wait for the result.
        call_and_ignore(guest, function, input);
        let request: Value = serde_json::from_str(input).unwrap_or_default();
        Ok(serde_json::json!({ "_v": request["_v"] })
            .to_string()
            .into_bytes())
    }
}
