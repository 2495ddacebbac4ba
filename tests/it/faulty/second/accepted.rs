//! Hosts that accept malformed answers.

use cc_lb_fuzz::wire::Function;
use serde_json::{Value, json};

use super::json::{each, list_in, listed, sound};
use crate::faulty::plain::{Fault, Object};
use crate::faulty::{FaultyHost, dispatch};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        dispatch::<TakesNothingForAnEmptyObject>("sound_ok"),
        dispatch::<TakesNullForAnEmptyObject>("sound_ok"),
        dispatch::<LooksForTheVersionInTheState>("sound_ok"),
        dispatch::<AcceptsOtherNamesOfTheVersion>("sound_ok"),
        dispatch::<UnwrapsEnvelopes>("sound_ok"),
        dispatch::<AcceptsAnEarlierVersion>("sound_ok"),
        dispatch::<TruncatesTheVersionTo32Bits>("sound_ok"),
        dispatch::<LeavesTheSignOfTheVersionUnread>("sound_ok"),
        dispatch::<AcceptsFieldsWithAnUnderscore>("sound_ok"),
        dispatch::<AcceptsUnknownNulls>("sound_ok"),
        dispatch::<ReadsNothingOfWhatObserveAnswers>("sound_ok"),
        dispatch::<AcceptsOneObjectForAList>("sound_ok"),
        dispatch::<AcceptsHeadersByName>("sound_ok"),
        dispatch::<AcceptsNumbersForTexts>("sound_ok"),
        dispatch::<FillsInMissingReasons>("sound_ok"),
        dispatch::<AcceptsFieldsInCamelCase>("sound_ok"),
        dispatch::<AcceptsFieldsInAnyCase>("sound_ok"),
        dispatch::<AcceptsUnknownFieldsOfHeaders>("sound_ok"),
        dispatch::<AcceptsUnknownFieldsOfReasons>("sound_ok"),
        dispatch::<AcceptsNullForLists>("sound_ok"),
        dispatch::<AcceptsNullForTextsOfHeaders>("sound_ok"),
        dispatch::<DropsResultsThatAreNone>("sound_ok"),
    ]
}

#[derive(Default)]
pub struct TakesNothingForAnEmptyObject {
    had_nothing: bool,
}

impl Fault for TakesNothingForAnEmptyObject {
    fn json(&mut self, text: &str) -> Option<Value> {
        self.had_nothing = text.trim().is_empty();
        if self.had_nothing {
            Some(json!({}))
        } else {
            sound(text)
        }
    }

    fn accepts_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        self.had_nothing || version == Some(negotiated.into())
    }
}

#[derive(Default)]
pub struct TakesNullForAnEmptyObject {
    had_null: bool,
}

impl Fault for TakesNullForAnEmptyObject {
    fn object(&mut self, answer: Value) -> Option<Object> {
        self.had_null = answer.is_null();
        match answer {
            Value::Null => Some(Object::new()),
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    fn accepts_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        self.had_null || version == Some(negotiated.into())
    }
}

#[derive(Default)]
pub struct LooksForTheVersionInTheState;

impl Fault for LooksForTheVersionInTheState {
    fn object(&mut self, mut answer: Value) -> Option<Object> {
        let inner = answer.pointer("/signer_state/_v").cloned();
        if let (Value::Object(object), Some(version)) = (&mut answer, inner) {
            object.entry("_v").or_insert(version);
        }
        answer.as_object_mut().map(std::mem::take)
    }
}

#[derive(Default)]
pub struct AcceptsOtherNamesOfTheVersion;

impl Fault for AcceptsOtherNamesOfTheVersion {
    fn object(&mut self, mut answer: Value) -> Option<Object> {
        let object = answer.as_object_mut()?;
        for name in ["v", "_V", "version", "_version"] {
            if let Some(version) = object.remove(name) {
                object.entry("_v").or_insert(version);
            }
        }
        Some(std::mem::take(object))
    }
}

#[derive(Default)]
pub struct UnwrapsEnvelopes;

impl Fault for UnwrapsEnvelopes {
    fn object(&mut self, mut answer: Value) -> Option<Object> {
        let object = answer.as_object_mut()?;
        for name in ["data", "response", "result"] {
            if let Some(Value::Object(mut inner)) = object.remove(name) {
                object.append(&mut inner);
            }
        }
        Some(std::mem::take(object))
    }
}

#[derive(Default)]
pub struct AcceptsAnEarlierVersion;

impl Fault for AcceptsAnEarlierVersion {
    fn accepts_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        let version = version.and_then(|version| version.as_u64());
        version.is_some_and(|version| version <= u64::from(negotiated))
    }
}

#[derive(Default)]
pub struct TruncatesTheVersionTo32Bits;

impl Fault for TruncatesTheVersionTo32Bits {
    fn accepts_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        let version = version.and_then(|version| version.as_u64());
        version.is_some_and(|version| version as u32 == negotiated)
    }
}

#[derive(Default)]
pub struct LeavesTheSignOfTheVersionUnread;

