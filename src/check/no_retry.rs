//! `no_retry`: one dispatch is at most one call of the guest. A violation means that a request is
//! signed or counted twice, and a hostile guest gets twice the resources.

use super::judge_steps::judge_steps;
use super::no_poison::changed_elsewhere;
use super::{Check, Violation};
use crate::case::Depth;
use crate::host::DispatchOutcome;
use crate::puppet::{Ending, TALLY_MAX};
use crate::record::{CaseRecord, StepRecord};

/// Holds when the guest makes as many log calls as its program. The log calls are counted outside
/// of the guest and the host.
///
/// Some programs make one log call for each call that the instance has seen: at most as many as the
/// session has dispatched. A dispatch without an answer may have ended before all log calls.
#[derive(Debug)]
pub struct NoRetry;

impl Check for NoRetry {
    fn name(&self) -> &'static str {
        "no_retry"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let mut found = judge_steps(&NoRetry, record, judge);
        if changed_elsewhere(record).is_some() {
            return found;
        }
        // Hosts retry after a failure, which is where healthy calls are made.
        let probes = record
            .probes
            .iter()
            .filter(|probe| probe.guest_calls > Some(0));
        found.extend(probes.map(|probe| {
            let detail = format!(
                "the guest should make no log call in the healthy call after step {}, but made one",
                probe.after
            );
            Violation::new(&NoRetry, probe.function, detail)
        }));
        found
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }
}

fn judge(step: &StepRecord) -> Option<String> {
    let prediction = step.prediction.as_ref()?;
    let heard = step.guest_calls?;
    // A program whose outcome is not predicted may log what an earlier log call left in a block.
    if prediction.ending == Ending::Unknown {
        return None;
    }
    let (told, tallies) = (prediction.guest_calls, prediction.tallies);
    let most = told + tallies * step.calls.min(TALLY_MAX);
    if heard > most {
        let calls = if tallies == 0 {
            String::new()
        } else {
            format!(" in dispatch {} of the session", step.calls)
        };
        return Some(format!(
            "the guest should make at most {most} log calls{calls}, but made {heard}"
        ));
    }
    let answered = matches!(step.result.outcome(), Some(DispatchOutcome::Ok(_)));
    (answered && prediction.ending == Ending::Answer && heard < told + tallies).then(|| {
        format!(
            "the guest should make {} log calls, but made {heard} and still answered",
            told + tallies
        )
    })
}
