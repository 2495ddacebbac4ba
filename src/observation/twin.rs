//! The same steps on the published host.

use std::time::Duration;

use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};

use super::react::react;
use super::{CaseRecord, Outcome, StepRecord, Subject};
use crate::case::Case;
use crate::host::dispatch::has_too_many_values;
use crate::host::{HandshakeError, Host, ReferenceHost};
use crate::puppet::Ending;
use crate::wire::{Function, Vocabulary};

/// What the guard lets a call allocate, in bytes. The published host lets it allocate more.
const ALLOCATES_MAX: u64 = 1 << 20;

/// What the steps of a record come to on a fresh session of the published host; nothing for a case of the puppet with
/// a step that may kill that host, or come to something else there for good reasons; nothing where an answer has more values
/// than are read here.
pub(super) fn on_reference<R: Vocabulary>(
    host: &ReferenceHost,
    case: &Case<R>,
    record: &CaseRecord,
    beat: &mut dyn FnMut(&'static Function),
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
        beat(step.function);
        let seen = react(case.steps[step.place].told(), &mut session);
        // On a busy machine any call may run into the clock.
        seen.reaction
            .outcome()
            .filter(|_| seen.elapsed < wall)
            .cloned()
    };
    Ok(steps.iter().map(outcome).collect())
}

/// Whether a call must come to the same on both hosts, and harms the next one on neither. The guard takes a little fuel
/// and time, and lets a call allocate less; the published host loses errors when the fuel ends, and goes on with an
/// instance that was left half-way.
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
