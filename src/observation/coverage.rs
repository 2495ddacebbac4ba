//! The coverage of a case: the features that it reaches, as far as they show from outside. A plugin need not be
//! instrumented for that.
//!
//! A discrepancy here is a corpus that loses a case which reached something that no other does.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{CaseRecord, Outcome, StepRecord};
use crate::case::{Case, Step, tree};
use crate::host::{Cause, Decoding};
use crate::puppet::{Import, Op};
use crate::wire::Vocabulary;

/// The features that a case reaches, in words:
///
/// - what a function comes to, in which of the plugin's functions it trapped, and what came before that;
/// - which fields an answer has, and what is in each; what an error begins with;
/// - how much fuel a function took, how large inputs and outputs were: to the next lower power of two;
/// - which fields of a request were otherwise than in the dry-run request, and what was there instead;
/// - for the puppet, which operations it performed, and what the call came to.
pub fn features<R: Vocabulary>(case: &Case<R>, record: &CaseRecord) -> BTreeSet<String> {
    let mut features = BTreeSet::new();
    let mut before = None;
    for seen in &record.steps {
        let came_to = came_to(seen);
        of_call(seen, &came_to, &mut features);
        of_request(&case.steps[seen.place], &came_to, &mut features);
        if let Some(before) = before.replace(came_to.clone()) {
            features.insert(format!("{before}, then {came_to}"));
        }
    }
    features
}

/// What a dispatch came to, in a few words.
fn came_to(seen: &StepRecord) -> String {
    match (&seen.call.cause, seen.reaction.outcome()) {
        (_, None) => "panic".to_owned(),
        (Some(cause), _) => cause.coarse_class(),
        (None, Some(Outcome::Ok(_))) => "ok".to_owned(),
        (None, Some(Outcome::Fallback(_))) => "fallback".to_owned(),
    }
}

fn of_call(seen: &StepRecord, came_to: &str, features: &mut BTreeSet<String>) {
    let label = seen.function.label;
    features.insert(format!("{label}: {came_to}"));
    if let Some(frame) = seen.call.frames.first() {
        features.insert(format!("{label}: {came_to} in {}", frame.short_name()));
    }
    if let Some(words) = seen.call.cause.as_ref().and_then(words) {
        features.insert(format!("{label}: {came_to}: {words}"));
    }
    for (field, value) in answer(seen) {
        features.insert(format!("{label}: answers {field} {}", kind(&value)));
    }
    // What a call had used when the clock ended it says how fast the machine is.
    let ended_by_clock = seen.call.cause == Some(Cause::Timeout);
    let fuel = seen.call.fuel.filter(|_| !ended_by_clock);
    if let Some(fuel) = fuel.and_then(u64::checked_ilog2) {
        features.insert(format!("{label}: fuel 2^{fuel}"));
    }
    for (what, bytes) in [
        ("input", seen.input()),
        ("output", seen.call.output.as_deref()),
    ] {
        if let Some(size) = bytes.and_then(|bytes| bytes.len().checked_ilog2()) {
            features.insert(format!("{what} of 2^{size} bytes"));
        }
    }
}

/// The first words of what a plugin or a parser says of a failure, without numbers: the rest may be any request's.
fn words(cause: &Cause) -> Option<String> {
    const WORDS: usize = 4;
    let text = match cause {
        Cause::GuestError(text) => text,
        Cause::Undecodable(Decoding::NotJson(text) | Decoding::NotResponse { why: text, .. }) => {
            text
        }
        _ => return None,
    };
    let words: Vec<_> = text.split_whitespace().take(WORDS).collect();
    let is_digit = |c: char| c.is_ascii_digit();
    let words = words.join(" ").replace(is_digit, "#");
    Some(words.chars().take(60).collect())
}

/// The fields of what the guest set as its output, where it is an object.
fn answer(seen: &StepRecord) -> Map<String, Value> {
    const FIELDS_MAX: usize = 32;
    let output = seen.call.output.as_deref().unwrap_or_default();
    match serde_json::from_slice(output) {
        Ok(Value::Object(fields)) if fields.len() <= FIELDS_MAX => fields,
        _ => Map::new(),
    }
}

fn of_request<R: Vocabulary>(step: &Step<R>, came_to: &str, features: &mut BTreeSet<String>) {
    let label = step.request.function().label;
    for (field, value) in tree::unlike_the_sample(&step.request) {
        features.insert(format!("{label}: {field} {}", kind(&value)));
    }
    for op in step.program.iter().flat_map(|program| &program.0) {
        features.insert(format!("{}, {came_to}", name(op)));
    }
}

/// What a value is, in a word.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(false) => "false",
        Value::Bool(true) => "true",
        Value::Number(number) if number.as_f64() == Some(0.0) => "zero",
        Value::Number(number) if number.is_u64() => "number",
        Value::Number(number) if number.is_i64() => "negative number",
        Value::Number(_) => "fraction",
        Value::String(text) if text.is_empty() => "empty text",
        Value::String(_) => "text",
        Value::Array(items) if items.is_empty() => "empty list",
        Value::Array(_) => "list",
        Value::Object(fields) if fields.is_empty() => "empty object",
        Value::Object(_) => "object",
    }
}

/// The name of an operation, as case files have it.
fn name(op: &Op) -> String {
    let written = match op {
        Op::Call { function, .. } => serde_json::to_value::<Import>(*function),
        op => serde_json::to_value(op),
    };
    match written.unwrap_or_default() {
        Value::String(name) => name,
        // There is one.
        Value::Object(fields) => fields.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}
