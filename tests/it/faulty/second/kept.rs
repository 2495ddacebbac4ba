//! Hosts that answer, or ask, with what they kept of other calls.

use std::collections::{BTreeMap, BTreeSet};

use cc_lb_fuzz::wire::Function;
use serde_json::Value;

use super::sessions::not_called;
use crate::faulty::plain::{Called, Commons, Failure, Fault, Guest, Instead, Object, is_timeout};
use crate::faulty::{Faulty, clocked, dispatch};

pub fn faults() -> Vec<Faulty> {
    vec![
        dispatch::<KeepsAnswersByTheBody>("sound_ok"),
        dispatch::<KeepsAnswersByTheWholeInput>("no_retry"),
        dispatch::<KeepsAnswersByAHashOf16Bits>("sound_ok"),
        dispatch::<KeepsAnswersByTheBeginningOfTheInput>("sound_ok"),
        dispatch::<KeepsAnswersOfOtherSessions>("no_retry"),
        dispatch::<FailsAgainByTheIdOfTheRequest>("no_poison"),
        clocked::<AnswersTimeoutsWithTheAnswerBefore>("fallback_policy"),
        dispatch::<LeavesTheEndOfALongerAnswer>("no_poison"),
        dispatch::<SendsTheInputBeforeThatIsAsLong>("request_fidelity"),
        dispatch::<TakesMissingFieldsFromTheAnswerBefore>("sound_ok"),
        dispatch::<SignsWithTheStateOfOnUnauthorized>("request_fidelity"),
    ]
}

/// Answers that are kept.
#[derive(Default)]
struct Cache {
    kept: BTreeMap<String, Vec<u8>>,
    key: Option<String>,
}

impl Cache {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
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

/// Only of bodies that are not empty.
#[derive(Default)]
pub struct KeepsAnswersByTheBody(Cache);

impl Fault for KeepsAnswersByTheBody {
    fn request(&mut self, function: &str, request: &mut Value) {
        let bodies = [&request["body_base64"], &request["request"]["body_base64"]];
        let mut bodies = bodies.into_iter().filter_map(Value::as_str);
        let body = bodies.find(|body| !body.is_empty());
        self.0.key = body.map(|body| format!("{function} {body}"));
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        self.0.call(guest, function, input)
    }
}

#[derive(Default)]
pub struct KeepsAnswersByTheWholeInput(Cache);

impl Fault for KeepsAnswersByTheWholeInput {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        self.0.key = Some(format!("{function} {input}"));
        self.0.call(guest, function, input)
    }
}

#[derive(Default)]
pub struct KeepsAnswersByAHashOf16Bits(Cache);

impl Fault for KeepsAnswersByAHashOf16Bits {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let step = |hash: u16, byte: u8| (hash ^ u16::from(byte)).wrapping_mul(0x0193);
        let hash = input.bytes().fold(0x9dc5, step);
        self.0.key = Some(format!("{function} {hash}"));
        self.0.call(guest, function, input)
    }
}

/// The first 4 KiB of an input are what a key is made of.
#[derive(Default)]
pub struct KeepsAnswersByTheBeginningOfTheInput(Cache);

impl Fault for KeepsAnswersByTheBeginningOfTheInput {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let beginning = input.as_bytes().get(..4 << 10);
        self.0.key = beginning.map(|text| format!("{function} {}", String::from_utf8_lossy(text)));
        self.0.call(guest, function, input)
    }
}

/// And what is kept is kept for all sessions.
#[derive(Default)]
pub struct KeepsAnswersOfOtherSessions {
    commons: Commons,
}

impl Fault for KeepsAnswersOfOtherSessions {
    fn shares(&mut self, commons: &Commons) {
        self.commons = commons.clone();
    }

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let key = format!("{function} {input}");
        if let Some(kept) = self.commons.borrow().kept.get(&key) {
            return Ok(kept.clone());
        }
        let output = guest.call(function, input)?;
        self.commons.borrow_mut().kept.insert(key, output.clone());
        Ok(output)
    }
}

/// What failed is not tried again.
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

    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        match &self.id {
            Some(id) if self.failed.contains(id) => not_called(),
            _ => guest.call(function, input),
        }
    }

    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        self.failed.extend(self.id.clone());
        Instead::Fallback(function.fallback)
    }
}

/// The answer of the function's call before.
#[derive(Default)]
pub struct AnswersTimeoutsWithTheAnswerBefore {
    before: BTreeMap<String, Vec<u8>>,
}

impl Fault for AnswersTimeoutsWithTheAnswerBefore {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        match guest.call(function, input) {
            Ok(output) => {
                self.before.insert(function.to_owned(), output.clone());
                Ok(output)
            }
            Err(error) if is_timeout(&error) => {
                guest.renew();
                self.before.get(function).cloned().ok_or(error)
            }
            Err(error) => Err(error),
        }
    }
}

/// What is read goes into a buffer that is not cut.
#[derive(Default)]
pub struct LeavesTheEndOfALongerAnswer {
    buffer: Vec<u8>,
}

impl Fault for LeavesTheEndOfALongerAnswer {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let output = guest.call(function, input)?;
        let kept = output.len().min(self.buffer.len());
        drop(self.buffer.splice(..kept, output));
        Ok(self.buffer.clone())
    }
}

/// Of the same function, and for an input as long.
#[derive(Default)]
pub struct SendsTheInputBeforeThatIsAsLong {
    before: BTreeMap<String, String>,
}

impl Fault for SendsTheInputBeforeThatIsAsLong {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        let before = self.before.entry(function.to_owned()).or_default();
        if before.len() != input.len() {
            input.clone_into(before);
        }
        guest.call(function, before)
    }
}

/// A field that an answer lacks is as the answer before had it.
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

/// The state that the plugin last made, for whatever is signed.
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
