//! Hosts that send a different request to the guest.

use std::collections::BTreeMap;

use serde_json::Value;

use super::plain::{Fault, Settings};

/// Applies a change to every value in a request.
fn everywhere(value: &mut Value, change: &mut dyn FnMut(&mut Value)) {
    change(value);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| everywhere(item, change)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| everywhere(field, change)),
        _ => {}
    }
}

/// Applies a change to every string in a request.
fn in_texts(request: &mut Value, change: impl Fn(&str) -> String) {
    everywhere(request, &mut |value| {
        if let Value::String(text) = value {
            *text = change(text);
        }
    });
}

#[derive(Default)]
pub struct DropsTheQuery;

impl Fault for DropsTheQuery {
    fn request(&mut self, _: &str, request: &mut Value) {
        everywhere(request, &mut |value| {
            if let Value::Object(fields) = value {
                fields.remove("query");
            }
        });
    }
}

#[derive(Default)]
pub struct SortsHeaders;

impl Fault for SortsHeaders {
    fn request(&mut self, _: &str, request: &mut Value) {
        everywhere(request, &mut |value| {
            if let Some(Value::Array(headers)) = value.get_mut("headers") {
                headers.sort_by_key(|header| header["name"].to_string());
            }
        });
    }
}

#[derive(Default)]
pub struct JoinsEqualHeaders;

impl Fault for JoinsEqualHeaders {
    fn request(&mut self, _: &str, request: &mut Value) {
        everywhere(request, &mut |value| {
            if let Some(Value::Array(headers)) = value.get_mut("headers") {
                headers.dedup();
            }
        });
    }
}

#[derive(Default)]
pub struct WritesNumbersAsFloats;

impl Fault for WritesNumbersAsFloats {
    fn request(&mut self, _: &str, request: &mut Value) {
        everywhere(request, &mut |value| {
            if let Some(number) = value.as_u64() {
                *value = (number as f64 as u64).into();
            }
        });
    }
}

/// Without the fault, these floats are null, because JSON cannot represent them.
#[derive(Default)]
pub struct WritesFloatsThatAreNoNumbersAsZero;

impl Fault for WritesFloatsThatAreNoNumbersAsZero {
    fn request(&mut self, _: &str, request: &mut Value) {
        everywhere(request, &mut |value| {
            let Value::Object(fields) = value else {
                return;
            };
            for name in ["utilization", "confidence"] {
                if fields.get(name) == Some(&Value::Null) {
                    fields[name] = 0.into();
                }
            }
        });
    }
}

#[derive(Default)]
pub struct SealsWithTheVersionOfAnotherFunction;

impl Fault for SealsWithTheVersionOfAnotherFunction {
    fn settings(&self) -> Settings {
        Settings {
            versioned: true,
            ..Settings::default()
        }
    }

    fn version(&mut self, function: &str, negotiated: &BTreeMap<String, u32>) -> Option<u32> {
        let other = match function {
            "sign" => "build_signer",
            same => same,
        };
        negotiated.get(other).copied()
    }
}

#[derive(Default)]
pub struct WritesMethodsInCapitals;

impl Fault for WritesMethodsInCapitals {
    fn request(&mut self, _: &str, request: &mut Value) {
        everywhere(request, &mut |value| {
            if let Some(Value::String(method)) = value.get_mut("method") {
                method.make_ascii_uppercase();
            }
        });
    }
}

#[derive(Default)]
pub struct TrimsTexts;

impl Fault for TrimsTexts {
    fn request(&mut self, _: &str, request: &mut Value) {
        in_texts(request, |text| text.trim().to_owned());
    }
}

#[derive(Default)]
pub struct CutsTextsAtNul;

impl Fault for CutsTextsAtNul {
    fn request(&mut self, _: &str, request: &mut Value) {
        in_texts(request, |text| {
            text.split('\0').next().unwrap_or_default().to_owned()
        });
    }
}

#[derive(Default)]
pub struct CutsTextsAt4Kib;

impl Fault for CutsTextsAt4Kib {
    fn request(&mut self, _: &str, request: &mut Value) {
        // Programs are not truncated.
        in_texts(request, |text| {
            if text.starts_with("puppet:") {
                text.to_owned()
            } else {
                text.chars().take(4095).collect()
            }
        });
    }
}

#[derive(Default)]
pub struct KeepsAsciiOnly;

impl Fault for KeepsAsciiOnly {
    fn request(&mut self, _: &str, request: &mut Value) {
        in_texts(request, |text| text.replace(|c: char| !c.is_ascii(), "?"));
    }
}

#[derive(Default)]
pub struct WritesEmptyListsAsNull;

impl Fault for WritesEmptyListsAsNull {
    fn request(&mut self, _: &str, request: &mut Value) {
        everywhere(request, &mut |value| {
            if value.as_array().is_some_and(Vec::is_empty) {
                *value = Value::Null;
            }
        });
    }
}

/// Adds fields of the previous request that this one lacks.
#[derive(Default)]
pub struct KeepsFieldsOfTheRequestBefore {
    before: BTreeMap<String, Value>,
}

impl Fault for KeepsFieldsOfTheRequestBefore {
    fn request(&mut self, function: &str, request: &mut Value) {
        let own = request.clone();
        if let (Some(Value::Object(before)), Value::Object(fields)) =
            (self.before.insert(function.to_owned(), own), request)
        {
            for (name, value) in before {
                fields.entry(name).or_insert(value);
            }
        }
    }
}
