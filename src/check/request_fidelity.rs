//! `request_fidelity`: the guest receives the request. A violation makes a plugin decide on
//! something that nobody sent.

use serde_json::Value;

use super::independent_decode::{is_same, is_same_json, sound_response};
use super::judge_steps::judge_distinct_steps;
use super::no_poison::changed_elsewhere;
use super::{Check, Violation, quote};
use crate::case::Depth;
use crate::host::{DispatchOutcome, has_too_many_values};
use crate::puppet::Ending;
use crate::record::{CaseRecord, StepRecord};

/// Holds when the guest's input is the request's JSON with the negotiated `_v`, and nothing else.
/// It judges the input that the host reports, for any guest, and the input that the puppet echoes.
///
/// The puppet echoes its input in a string of the response, which any host returns, or as its whole
/// output, which a host must report. White space and the order of keys are the host's choice.
#[derive(Debug)]
pub struct RequestFidelity;

impl Check for RequestFidelity {
    fn name(&self) -> &'static str {
        "request_fidelity"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let mut found = judge_distinct_steps(&RequestFidelity, record, judge);
        if changed_elsewhere(record).is_some() {
            return found;
        }
        found.extend(record.probes.iter().filter_map(|probe| {
            let detail = other_input(probe.call.input.as_deref(), probe.expected_input.as_deref())?;
            Some(Violation::new(&RequestFidelity, probe.function, detail))
        }));
        found
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }
}

fn judge(step: &StepRecord) -> Option<String> {
    other_input(step.call.input.as_deref(), step.expected_input.as_deref())
        .or_else(|| other_echo(step))
}

/// Returns what is wrong with the input that the host reports.
fn other_input(told: Option<&[u8]>, expected: Option<&[u8]>) -> Option<String> {
    let (told, expected) = (told?, expected?);
    (!is_same_json(told, expected)).then(|| {
        let text = |bytes| quote(&format_args!("{:?}", String::from_utf8_lossy(bytes)));
        format!(
            "the guest must get {}; it got {}",
            text(expected),
            text(told)
        )
    })
}

/// Returns what is wrong with the input that the guest echoes.
fn other_echo(step: &StepRecord) -> Option<String> {
    let prediction = step.prediction.as_ref()?;
    if !prediction.echoes || prediction.ending != Ending::Answer || step.hit_time_limit() {
        return None;
    }
    let expected = &prediction.output[..];
    // `sound_ok` judges what the host made of that output. Not every host reads so many values.
    if step.call.output.as_deref() == Some(expected) || has_too_many_values(expected) {
        return None;
    }
    let sound = sound_response(step.function, step.version?, expected);
    let detail = match (step.result.outcome()?, &step.call.output, sound) {
        (DispatchOutcome::Ok(response), _, Some(sound)) if same(response, &sound, step) => None,
        (DispatchOutcome::Ok(response), _, _) => Some(format!("it got {}", quote(response))),
        (DispatchOutcome::Fallback(_), _, Some(_)) => Some("nothing came back".to_owned()),
        (DispatchOutcome::Fallback(_), Some(output), None)
            if !same_bytes(output, expected, step) =>
        {
            Some(format!(
                "it got {}",
                quote(&format_args!("{:?}", String::from_utf8_lossy(output)))
            ))
        }
        (DispatchOutcome::Fallback(_), _, None) => None,
    }?;
    Some(format!(
        "the guest must get {}; {detail}",
        quote(&format_args!(
            "{:?}",
            String::from_utf8_lossy(step.input()?)
        ))
    ))
}

/// Returns whether both are the same text or the same JSON. If the host does not report the input,
/// its exact form is unknown; an echo inside something else is then accepted.
fn same_bytes(one: &[u8], expected: &[u8], step: &StepRecord) -> bool {
    is_same_json(one, expected)
        || (step.call.input.is_none()
            && serde_json::from_slice::<Value>(expected).is_err()
            && step
                .input()
                .is_some_and(|input| memchr::memmem::find(expected, input).is_some()))
}

/// Returns whether both are the same response, except that strings with the same JSON are equal.
fn same(one: &Value, expected: &Value, step: &StepRecord) -> bool {
    match (one, expected) {
        (Value::String(one), Value::String(expected)) => {
            same_bytes(one.as_bytes(), expected.as_bytes(), step)
        }
        (Value::Object(one), Value::Object(expected)) => {
            one.len() == expected.len()
                && one
                    .iter()
                    .all(|(key, value)| expected.get(key).is_some_and(|v| same(value, v, step)))
        }
        (Value::Array(one), Value::Array(expected)) => {
            one.len() == expected.len() && one.iter().zip(expected).all(|(a, b)| same(a, b, step))
        }
        _ => is_same(one, expected),
    }
}
