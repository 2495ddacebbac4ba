//! `sound_ok`: `Ok` is what the guest answered, and a sound answer is `Ok`. A violation hands on a
//! response that nobody gave, or loses one.

use super::decode::sound_response;
use super::{Oracle, Violation, judge_distinct_steps, quote};
use crate::host::DispatchOutcome;
use crate::host::dispatch::has_too_many_values;
use crate::observation::{CaseRecord, StepRecord};
use crate::puppet::Ending;

/// Holds when a call that the guest answered is `Ok(r)` exactly where the answer is a JSON object with the
/// negotiated `_v`, and `r` equals it. An answer with more values than this host reads may be a fallback.
///
/// What the puppet answers is mostly foretold; any other answer is known where the host tells it. Answers
/// that echo the input are left to `request_fidelity`.
#[derive(Debug)]
pub struct SoundOk;

impl Oracle for SoundOk {
    fn name(&self) -> &'static str {
        "sound_ok"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        judge_distinct_steps(self, record, judge)
    }
}

fn judge(step: &StepRecord) -> Option<String> {
    if step.met_the_wall() {
        return None;
    }
    let answer = match &step.prediction {
        Some(prediction) if prediction.echoes => None,
        Some(prediction) if prediction.ending == Ending::Answer => Some(&prediction.output[..]),
        Some(prediction) if prediction.fails() => None,
        // What is not foretold is known where the host tells it.
        _ => step.call.output.as_deref(),
    }?;
    // Not every host reads so many.
    if has_too_many_values(answer) {
        return None;
    }
    let sound = sound_response(step.function, step.version?, answer);
    let detail = match (step.reaction.outcome()?, sound) {
        (DispatchOutcome::Ok(response), Some(sound)) if *response == sound => return None,
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
