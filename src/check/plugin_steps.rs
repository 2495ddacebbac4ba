//! Selects the steps that checks of plugins judge, and decides which of these are ordinary.

use serde_json::Value;

use crate::host::{Call, Cause, Decoding, DispatchOutcome};
use crate::record::{CaseRecord, ProbeRecord, StepRecord, Subject};
use crate::wire::{ORDINARY_DEPTH, ORDINARY_INPUT_BYTES, Unusual, nesting, returns_state};

/// The class of invalid base64.
pub(super) const NOT_BASE64: &str = "undecodable: not base64";

/// The class of an ordinary request that is not answered, on a host that does not report why.
pub(super) const NO_ANSWER: &str = "no answer";

/// Returns the steps of a plugin; none for the puppet, which misbehaves on request.
pub(super) fn plugin_steps(record: &CaseRecord) -> &[StepRecord] {
    match record.subject {
        Subject::Puppet => &[],
        Subject::Plugin => &record.steps,
    }
}

/// Returns the steps with their indices, without those that repeat the one before.
pub(super) fn distinct_plugin_steps(
    record: &CaseRecord,
) -> impl Iterator<Item = (usize, &StepRecord)> {
    let is_plugin = record.subject == Subject::Plugin;
    record.distinct_steps().filter(move |_| is_plugin)
}

/// Returns the healthy calls of a plugin.
pub(super) fn plugin_probes(record: &CaseRecord) -> &[ProbeRecord] {
    match record.subject {
        Subject::Puppet => &[],
        Subject::Plugin => &record.probes,
    }
}

/// Returns the class of a plugin's fault; `None` if the call did not fail, or not through the
/// plugin's fault. The location is the call's [site](Call::site).
pub(crate) fn class(call: &Call) -> Option<String> {
    let cause = call.cause.as_ref()?;
    match cause {
        // This is a bound of the host, not of the protocol.
        Cause::Undecodable(Decoding::TooManyValues) => None,
        Cause::Trap(_) | Cause::ExitCode(_) | Cause::HostFunction(_) => Some(cause.class()),
        Cause::OutOfFuel | Cause::Timeout => Some(cause.class()),
        Cause::ErrorNotUtf8 | Cause::Undecodable(_) => Some(cause.class()),
        _ => None,
    }
}

/// Returns whether a plugin must not run out of fuel or time on the request.
pub(crate) fn is_ordinary(step: &StepRecord) -> bool {
    let input = step.input().unwrap_or_default();
    input.len() <= ORDINARY_INPUT_BYTES && nesting(input) <= ORDINARY_DEPTH
}

/// Returns what in the request of a step no host sends. A state that the plugin returned before, in
/// this case or in a healthy call, is usual.
pub(crate) fn unusual(record: &CaseRecord, index: usize) -> Vec<Unusual> {
    let step = &record.steps[index];
    let Some(input) = step.input() else {
        return Vec::new();
    };
    let is_returned = |state: &Value| {
        let before = record
            .distinct_steps()
            .take_while(|(before, _)| *before < index);
        let before = before.map(|(_, step)| &step.result);
        let mut results = before.chain(record.healthy.iter());
        results.any(|result| match result.outcome() {
            Some(DispatchOutcome::Ok(answer)) => returns_state(answer, state),
            _ => false,
        })
    };
    step.function.unusual(input, &is_returned)
}
