//! Hosts that refuse a sound answer, or change it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cc_lb_fuzz::wire::Function;
use serde_json::{Value, json};

use super::json::{LENIENT, each_text, keep_last, list_in, listed, low_name, refuse};
use crate::faulty::plain::{Fault, Object};
use crate::faulty::{FaultyHost, dispatch};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        dispatch::<RefusesHeadersThatAreLists>("sound_ok"),
        dispatch::<RefusesMissingOptions>("sound_ok"),
        dispatch::<RefusesBodiesThatAreNotBase64>("sound_ok"),
        dispatch::<RefusesHeaderNamesThatAreNone>("sound_ok"),
        dispatch::<RefusesUnknownDecisions>("sound_ok"),
        dispatch::<TakesNoResultsForAFailure>("sound_ok"),
        dispatch::<TakesEmptyTextsForNone>("sound_ok"),
        dispatch::<TakesTheTextNullForNone>("sound_ok"),
        dispatch::<TakesAnEmptyListForNone>("sound_ok"),
        dispatch::<LowersHeaderNamesOfAnswers>("sound_ok"),
        dispatch::<KeepsTheLastOfEqualHeadersOfAnswers>("sound_ok"),
        dispatch::<KeepsTheLastResultOfAnUpstream>("sound_ok"),
        dispatch::<KeepsAHundredHeadersOfAnswers>("sound_ok"),
        dispatch::<WritesMethodsOfAnswersInCapitals>("sound_ok"),
        dispatch::<EncodesSpacesInUrlsOfAnswers>("sound_ok"),
        dispatch::<EncodesBodiesOfAnswersAgain>("sound_ok"),
        dispatch::<CutsTextsOfAnswersAtNul>("sound_ok"),
        dispatch::<LosesCharactersOfFourBytesOfAnswers>("sound_ok"),
        dispatch::<CutsTextsOfAnswersAt64Kib>("sound_ok"),
        dispatch::<RefusesReasonsThatAreLists>("sound_ok"),
        dispatch::<Keeps256Results>("sound_ok"),
    ]
}

/// Derived deserializers accept a list of the fields for an object; this host does not.
#[derive(Default)]
pub struct RefusesHeadersThatAreLists;

impl Fault for RefusesHeadersThatAreLists {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if listed(answer, "headers").any(|header| header.is_array()) {
            refuse(answer);
        }
    }
}

#[derive(Default)]
pub struct RefusesReasonsThatAreLists;

impl Fault for RefusesReasonsThatAreLists {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if listed(answer, "results").any(|reason| reason.is_array()) {
            refuse(answer);
        }
    }
}

#[derive(Default)]
pub struct RefusesMissingOptions;

impl Fault for RefusesMissingOptions {
    fn response(&mut self, function: &Function, answer: &mut Object) {
        let fields = match function.name {
            "sign" => 4,
            "normalize_error" => 1,
            _ => 0,
        };
        if answer.len() < fields {
            refuse(answer);
        }
    }
}

#[derive(Default)]
pub struct RefusesBodiesThatAreNotBase64;

impl Fault for RefusesBodiesThatAreNotBase64 {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        let body = answer.get("body_base64").and_then(Value::as_str);
        if body.is_some_and(|body| STANDARD.decode(body).is_err()) {
            refuse(answer);
        }
    }
}

#[derive(Default)]
pub struct RefusesHeaderNamesThatAreNone;

impl Fault for RefusesHeaderNamesThatAreNone {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic());
        let is_refused = |header: &mut Value| header["name"].as_str().is_some_and(|n| !is_name(n));
        if listed(answer, "headers").any(is_refused) {
            refuse(answer);
        }
    }
}

#[derive(Default)]
pub struct RefusesUnknownDecisions;

impl Fault for RefusesUnknownDecisions {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        let decision = answer.get("decision").and_then(Value::as_str);
        if decision.is_some_and(|decision| !["fail", "retry"].contains(&decision)) {
            refuse(answer);
        }
    }
}

#[derive(Default)]
pub struct TakesNoResultsForAFailure;

impl Fault for TakesNoResultsForAFailure {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if list_in(answer, "results").is_some_and(|results| results.is_empty()) {
            refuse(answer);
        }
    }
}

