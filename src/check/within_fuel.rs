//! `within_fuel`: one dispatch takes at most `HANDSHAKE_FUEL`. A violation lets a guest block the
//! host.

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;

use super::judge_steps::judge_steps;
use super::{Check, Violation};
use crate::case::Depth;
use crate::host::DispatchOutcome;
use crate::puppet::Ending;
use crate::record::{CaseRecord, StepRecord};

/// Holds when the host reports no call that took more fuel than the limit, and a call that needs
/// more results in the fallback.
#[derive(Debug)]
pub struct WithinFuel;

impl Check for WithinFuel {
    fn name(&self) -> &'static str {
        "within_fuel"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        judge_steps(&WithinFuel, record, judge)
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }
}

fn judge(step: &StepRecord) -> Option<String> {
    let ending = step
        .prediction
        .as_ref()
        .map(|prediction| &prediction.ending);
    let detail = match (step.call.fuel, ending, step.result.outcome()) {
        (Some(fuel), _, _) if fuel > HANDSHAKE_FUEL => format!("the call took {fuel} fuel"),
        (_, Some(Ending::OutOfFuel), Some(DispatchOutcome::Ok(_))) => {
            "a call that needs more fuel than the limit was answered".to_owned()
        }
        _ => return None,
    };
    Some(format!("{detail}; the limit is {HANDSHAKE_FUEL}"))
}
