//! `fallback_policy`: a failing call gives the function's own fallback. A violation can skip a signature:
//! a signer that fails must fail the request.

use super::{Oracle, Violation, quote};
use crate::host::DispatchOutcome;
use crate::observation::{CaseRecord, Outcome};
use crate::puppet::{Ending, Prediction};
use crate::wire::Function;

/// Holds when every fallback is `F::FALLBACK`, and every call that the guest ended by a trap, an error or
/// an exit code is a fallback. Calls that run out of fuel or time are for the checks of these.
#[derive(Debug)]
pub struct FallbackPolicy;

impl Oracle for FallbackPolicy {
    fn name(&self) -> &'static str {
        "fallback_policy"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let steps = record
            .steps
            .iter()
            .filter_map(|s| self.judge(s.function, s.reaction.outcome()?, s.prediction.as_ref()));
        let probes = record
            .probes
            .iter()
            .filter_map(|p| self.judge(p.function, p.reaction.outcome()?, None));
        steps.chain(probes).collect()
    }
}

impl FallbackPolicy {
    fn judge(
        &self,
        function: &Function,
        outcome: &Outcome,
        prediction: Option<&Prediction>,
    ) -> Option<Violation> {
        let detail = match (outcome, prediction.map(|p| &p.ending)) {
            (DispatchOutcome::Fallback(policy), _) if *policy != function.fallback => {
                format!(
                    "fell back to {policy:?}, the policy is {:?}",
                    function.fallback
                )
            }
            (
                DispatchOutcome::Ok(response),
                Some(ending @ (Ending::Trap(_) | Ending::Error | Ending::ExitCode(_))),
            ) => format!(
                "the guest ended with {ending:?}, the outcome is Ok({})",
                quote(response)
            ),
            _ => return None,
        };
        Some(Violation::new(self, function, detail))
    }
}
