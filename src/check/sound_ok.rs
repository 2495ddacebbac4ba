//! `sound_ok`: `Ok` is what the guest answered, and a valid answer is `Ok`. A violation means
//! that the host returns a response that the guest did not give, or loses one.

use super::independent_decode::{is_same, sound_response};
use super::judge_steps::judge_distinct_steps;
use super::{Check, Violation, quote};
use crate::case::Depth;
use crate::host::{DispatchOutcome, has_too_many_values};
use crate::puppet::Ending;
use crate::record::{CaseRecord, StepRecord};

/// Holds when a call that the guest answered is `Ok(r)` exactly if the answer is a JSON object with
/// the negotiated `_v`, and `r` equals it. An answer with more values than this host reads may be a
/// fallback.
///
/// Most answers of the puppet are predicted. Other answers are judged if the host reports them.
/// Answers that echo the input are left to `request_fidelity`, unless the host reports exactly the
/// predicted output.
#[derive(Debug)]
pub struct SoundOk;

impl Check for SoundOk {
    fn name(&self) -> &'static str {
        "sound_ok"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        judge_distinct_steps(&SoundOk, record, judge)
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }
}

fn judge(step: &StepRecord) -> Option<String> {
    if step.hit_time_limit() {
        return None;
    }
    let answer = match &step.prediction {
        // Only if the guest echoed exactly that. `request_fidelity` judges other echoes.
        Some(prediction) if prediction.echoes => {
            let is_it = prediction.ending == Ending::Answer
                && step.call.output.as_deref() == Some(&prediction.output[..]);
            is_it.then_some(&prediction.output[..])
        }
        Some(prediction) if prediction.ending == Ending::Answer => Some(&prediction.output[..]),
        Some(prediction) if prediction.fails() => None,
        // An answer that is not predicted is known if the host reports it.
        _ => step.call.output.as_deref(),
    }?;
    // Not every host reads so many values.
    if has_too_many_values(answer) {
        return None;
    }
    let outcome = step.result.outcome()?;
    let sound = sound_response(step.function, step.version?, answer);
    let detail = match (outcome, sound) {
        (DispatchOutcome::Ok(response), Some(sound)) if is_same(response, &sound) => return None,
        (DispatchOutcome::Fallback(_), None) => return None,
        (DispatchOutcome::Ok(response), _) => format!("the outcome is Ok({})", quote(response)),
        (DispatchOutcome::Fallback(_), _) => match &step.call.cause {
            Some(cause) => format!("the outcome is a fallback: {cause}"),
            None => "the outcome is a fallback".to_owned(),
        },
    };
    Some(format!(
        "the guest answered {}, {detail}",
        quote(&format_args!("{:?}", String::from_utf8_lossy(answer)))
    ))
}
