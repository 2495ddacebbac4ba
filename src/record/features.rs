//! The coverage of a case: its features, as far as they are visible from outside. The plugin need
//! not be instrumented.
//!
//! Bugs in this module look like a corpus that loses a case with a feature that no other case has.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{CaseRecord, Outcome, StepRecord};
use crate::case::{Case, Step, tree};
use crate::host::cause::PANIC;
use crate::host::{Cause, Decoding};
use crate::puppet::{Import, Op};
use crate::wire::Vocabulary;

/// Returns the features of a case, as texts:
///
/// - the outcome of each function, the plugin function in which it trapped, and pairs of outcomes
///   in a row;
/// - the fields of an answer with the kind of each value, and the first words of an error;
/// - the fuel of a function and the sizes of inputs and outputs, rounded down to a power of two;
/// - the fields of a request that differ from the dry-run request, with the kind of each value;
/// - for the puppet, the operations of the program, with the outcome of the call.
pub fn features<R: Vocabulary>(case: &Case<R>, record: &CaseRecord) -> BTreeSet<String> {
    let mut features = BTreeSet::new();
    let mut before = None;
    for seen in &record.steps {
        let outcome = outcome(seen);
        of_call(seen, &outcome, &mut features);
        of_request(&case.steps[seen.step_index], &outcome, &mut features);
        if let Some(before) = before.replace(outcome.clone()) {
            features.insert(format!("{before}, then {outcome}"));
        }
    }
    features
}

/// Returns a short name of the outcome of a dispatch.
fn outcome(seen: &StepRecord) -> String {
    match (&seen.call.cause, seen.result.outcome()) {
        (_, None) => PANIC.to_owned(),
        (Some(cause), _) => cause.coarse_class(),
        (None, Some(Outcome::Ok(_))) => "ok".to_owned(),
        (None, Some(Outcome::Fallback(_))) => "fallback".to_owned(),
    }
}

fn of_call(seen: &StepRecord, outcome: &str, features: &mut BTreeSet<String>) {
    let label = seen.function.label;
    features.insert(format!("{label}: {outcome}"));
    if let Some(frame) = seen.call.frames.first() {
        features.insert(format!("{label}: {outcome} in {}", frame.short_name()));
    }
    if let Some(words) = seen.call.cause.as_ref().and_then(words) {
        features.insert(format!("{label}: {outcome}: {words}"));
    }
    for (field, value) in answer(seen) {
        features.insert(format!("{label}: answers {field} {}", kind(&value)));
    }
    // The fuel at a timeout depends on the speed of the machine.
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

/// Returns the first words of the message of a failure, without digits. The rest may depend on the
/// request.
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

/// Returns the fields of the guest's output if it is a JSON object of moderate size.
fn answer(seen: &StepRecord) -> Map<String, Value> {
    const FIELDS_MAX: usize = 32;
    let output = seen.call.output.as_deref().unwrap_or_default();
    match serde_json::from_slice(output) {
        Ok(Value::Object(fields)) if fields.len() <= FIELDS_MAX => fields,
        _ => Map::new(),
    }
}

fn of_request<R: Vocabulary>(step: &Step<R>, outcome: &str, features: &mut BTreeSet<String>) {
    let label = step.request.function().label;
    for (field, value) in tree::unlike_the_sample(&step.request) {
        features.insert(format!("{label}: {field} {}", kind(&value)));
    }
    for op in step.program.iter().flat_map(|program| &program.0) {
        features.insert(format!("{}, {outcome}", name(op)));
    }
}

/// Returns the kind of a value.
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

/// Returns the name of an operation, as in case files.
fn name(op: &Op) -> String {
    let written = match op {
        Op::Call { function, .. } => serde_json::to_value::<Import>(*function),
        op => serde_json::to_value(op),
    };
    match written.unwrap_or_default() {
        Value::String(name) => name,
        // The object has exactly one field.
        Value::Object(fields) => fields.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}
