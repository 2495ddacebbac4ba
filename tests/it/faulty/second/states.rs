//! Hosts that change the states and claims of requests.

use serde_json::{Value, json};

use super::json::{camel, each, each_list, each_object, each_text, free, keep_last, read_inside};
use crate::faulty::plain::Fault;
use crate::faulty::{FaultyHost, dispatch};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        dispatch::<DropsNullsInStates>("request_fidelity"),
        dispatch::<DropsEmptyTextsInStates>("request_fidelity"),
        dispatch::<WritesEmptyObjectsInStatesAsLists>("request_fidelity"),
        dispatch::<DropsVersionsInStates>("request_fidelity"),
        dispatch::<LosesThePrototypeInStates>("request_fidelity"),
        dispatch::<WritesKeysOfStatesInCamelCase>("request_fidelity"),
        dispatch::<NestsDottedKeysOfStates>("request_fidelity"),
        dispatch::<KeepsOneOfEqualValuesInListsOfStates>("request_fidelity"),
        dispatch::<UnwrapsListsOfOneInStates>("request_fidelity"),
        dispatch::<ReadsJsonInTextsOfStates>("request_fidelity"),
        dispatch::<ReadsTrueAndFalseInTextsOfStates>("request_fidelity"),
        dispatch::<FillsInVariablesInFactoryStates>("request_fidelity"),
        dispatch::<CutsStatesBelow32Levels>("request_fidelity"),
        dispatch::<CutsStatesBelow100Levels>("request_fidelity"),
        dispatch::<KeepsAHundredKeysOfStates>("request_fidelity"),
        dispatch::<TakesThePrincipalFromItsClaims>("request_fidelity"),
    ]
}

#[derive(Default)]
pub struct DropsNullsInStates;

impl Fault for DropsNullsInStates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(free) = free(request) {
            each_object(free, &mut |object| {
                object.retain(|_, value| !value.is_null())
            });
        }
    }
}

#[derive(Default)]
pub struct DropsEmptyTextsInStates;

impl Fault for DropsEmptyTextsInStates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(free) = free(request) {
            each_object(free, &mut |object| object.retain(|_, value| *value != ""));
        }
    }
}

/// Does not distinguish them, like PHP and Lua.
#[derive(Default)]
pub struct WritesEmptyObjectsInStatesAsLists;

impl Fault for WritesEmptyObjectsInStatesAsLists {
    fn request(&mut self, _function: &str, request: &mut Value) {
        for key in ["factory_state", "signer_state"] {
            if let Some(state) = request.get_mut(key) {
                each(state, &mut |value| {
                    if *value == json!({}) {
                        *value = json!([]);
                    }
                });
            }
        }
    }
}

/// Removes the version at every depth, not only from the envelope.
#[derive(Default)]
pub struct DropsVersionsInStates;

impl Fault for DropsVersionsInStates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(free) = free(request) {
            each_object(free, &mut |object| drop(object.remove("_v")));
        }
    }
}

#[derive(Default)]
pub struct LosesThePrototypeInStates;

impl Fault for LosesThePrototypeInStates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(free) = free(request) {
            each_object(free, &mut |object| drop(object.remove("__proto__")));
        }
    }
}

#[derive(Default)]
pub struct WritesKeysOfStatesInCamelCase;

impl Fault for WritesKeysOfStatesInCamelCase {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(free) = free(request) {
            each_object(free, &mut |object| {
                let members = std::mem::take(object).into_iter();
                *object = members.map(|(key, value)| (camel(&key), value)).collect();
            });
        }
    }
}

#[derive(Default)]
pub struct NestsDottedKeysOfStates;

impl Fault for NestsDottedKeysOfStates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        let Some(free) = free(request) else {
            return;
        };
        each_object(free, &mut |object| {
            for (key, value) in std::mem::take(object) {
                match key.split_once('.') {
                    Some((outer, inner)) => {
                        object.insert(outer.to_owned(), json!({ inner: value }))
                    }
                    None => object.insert(key, value),
                };
            }
        });
    }
}

#[derive(Default)]
pub struct KeepsOneOfEqualValuesInListsOfStates;

impl Fault for KeepsOneOfEqualValuesInListsOfStates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(free) = free(request) {
            each_list(free, &mut |list| keep_last(list, Value::to_string));
        }
    }
}

#[derive(Default)]
pub struct UnwrapsListsOfOneInStates;

impl Fault for UnwrapsListsOfOneInStates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(free) = free(request) {
            each(free, &mut |value| {
                if value.as_array().is_some_and(|list| list.len() == 1) {
                    *value = value[0].take();
                }
            });
        }
    }
}

#[derive(Default)]
pub struct ReadsJsonInTextsOfStates;

impl Fault for ReadsJsonInTextsOfStates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(free) = free(request) {
            each(free, &mut read_inside);
        }
    }
}

/// Parses them like YAML or environment variables.
#[derive(Default)]
pub struct ReadsTrueAndFalseInTextsOfStates;

impl Fault for ReadsTrueAndFalseInTextsOfStates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(free) = free(request) {
            each(free, &mut |value| {
                if let Some(read) = value.as_str().and_then(|text| text.parse::<bool>().ok()) {
                    *value = read.into();
                }
            });
        }
    }
}

#[derive(Default)]
pub struct FillsInVariablesInFactoryStates;

impl Fault for FillsInVariablesInFactoryStates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(state) = request.get_mut("factory_state") {
            each_text(state, &mut |text| {
                if let Some((before, rest)) = text.split_once("${")
                    && let Some((_, behind)) = rest.split_once('}')
                {
                    *text = format!("{before}{behind}");
                }
            });
        }
    }
}

#[derive(Default)]
pub struct CutsStatesBelow32Levels;

impl Fault for CutsStatesBelow32Levels {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(free) = free(request) {
            cut_below(free, 32);
        }
    }
}

#[derive(Default)]
pub struct CutsStatesBelow100Levels;

impl Fault for CutsStatesBelow100Levels {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(free) = free(request) {
            cut_below(free, 100);
        }
    }
}

fn cut_below(value: &mut Value, levels: usize) {
    match value {
        Value::Array(_) | Value::Object(_) if levels == 0 => *value = Value::Null,
        Value::Array(list) => {
            for inner in list {
                cut_below(inner, levels - 1);
            }
        }
        Value::Object(object) => {
            for inner in object.values_mut() {
                cut_below(inner, levels - 1);
            }
        }
        _ => {}
    }
}

#[derive(Default)]
pub struct KeepsAHundredKeysOfStates;

impl Fault for KeepsAHundredKeysOfStates {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(free) = free(request) {
            each_object(free, &mut |object| {
                let members = std::mem::take(object).into_iter();
                *object = members.take(100).collect();
            });
        }
    }
}

#[derive(Default)]
pub struct TakesThePrincipalFromItsClaims;

impl Fault for TakesThePrincipalFromItsClaims {
    fn request(&mut self, _function: &str, request: &mut Value) {
        let sub = request.pointer("/principal/claims/sub");
        if let Some(sub) = sub.filter(|sub| sub.is_string()).cloned() {
            request["principal"]["id"] = sub;
        }
    }
}
