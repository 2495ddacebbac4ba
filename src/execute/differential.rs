//! The differential test: runs the same steps on the published host.

use std::time::Duration;

use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};

use super::dispatch::execute;
use crate::case::Case;
use crate::host::{HandshakeError, Host, ReferenceHost, has_too_many_values};
use crate::puppet::Ending;
use crate::record::{CaseRecord, Outcome, StepRecord, Subject};
use crate::wire::{Function, Vocabulary};

/// The most bytes that the guard allows a call to allocate. The published host allows more.
const ALLOCATES_MAX: u64 = 1 << 20;

/// Returns the outcomes of the steps on a fresh session of the published host. Returns an empty
/// list if the puppet's case has a step that may kill that host, or may have another outcome there
/// for good reasons; or if an answer has more values than this host reads.
pub(crate) fn on_reference<R: Vocabulary>(
    host: &ReferenceHost,
    case: &Case<R>,
    record: &CaseRecord,
    heartbeat: &mut dyn FnMut(&'static Function),
) -> Result<Vec<Option<Outcome>>, HandshakeError> {
    let steps = &record.steps;
    if record.subject == Subject::Puppet && !steps.iter().all(is_comparable) {
        return Ok(Vec::new());
    }
    let answers = steps.iter().filter_map(|step| step.call.output.as_deref());
    if answers.into_iter().any(has_too_many_values) {
        return Ok(Vec::new());
    }
    let mut session = host.open()?;
    let wall = Duration::from_millis(HANDSHAKE_WALL_MS);
    let outcome = |step: &StepRecord| {
        heartbeat(step.function);
        let seen = execute(
            case.steps[step.step_index].request_with_program(),
            &mut session,
        );
        // On a busy machine any call may time out.
        seen.result
            .outcome()
            .filter(|_| seen.elapsed < wall)
            .cloned()
    };
    Ok(steps.iter().map(outcome).collect())
}

/// Returns whether a call must have the same outcome on both hosts, and affects the next call on
/// neither. The guard takes a little fuel and time, and allows a call to allocate less. The
/// published host loses errors when the fuel runs out, and goes on using an instance that was left
/// half-way.
fn is_comparable(step: &StepRecord) -> bool {
    let Some(prediction) = &step.prediction else {
        return true;
    };
    let far_from_the_end = step.call.fuel.is_none_or(|fuel| fuel < HANDSHAKE_FUEL / 2);
    !matches!(prediction.ending, Ending::Unknown | Ending::Timeout)
        && !prediction.half_way
        && prediction.allocates <= ALLOCATES_MAX
        && far_from_the_end
}
