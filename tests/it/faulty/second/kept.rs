//! Hosts that keep data of a call and use it in answers or inputs of others.

use std::collections::{BTreeMap, BTreeSet};

use cc_lb_fuzz::wire::Function;
use serde_json::Value;

use super::sessions::not_called;
use crate::faulty::plain::{
    CallResult, Failure, FailureOutcome, Fault, Guest, Object, SharedState, is_timeout,
};
use crate::faulty::{FaultyHost, dispatch, time_limited};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        dispatch::<KeepsAnswersByTheBody>("sound_ok"),
        dispatch::<KeepsAnswersByTheWholeInput>("no_retry"),
        dispatch::<KeepsAnswersByAHashOf16Bits>("sound_ok"),
        dispatch::<KeepsAnswersByTheBeginningOfTheInput>("sound_ok"),
        dispatch::<KeepsAnswersOfOtherSessions>("no_retry"),
        dispatch::<FailsAgainByTheIdOfTheRequest>("no_poison"),
        time_limited::<AnswersTimeoutsWithTheAnswerBefore>("fallback_policy"),
        dispatch::<LeavesTheEndOfALongerAnswer>("no_poison"),
        dispatch::<SendsTheInputBeforeThatIsAsLong>("request_fidelity"),
        dispatch::<TakesMissingFieldsFromTheAnswerBefore>("sound_ok"),
        dispatch::<SignsWithTheStateOfOnUnauthorized>("request_fidelity"),
    ]
}

/// A cache of answers.
#[derive(Default)]
struct Cache {
    kept: BTreeMap<String, Vec<u8>>,
    key: Option<String>,
}

impl Cache {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let Some(key) = self.key.take() else {
            return guest.call(function, input);
        };
        if let Some(kept) = self.kept.get(&key) {
            return Ok(kept.clone());
        }
        let output = guest.call(function, input)?;
        self.kept.insert(key, output.clone());
        Ok(output)
    }
}

/// Keys are bodies that are not empty.
#[derive(Default)]
pub struct KeepsAnswersByTheBody(Cache);

impl Fault for KeepsAnswersByTheBody {
    fn request(&mut self, function: &str, request: &mut Value) {
        let bodies = [&request["body_base64"], &request["request"]["body_base64"]];
        let mut bodies = bodies.into_iter().filter_map(Value::as_str);
        let body = bodies.find(|body| !body.is_empty());
        self.0.key = body.map(|body| format!("{function} {body}"));
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        self.0.call(guest, function, input)
    }
}

#[derive(Default)]
pub struct KeepsAnswersByTheWholeInput(Cache);

impl Fault for KeepsAnswersByTheWholeInput {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        self.0.key = Some(format!("{function} {input}"));
        self.0.call(guest, function, input)
    }
}

#[derive(Default)]
pub struct KeepsAnswersByAHashOf16Bits(Cache);

impl Fault for KeepsAnswersByAHashOf16Bits {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let step = |hash: u16, byte: u8| (hash ^ u16::from(byte)).wrapping_mul(0x0193);
        let hash = input.bytes().fold(0x9dc5, step);
        self.0.key = Some(format!("{function} {hash}"));
        self.0.call(guest, function, input)
    }
}

/// A key is the first 4 KiB of an input.
#[derive(Default)]
pub struct KeepsAnswersByTheBeginningOfTheInput(Cache);

impl Fault for KeepsAnswersByTheBeginningOfTheInput {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let beginning = input.as_bytes().get(..4 << 10);
        self.0.key = beginning.map(|text| format!("{function} {}", String::from_utf8_lossy(text)));
        self.0.call(guest, function, input)
    }
}

/// The sessions of a host share the cache.
#[derive(Default)]
pub struct KeepsAnswersOfOtherSessions {
    shared: SharedState,
}

impl Fault for KeepsAnswersOfOtherSessions {
    fn use_shared_state(&mut self, shared: &SharedState) {
        self.shared = shared.clone();
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let key = format!("{function} {input}");
        if let Some(kept) = self.shared.borrow().kept.get(&key) {
            return Ok(kept.clone());
        }
        let output = guest.call(function, input)?;
        self.shared.borrow_mut().kept.insert(key, output.clone());
        Ok(output)
    }
}

/// Does not call again for a request that failed.
#[derive(Default)]
pub struct FailsAgainByTheIdOfTheRequest {
    id: Option<String>,
    failed: BTreeSet<String>,
}

impl Fault for FailsAgainByTheIdOfTheRequest {
    fn request(&mut self, _: &str, request: &mut Value) {
        let id = request["request"]["request_id"].as_str();
        self.id = id
            .or_else(|| request["request_id"].as_str())
            .map(str::to_owned);
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        match &self.id {
            Some(id) if self.failed.contains(id) => not_called(),
            _ => guest.call(function, input),
        }
    }

    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        self.failed.extend(self.id.clone());
        FailureOutcome::Fallback(function.fallback)
    }
}

/// Returns the previous answer of the same function.
#[derive(Default)]
pub struct AnswersTimeoutsWithTheAnswerBefore {
    before: BTreeMap<String, Vec<u8>>,
}

impl Fault for AnswersTimeoutsWithTheAnswerBefore {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        match guest.call(function, input) {
            Ok(output) => {
                self.before.insert(function.to_owned(), output.clone());
                Ok(output)
            }
            Err(error) if is_timeout(&error) => {
                guest.discard_instance();
                self.before.get(function).cloned().ok_or(error)
            }
            Err(error) => Err(error),
        }
    }
}

/// Answers are read into a buffer that is not truncated.
#[derive(Default)]
pub struct LeavesTheEndOfALongerAnswer {
    buffer: Vec<u8>,
}

impl Fault for LeavesTheEndOfALongerAnswer {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let output = guest.call(function, input)?;
        let kept = output.len().min(self.buffer.len());
        drop(self.buffer.splice(..kept, output));
        Ok(self.buffer.clone())
    }
}

/// Sends the previous input of the same function, if it has the same length.
#[derive(Default)]
pub struct SendsTheInputBeforeThatIsAsLong {
    before: BTreeMap<String, String>,
}

impl Fault for SendsTheInputBeforeThatIsAsLong {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let before = self.before.entry(function.to_owned()).or_default();
        if before.len() != input.len() {
            input.clone_into(before);
        }
        guest.call(function, before)
    }
}

/// Fills in missing fields from the previous answer.
#[derive(Default)]
pub struct TakesMissingFieldsFromTheAnswerBefore {
    before: BTreeMap<&'static str, Object>,
}

impl Fault for TakesMissingFieldsFromTheAnswerBefore {
    fn response(&mut self, function: &Function, answer: &mut Object) {
        let before = self.before.entry(function.name).or_default();
        for (name, value) in before.iter() {
            answer.entry(name.clone()).or_insert_with(|| value.clone());
        }
        before.clone_from(answer);
    }
}

/// Signs every request with the last state that the plugin returned.
#[derive(Default)]
pub struct SignsWithTheStateOfOnUnauthorized {
    state: Option<Value>,
}

impl Fault for SignsWithTheStateOfOnUnauthorized {
    fn request(&mut self, function: &str, request: &mut Value) {
        if let Some(state) = &self.state
            && function == "sign"
        {
            request["signer_state"] = state.clone();
        }
    }

    fn response(&mut self, function: &Function, answer: &mut Object) {
        if function.name == "on_unauthorized" {
            self.state = answer
                .get("signer_state")
                .filter(|state| !state.is_null())
                .cloned();
        }
    }
}
