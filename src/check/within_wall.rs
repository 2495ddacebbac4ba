//! `within_wall`: one dispatch takes at most `HANDSHAKE_WALL_MS`. A violation lets a guest
//! block the host.

use std::time::Duration;

use cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS;

use super::judge_steps::judge_steps;
use super::{Check, Nature, Violation, WALL_SLACK};
use crate::case::Depth;
use crate::host::Call;
use crate::record::CaseRecord;

/// The time that a dispatch may appear to take on a machine that is busy with other work, such as a
/// fuzzer or a test suite. Campaigns on a machine of their own need not allow for it.
pub const BUSY_WALL_MAX: Duration = Duration::from_secs(2);

/// Returns whether a violation only means that a dispatch took long, but not longer than
/// [`BUSY_WALL_MAX`].
pub fn may_be_busy(violation: &Violation, record: &CaseRecord) -> bool {
    violation.nature() == Nature::Time && record.slowest <= BUSY_WALL_MAX
}

/// Holds when no dispatch of a step, and no healthy call after one, took longer than the limit plus
/// [`WALL_SLACK`]. Creating a new instance has a limit of its own.
#[derive(Debug)]
pub struct WithinWall;

/// Returns how long a dispatch took, if that is too long.
fn over(elapsed: Duration, busy: Duration, call: &Call) -> Option<String> {
    let limit = Duration::from_millis(HANDSHAKE_WALL_MS) + WALL_SLACK;
    // Start code has the time limit of a call.
    let renewal = call.renewal.min(limit);
    // On a busy machine the clock runs while the call does not.
    (elapsed.saturating_sub(busy + renewal) > limit).then(|| {
        let (took, limit) = (elapsed.as_millis(), limit.as_millis());
        format!("{took} ms; the limit is {limit} ms")
    })
}

impl Check for WithinWall {
    fn name(&self) -> &'static str {
        "within_wall"
    }

    fn nature(&self) -> Nature {
        Nature::Time
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let mut found = judge_steps(&WithinWall, record, |step| {
            let over = over(step.elapsed, step.busy, &step.call)?;
            Some(format!("the dispatch took {over}"))
        });
        // The healthy call does the work that a call leaves to the next one.
        found.extend(record.probes.iter().filter_map(|probe| {
            let over = over(probe.elapsed, probe.busy, &probe.call)?;
            let detail = format!("after step {} the healthy call took {over}", probe.after);
            Some(Violation::new(&WithinWall, probe.function, detail))
        }));
        found
    }

    fn is_measurement(&self) -> bool {
        true
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }
}
