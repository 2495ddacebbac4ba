//! `request_fidelity`: the guest gets the request. A violation makes a plugin decide on something that
//! nobody sent.

use serde_json::Value;

use super::decode::sound_response;
use super::{Oracle, Violation, judge_steps, quote};
use crate::host::DispatchOutcome;
use crate::host::dispatch::has_too_many_values;
use crate::observation::{CaseRecord, StepRecord};
use crate::puppet::Ending;

/// Holds when what the guest sends back is the request's JSON with the negotiated `_v`, and nothing else.
///
/// The puppet sends its input back in a string of the response, so that any host shows it, or as its whole
/// output, which a host must tell.
#[derive(Debug)]
pub struct RequestFidelity;

impl Oracle for RequestFidelity {
    fn name(&self) -> &'static str {
        "request_fidelity"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        judge_steps(self, record, judge)
    }
}

fn judge(step: &StepRecord) -> Option<String> {
    let prediction = step.prediction.as_ref()?;
    if !prediction.echoes || prediction.ending != Ending::Answer || step.met_the_wall() {
        return None;
    }
    let expected = &prediction.output[..];
    // Not every host reads so many.
    if has_too_many_values(expected) {
        return None;
    }
    let sound = sound_response(step.function, step.version?, expected);
    let detail = match (step.reaction.outcome()?, &step.call.output, sound) {
        (DispatchOutcome::Ok(response), _, Some(sound)) if same(response, &sound) => None,
        (DispatchOutcome::Ok(response), _, _) => Some(format!("it got {}", quote(response))),
        (DispatchOutcome::Fallback(_), _, Some(_)) => Some("nothing came back".to_owned()),
        (DispatchOutcome::Fallback(_), Some(output), None) if !same_bytes(output, expected) => {
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

/// The same text, or the same JSON: the order of keys and white space are the host's choice.
fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    one == other
        || match (
            serde_json::from_slice::<Value>(one),
            serde_json::from_slice::<Value>(other),
        ) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        }
}

/// The same response, but for strings that are JSON and say the same.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => same_bytes(one.as_bytes(), other.as_bytes()),
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| other.get(key).is_some_and(|v| same(value, v)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
        }
        _ => one == other,
    }
}
