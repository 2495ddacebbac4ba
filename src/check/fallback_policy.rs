//! `fallback_policy`: a failing call returns the function's own fallback. A violation can skip a
//! signature: a signer that fails must fail the request.

use super::{Check, Violation, quote};
use crate::case::Depth;
use crate::host::DispatchOutcome;
use crate::puppet::Ending;
use crate::record::{CaseRecord, Outcome, StepRecord};
use crate::wire::Function;

/// Holds when every fallback is `F::FALLBACK`, and every call that ends with a trap, an error, an
/// exit code or a timeout, or whose function was not negotiated, is a fallback. Calls that take too
/// much fuel are left to `within_fuel`.
#[derive(Debug)]
pub struct FallbackPolicy;

impl Check for FallbackPolicy {
    fn name(&self) -> &'static str {
        "fallback_policy"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let steps = record.steps.iter().filter_map(|step| {
            let outcome = step.result.outcome()?;
            let detail =
                other_policy(step.function, outcome).or_else(|| ok_for_failure(step, outcome));
            Some(Violation::new(&FallbackPolicy, step.function, detail?))
        });
        let probes = record.probes.iter().filter_map(|probe| {
            let detail = other_policy(probe.function, probe.result.outcome()?);
            Some(Violation::new(&FallbackPolicy, probe.function, detail?))
        });
        steps.chain(probes).collect()
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }
}

fn other_policy(function: &Function, outcome: &Outcome) -> Option<String> {
    match outcome {
        DispatchOutcome::Fallback(policy) if *policy != function.fallback => Some(format!(
            "fell back to {policy:?}, the policy is {:?}",
            function.fallback
        )),
        _ => None,
    }
}

fn ok_for_failure(step: &StepRecord, outcome: &Outcome) -> Option<String> {
    let DispatchOutcome::Ok(response) = outcome else {
        return None;
    };
    let failure = match step
        .prediction
        .as_ref()
        .map(|prediction| &prediction.ending)
    {
        Some(Ending::Trap(kind)) => format!("the guest trapped ({kind:?})"),
        Some(Ending::Error) => "the guest set an error".to_owned(),
        Some(Ending::ExitCode(code)) => format!("the guest returned {code}"),
        Some(Ending::Timeout) => "the guest never ended".to_owned(),
        _ if step.version.is_none() => "the function was not negotiated".to_owned(),
        _ => return None,
    };
    Some(format!("{failure}, the outcome is Ok({})", quote(response)))
}
