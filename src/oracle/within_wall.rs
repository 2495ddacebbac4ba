//! `within_wall`: one dispatch takes no longer than `HANDSHAKE_WALL_MS`. A violation lets a guest hold the
//! host.

use std::time::Duration;

use cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS;

use super::{Oracle, Violation, judge_steps};
use crate::host::Call;
use crate::observation::CaseRecord;

/// What a dispatch may take beyond `HANDSHAKE_WALL_MS`: for JSON, for waking the thread that keeps the
/// time, and for the guest to come to a place where it can be stopped.
pub const WALL_SLACK: Duration = Duration::from_millis(50);

/// Up to this time a dispatch may be seen to take where others keep the machine busy: beside a fuzzer, in a test suite.
/// Of campaigns on a machine of their own nobody need look away.
pub const BUSY_WALL_MAX: Duration = Duration::from_secs(2);

/// Whether a violation says no more than that a dispatch was seen to take long, and not longer than [`BUSY_WALL_MAX`].
pub fn may_be_busy(violation: &Violation, record: &CaseRecord) -> bool {
    violation.check == WithinWall.name() && record.slowest <= BUSY_WALL_MAX
}

/// Holds when no dispatch, of a step or of a healthy call behind one, took longer than the limit and [`WALL_SLACK`]. What
/// it takes to make an instance anew has a limit of its own.
#[derive(Debug)]
pub struct WithinWall;

/// How long a dispatch took, if that is too long.
fn over(elapsed: Duration, busy: Duration, call: &Call) -> Option<String> {
    let limit = Duration::from_millis(HANDSHAKE_WALL_MS) + WALL_SLACK;
    // Start code has the time of a call.
    let renewal = call.renewal.min(limit);
    // On a busy machine the clock goes on while nothing does.
    (elapsed.saturating_sub(busy + renewal) > limit).then(|| {
        let (took, limit) = (elapsed.as_millis(), limit.as_millis());
        format!("{took} ms; the limit is {limit} ms")
    })
}

impl Oracle for WithinWall {
    fn name(&self) -> &'static str {
        "within_wall"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let mut found = judge_steps(self, record, |step| {
            let over = over(step.elapsed, step.busy, &step.call)?;
            Some(format!("the dispatch took {over}"))
        });
        // What a call leaves to be done is done by the healthy call behind it.
        found.extend(record.probes.iter().filter_map(|probe| {
            let over = over(probe.elapsed, probe.busy, &probe.call)?;
            let detail = format!("behind step {} the healthy call took {over}", probe.after);
            Some(Violation::new(self, probe.function, detail))
        }));
        found
    }

    fn is_measurement(&self) -> bool {
        true
    }
}