// Fields: these hosts return a different response.

#[derive(Default)]
pub struct TakesEmptyTextsForNone;

impl Fault for TakesEmptyTextsForNone {
    fn response(&mut self, function: &Function, answer: &mut Object) {
        if ["sign", "normalize_error"].contains(&function.name) {
            answer.retain(|_, value| *value != "");
        }
    }
}

#[derive(Default)]
pub struct TakesTheTextNullForNone;

impl Fault for TakesTheTextNullForNone {
    fn response(&mut self, function: &Function, answer: &mut Object) {
        if ["sign", "normalize_error"].contains(&function.name) {
            answer.retain(|_, value| *value != "null");
        }
    }
}

#[derive(Default)]
pub struct TakesAnEmptyListForNone;

impl Fault for TakesAnEmptyListForNone {
    fn response(&mut self, function: &Function, answer: &mut Object) {
        if function.name == "sign" {
            answer.retain(|_, value| *value != json!([]));
        }
    }
}

#[derive(Default)]
pub struct LowersHeaderNamesOfAnswers;

impl Fault for LowersHeaderNamesOfAnswers {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        for header in listed(answer, "headers") {
            if header["name"].is_string() {
                header["name"] = low_name(header).into();
            }
        }
    }
}

#[derive(Default)]
pub struct KeepsTheLastOfEqualHeadersOfAnswers;

impl Fault for KeepsTheLastOfEqualHeadersOfAnswers {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if let Some(headers) = list_in(answer, "headers") {
            keep_last(headers, low_name);
        }
    }
}

#[derive(Default)]
pub struct KeepsTheLastResultOfAnUpstream;

impl Fault for KeepsTheLastResultOfAnUpstream {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if let Some(results) = list_in(answer, "results") {
            keep_last(results, |result| result["upstream_id"].to_string());
        }
    }
}

#[derive(Default)]
pub struct Keeps256Results;

impl Fault for Keeps256Results {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if let Some(results) = list_in(answer, "results") {
            results.truncate(256);
        }
    }
}

#[derive(Default)]
pub struct KeepsAHundredHeadersOfAnswers;

impl Fault for KeepsAHundredHeadersOfAnswers {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if let Some(headers) = list_in(answer, "headers") {
            headers.truncate(100);
        }
    }
}

#[derive(Default)]
pub struct WritesMethodsOfAnswersInCapitals;

impl Fault for WritesMethodsOfAnswersInCapitals {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if let Some(Value::String(method)) = answer.get_mut("method") {
            *method = method.to_uppercase();
        }
    }
}

#[derive(Default)]
pub struct EncodesSpacesInUrlsOfAnswers;

impl Fault for EncodesSpacesInUrlsOfAnswers {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if let Some(Value::String(url)) = answer.get_mut("url") {
            *url = url.replace(' ', "%20");
        }
    }
}

#[derive(Default)]
pub struct EncodesBodiesOfAnswersAgain;

impl Fault for EncodesBodiesOfAnswersAgain {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if let Some(Value::String(body)) = answer.get_mut("body_base64")
            && let Ok(bytes) = LENIENT.decode(&*body)
        {
            *body = LENIENT.encode(bytes);
        }
    }
}

#[derive(Default)]
pub struct CutsTextsOfAnswersAtNul;

impl Fault for CutsTextsOfAnswersAtNul {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        for value in answer.values_mut() {
            each_text(value, &mut |text| {
                text.truncate(text.find('\0').unwrap_or(text.len()));
            });
        }
    }
}

#[derive(Default)]
pub struct LosesCharactersOfFourBytesOfAnswers;

impl Fault for LosesCharactersOfFourBytesOfAnswers {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        for value in answer.values_mut() {
            each_text(value, &mut |text| {
                *text = text.replace(|c: char| c.len_utf8() == 4, "\u{fffd}");
            });
        }
    }
}

#[derive(Default)]
pub struct CutsTextsOfAnswersAt64Kib;

impl Fault for CutsTextsOfAnswersAt64Kib {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        for value in answer.values_mut() {
            each_text(value, &mut |text| {
                text.truncate(text.floor_char_boundary(64 << 10));
            });
        }
    }
}
