//! `within_fuel`: one dispatch takes no more than `HANDSHAKE_FUEL`. A violation lets a guest hold the host.

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;

use super::{Oracle, Violation, judge_steps};
use crate::host::DispatchOutcome;
use crate::observation::{CaseRecord, StepRecord};
use crate::puppet::Ending;

/// Holds when no call tells of more fuel, and a call that takes more is a fallback.
#[derive(Debug)]
pub struct WithinFuel;

impl Oracle for WithinFuel {
    fn name(&self) -> &'static str {
        "within_fuel"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        judge_steps(self, record, judge)
    }
}

fn judge(step: &StepRecord) -> Option<String> {
    let ending = step
        .prediction
        .as_ref()
        .map(|prediction| &prediction.ending);
    let detail = match (step.call.fuel, ending, step.reaction.outcome()) {
        (Some(fuel), _, _) if fuel > HANDSHAKE_FUEL => format!("the call took {fuel} fuel"),
        (_, Some(Ending::OutOfFuel), Some(DispatchOutcome::Ok(_))) => {
            "a call that takes more fuel than there is was answered".to_owned()
        }
        _ => return None,
    };
    Some(format!("{detail}; the limit is {HANDSHAKE_FUEL}"))
}
