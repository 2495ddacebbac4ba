//! The steps that checks of plugins look at, and which of these are ordinary.

use serde_json::Value;

use crate::host::{Call, Cause, Decoding, DispatchOutcome};
use crate::record::{CaseRecord, ProbeRecord, StepRecord, Subject};
use crate::wire::{ORDINARY_DEPTH, ORDINARY_INPUT_BYTES, Unusual, nesting, returns_state};

/// The class of a fault in base64.
pub(super) const NOT_BASE64: &str = "undecodable: not base64";

/// The class where an ordinary request is not answered, on a host that does not tell why.
pub(super) const NO_ANSWER: &str = "no answer";

/// The steps of a plugin: to what the puppet is told to do, the checks of plugins have nothing to say.
pub(super) fn plugin_steps(record: &CaseRecord) -> &[StepRecord] {
    match record.subject {
        Subject::Puppet => &[],
        Subject::Plugin => &record.steps,
    }
}

/// The same with their places, without those that repeat the one before.
pub(super) fn distinct_plugin_steps(
    record: &CaseRecord,
) -> impl Iterator<Item = (usize, &StepRecord)> {
    let is_plugin = record.subject == Subject::Plugin;
    record.distinct_steps().filter(move |_| is_plugin)
}

/// The healthy calls of a plugin.
pub(super) fn plugin_probes(record: &CaseRecord) -> &[ProbeRecord] {
    match record.subject {
        Subject::Puppet => &[],
        Subject::Plugin => &record.probes,
    }
}

/// The kind of a plugin's fault; `None` where the call did not fail, or that was not the plugin's fault. Where it was is the
/// call's [site](Call::site).
pub(crate) fn class(call: &Call) -> Option<String> {
    let cause = call.cause.as_ref()?;
    match cause {
        // The host's bound, not the protocol's.
        Cause::Undecodable(Decoding::TooManyValues) => None,
        Cause::Trap(_) | Cause::ExitCode(_) | Cause::HostFunction(_) => Some(cause.class()),
        Cause::OutOfFuel | Cause::Timeout => Some(cause.class()),
        Cause::ErrorNotUtf8 | Cause::Undecodable(_) => Some(cause.class()),
        _ => None,
    }
}

/// Whether the request is one that a plugin must not run out of fuel or time for.
pub(crate) fn is_ordinary(step: &StepRecord) -> bool {
    let input = step.input().unwrap_or_default();
    input.len() <= ORDINARY_INPUT_BYTES && nesting(input) <= ORDINARY_DEPTH
}

/// What the request of a step says that no host sends. A state is usual that the plugin returned before, in this case or
/// from a healthy call.
pub(crate) fn unusual(record: &CaseRecord, place: usize) -> Vec<Unusual> {
    let step = &record.steps[place];
    let Some(input) = step.input() else {
        return Vec::new();
    };
    let is_returned = |state: &Value| {
        let before = record
            .distinct_steps()
            .take_while(|(before, _)| *before < place);
        let before = before.map(|(_, step)| &step.result);
        let mut results = before.chain(record.healthy.iter());
        results.any(|result| match result.outcome() {
            Some(DispatchOutcome::Ok(answer)) => returns_state(answer, state),
            _ => false,
        })
    };
    step.function.unusual(input, &is_returned)
}
