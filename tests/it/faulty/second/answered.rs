//! Hosts that return a different state, or data of another call.

use std::collections::{BTreeMap, BTreeSet};

use cc_lb_fuzz::wire::Function;
use serde_json::{Number, Value};

use super::json::{
    each, each_number, each_object, list_in, read_inside, round_to_double, sound, whole,
};
use crate::faulty::plain::{CallResult, Fault, Guest, Object};
use crate::faulty::{FaultyHost, dispatch};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        dispatch::<RoundsIntegersOfAnswersToDoubles>("sound_ok"),
        dispatch::<ReadsWholeFloatsOfAnswersAsIntegers>("sound_ok"),
        dispatch::<ReadsMinusZeroAsZero>("sound_ok"),
        dispatch::<CutsIntegersBeyond63Bits>("sound_ok"),
        dispatch::<DropsNullsInStatesOfAnswers>("sound_ok"),
        dispatch::<DropsVersionsInStatesOfAnswers>("sound_ok"),
        dispatch::<ReadsJsonInTextsOfStatesOfAnswers>("sound_ok"),
        dispatch::<FillsInWhatSignLeavesOut>("sound_ok"),
        dispatch::<KeepsTheStateWhereTheAnswerHasNone>("sound_ok"),
        dispatch::<DropsResultsOfUnknownCandidates>("sound_ok"),
        dispatch::<BuildsASignerOnce>("sound_ok"),
        dispatch::<KeepsAnswersByRequestId>("sound_ok"),
    ]
}

fn each_number_of_the_state(answer: &mut Object, change: fn(&Number) -> Option<Number>) {
    if let Some(state) = answer.get_mut("signer_state") {
        each_number(state, change);
    }
}

#[derive(Default)]
pub struct RoundsIntegersOfAnswersToDoubles;

impl Fault for RoundsIntegersOfAnswersToDoubles {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        each_number_of_the_state(answer, round_to_double);
    }
}

#[derive(Default)]
pub struct ReadsWholeFloatsOfAnswersAsIntegers;

impl Fault for ReadsWholeFloatsOfAnswersAsIntegers {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        each_number_of_the_state(answer, whole);
    }
}

#[derive(Default)]
pub struct ReadsMinusZeroAsZero;

impl Fault for ReadsMinusZeroAsZero {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        each_number_of_the_state(answer, |number| {
            let float = number.as_f64().filter(|_| number.is_f64())?;
            (float == 0.0 && float.is_sign_negative()).then(|| Number::from(0_u8))
        });
    }
}

#[derive(Default)]
pub struct CutsIntegersBeyond63Bits;

impl Fault for CutsIntegersBeyond63Bits {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        each_number_of_the_state(answer, |number| Some((number.as_u64()? as i64).into()));
    }
}

#[derive(Default)]
pub struct DropsNullsInStatesOfAnswers;

impl Fault for DropsNullsInStatesOfAnswers {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if let Some(state) = answer.get_mut("signer_state") {
            each_object(state, &mut |object| {
                object.retain(|_, value| !value.is_null())
            });
        }
    }
}

#[derive(Default)]
pub struct DropsVersionsInStatesOfAnswers;

impl Fault for DropsVersionsInStatesOfAnswers {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if let Some(state) = answer.get_mut("signer_state") {
            each_object(state, &mut |object| drop(object.remove("_v")));
        }
    }
}

#[derive(Default)]
pub struct ReadsJsonInTextsOfStatesOfAnswers;

impl Fault for ReadsJsonInTextsOfStatesOfAnswers {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if let Some(state) = answer.get_mut("signer_state") {
            each(state, &mut read_inside);
        }
    }
}

// Data of the request or of an earlier call in the answer.

#[derive(Default)]
pub struct FillsInWhatSignLeavesOut {
    shaped: Value,
}

impl Fault for FillsInWhatSignLeavesOut {
    fn request(&mut self, _function: &str, request: &mut Value) {
        self.shaped = request.get("shaped").cloned().unwrap_or_default();
    }

    fn response(&mut self, function: &Function, answer: &mut Object) {
        if function.name == "sign" && answer.get("body_base64").is_none_or(Value::is_null) {
            answer.insert("body_base64".to_owned(), self.shaped["body_base64"].take());
        }
    }
}

#[derive(Default)]
pub struct KeepsTheStateWhereTheAnswerHasNone {
    state: Value,
}

impl Fault for KeepsTheStateWhereTheAnswerHasNone {
    fn request(&mut self, _function: &str, request: &mut Value) {
        self.state = request.get("signer_state").cloned().unwrap_or_default();
    }

    fn response(&mut self, function: &Function, answer: &mut Object) {
        if function.name == "on_unauthorized"
            && answer.get("signer_state").is_some_and(Value::is_null)
        {
            answer.insert("signer_state".to_owned(), self.state.take());
        }
    }
}

#[derive(Default)]
pub struct DropsResultsOfUnknownCandidates {
    known: BTreeSet<String>,
}

impl Fault for DropsResultsOfUnknownCandidates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        let candidates = request.get("candidates").and_then(Value::as_array);
        let candidates = candidates.into_iter().flatten();
        self.known = candidates
            .map(|candidate| candidate["upstream_id"].to_string())
            .collect();
    }

    fn response(&mut self, _function: &Function, answer: &mut Object) {
        // Results written as a list of their fields stay, and so do values that are no results.
        if let Some(results) = list_in(answer, "results") {
            results.retain(|result| match result.get("upstream_id") {
                Some(id) => self.known.contains(&id.to_string()),
                None => true,
            });
        }
    }
}

#[derive(Default)]
pub struct BuildsASignerOnce {
    built: Option<Value>,
}

impl Fault for BuildsASignerOnce {
    fn response(&mut self, function: &Function, answer: &mut Object) {
        if function.name == "build_signer"
            && let Some(state) = answer.get_mut("signer_state")
        {
            *state = self.built.get_or_insert_with(|| state.clone()).clone();
        }
    }
}

/// Answers from a cache and does not call the guest again.
#[derive(Default)]
pub struct KeepsAnswersByRequestId {
    known: BTreeMap<(String, String), Vec<u8>>,
}

impl Fault for KeepsAnswersByRequestId {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        let request = sound(input).unwrap_or_default();
        let id = request.pointer("/request/request_id");
        let Some(id) = id.or_else(|| request.get("request_id")) else {
            return guest.call(function, input);
        };
        let key = (function.to_owned(), id.to_string());
        if let Some(output) = self.known.get(&key) {
            return Ok(output.clone());
        }
        let output = guest.call(function, input)?;
        self.known.insert(key, output.clone());
        Ok(output)
    }
}
