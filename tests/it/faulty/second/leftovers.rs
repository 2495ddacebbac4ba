//! Hosts that put data of an earlier call into a request.

use std::collections::BTreeMap;

use cc_lb_fuzz::wire::Function;
use serde_json::Value;

use super::json::http;
use crate::faulty::plain::{Failure, FailureOutcome, Fault, Object};
use crate::faulty::{FaultyHost, dispatch};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        dispatch::<SignsWithTheStateLastBuilt>("request_fidelity"),
        dispatch::<TellsOfTheStateLastSignedWith>("request_fidelity"),
        dispatch::<SignsAgainWhatFailed>("request_fidelity"),
        dispatch::<KeepsPrincipalsById>("request_fidelity"),
        dispatch::<KeepsBodiesByRequestId>("request_fidelity"),
        dispatch::<WritesTheVersionAsText>("request_fidelity"),
        dispatch::<LeavesTheEndOfALongerInput>("request_fidelity"),
        dispatch::<CutsInputsAt512Kib>("request_fidelity"),
    ]
}

#[derive(Default)]
pub struct SignsWithTheStateLastBuilt {
    built: Option<Value>,
}

impl Fault for SignsWithTheStateLastBuilt {
    fn request(&mut self, function: &str, request: &mut Value) {
        if function == "sign"
            && let Some(built) = &self.built
        {
            request["signer_state"] = built.clone();
        }
    }

    fn response(&mut self, function: &Function, answer: &mut Object) {
        if function.name == "build_signer" {
            self.built = answer.get("signer_state").cloned();
        }
    }
}

#[derive(Default)]
pub struct TellsOfTheStateLastSignedWith {
    signed: Option<Value>,
}

impl Fault for TellsOfTheStateLastSignedWith {
    fn request(&mut self, function: &str, request: &mut Value) {
        if function == "sign" {
            self.signed = Some(request["signer_state"].clone());
        }
        if function == "on_unauthorized"
            && let Some(signed) = &self.signed
        {
            request["signer_state"] = signed.clone();
        }
    }
}

/// Sends the failed request again instead of the next one.
#[derive(Default)]
pub struct SignsAgainWhatFailed {
    last: Value,
    has_failed: bool,
}

impl Fault for SignsAgainWhatFailed {
    fn request(&mut self, function: &str, request: &mut Value) {
        if function == "sign" {
            if std::mem::take(&mut self.has_failed) {
                request["shaped"] = self.last.take();
            }
            self.last = request["shaped"].clone();
        }
    }

    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        self.has_failed |= function.name == "sign" && matches!(failure, Failure::Call(_));
        FailureOutcome::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct KeepsPrincipalsById {
    known: BTreeMap<String, Value>,
}

impl Fault for KeepsPrincipalsById {
    fn request(&mut self, _function: &str, request: &mut Value) {
        if let Some(principal) = request.get_mut("principal") {
            let known = self.known.entry(principal["id"].to_string());
            let known = known.or_insert_with(|| principal.clone()).clone();
            *principal = known;
        }
    }
}

#[derive(Default)]
pub struct KeepsBodiesByRequestId {
    known: BTreeMap<String, Value>,
}

impl Fault for KeepsBodiesByRequestId {
    fn request(&mut self, _function: &str, request: &mut Value) {
        let http = http(request);
        if let Some(id) = http.get("request_id") {
            let known = self.known.entry(id.to_string());
            let body = known.or_insert_with(|| http["body_base64"].clone()).clone();
            http["body_base64"] = body;
        }
    }
}

#[derive(Default)]
pub struct WritesTheVersionAsText;

impl Fault for WritesTheVersionAsText {
    fn input(&mut self, _function: &str, input: String) -> String {
        let mut request: Value = match serde_json::from_str(&input) {
            Ok(request) => request,
            Err(_) => return input,
        };
        request["_v"] = request["_v"].to_string().into();
        request.to_string()
    }
}

/// Reuses the buffer without truncating it.
#[derive(Default)]
pub struct LeavesTheEndOfALongerInput {
    buffer: String,
}

impl Fault for LeavesTheEndOfALongerInput {
    fn input(&mut self, _function: &str, input: String) -> String {
        let end = self.buffer.ceil_char_boundary(input.len());
        self.buffer.replace_range(..end, &input);
        self.buffer.clone()
    }
}

#[derive(Default)]
pub struct CutsInputsAt512Kib;

impl Fault for CutsInputsAt512Kib {
    fn input(&mut self, _function: &str, mut input: String) -> String {
        input.truncate(input.floor_char_boundary(512 << 10));
        input
    }
}