impl Fault for LeavesTheSignOfTheVersionUnread {
    fn accepts_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        let version = version.and_then(|version| version.as_i64());
        version.is_some_and(|version| version.unsigned_abs() == u64::from(negotiated))
    }
}

// Fields: these hosts return a response where a fallback is due.

#[derive(Default)]
pub struct AcceptsUnknownFieldsOfHeaders;

impl Fault for AcceptsUnknownFieldsOfHeaders {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        for header in listed(answer, "headers") {
            if let Value::Object(header) = header {
                header.retain(|key, _| ["name", "value_base64"].contains(&key.as_str()));
            }
        }
    }
}

#[derive(Default)]
pub struct AcceptsUnknownFieldsOfReasons;

impl Fault for AcceptsUnknownFieldsOfReasons {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        const KNOWN: [&str; 3] = ["upstream_id", "decision", "reason"];
        for reason in listed(answer, "results") {
            if let Value::Object(reason) = reason {
                reason.retain(|key, _| KNOWN.contains(&key.as_str()));
            }
        }
    }
}

#[derive(Default)]
pub struct AcceptsFieldsWithAnUnderscore;

impl Fault for AcceptsFieldsWithAnUnderscore {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        answer.retain(|key, _| !key.starts_with('_'));
    }
}

#[derive(Default)]
pub struct AcceptsUnknownNulls;

impl Fault for AcceptsUnknownNulls {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        const STATES: [&str; 1] = ["signer_state"];
        // A missing optional field is the same as null.
        answer.retain(|key, value| !value.is_null() || STATES.contains(&key.as_str()));
    }
}

#[derive(Default)]
pub struct ReadsNothingOfWhatObserveAnswers;

impl Fault for ReadsNothingOfWhatObserveAnswers {
    fn response(&mut self, function: &Function, answer: &mut Object) {
        if function.name == "observe" {
            answer.clear();
        }
    }
}

#[derive(Default)]
pub struct AcceptsNullForLists;

impl Fault for AcceptsNullForLists {
    fn response(&mut self, function: &Function, answer: &mut Object) {
        let key = match function.name {
            "shape" => "headers",
            "filter" => "results",
            _ => return,
        };
        if let Some(value) = answer.get_mut(key).filter(|value| value.is_null()) {
            *value = json!([]);
        }
    }
}

#[derive(Default)]
pub struct AcceptsOneObjectForAList;

impl Fault for AcceptsOneObjectForAList {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        for key in ["headers", "results"] {
            if let Some(value) = answer.get_mut(key).filter(|value| value.is_object()) {
                *value = Value::Array(vec![value.take()]);
            }
        }
    }
}

#[derive(Default)]
pub struct AcceptsHeadersByName;

impl Fault for AcceptsHeadersByName {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if let Some(Value::Object(by_name)) = answer.get_mut("headers") {
            let headers = std::mem::take(by_name).into_iter();
            let headers = headers.map(|(name, value)| json!({"name": name, "value_base64": value}));
            let headers = headers.collect();
            answer.insert("headers".to_owned(), Value::Array(headers));
        }
    }
}

#[derive(Default)]
pub struct AcceptsNumbersForTexts;

impl Fault for AcceptsNumbersForTexts {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        let texts = answer.iter_mut().filter(|(key, _)| *key != "signer_state");
        for (_, value) in texts {
            each(value, &mut |value| {
                if value.is_number() {
                    *value = value.to_string().into();
                }
            });
        }
    }
}

#[derive(Default)]
pub struct AcceptsNullForTextsOfHeaders;

impl Fault for AcceptsNullForTextsOfHeaders {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        for header in listed(answer, "headers") {
            each(header, &mut |value| {
                if value.is_null() {
                    *value = "".into();
                }
            });
        }
    }
}

#[derive(Default)]
pub struct FillsInMissingReasons;

impl Fault for FillsInMissingReasons {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        for reason in listed(answer, "results") {
            if let Value::Object(reason) = reason {
                reason.entry("reason").or_insert("".into());
            }
        }
    }
}

#[derive(Default)]
pub struct DropsResultsThatAreNone;

impl Fault for DropsResultsThatAreNone {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        if let Some(results) = list_in(answer, "results") {
            results.retain(|result| !result.is_null());
        }
    }
}

#[derive(Default)]
pub struct AcceptsFieldsInCamelCase;

impl Fault for AcceptsFieldsInCamelCase {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        for (camel, snake) in [
            ("bodyBase64", "body_base64"),
            ("signerState", "signer_state"),
        ] {
            if let Some(value) = answer.remove(camel) {
                answer.insert(snake.to_owned(), value);
            }
        }
    }
}

#[derive(Default)]
pub struct AcceptsFieldsInAnyCase;

impl Fault for AcceptsFieldsInAnyCase {
    fn response(&mut self, _function: &Function, answer: &mut Object) {
        let fields = std::mem::take(answer).into_iter();
        *answer = fields
            .map(|(key, value)| (key.to_lowercase(), value))
            .collect();
    }
}
