//! Open violations: those that were seen but not examined.

use std::collections::BTreeMap;

use super::examination::EndedSession;
use crate::check::{Nature, Violation};

/// The most distinct open violations that are kept with their cases. The others are only counted.
const OPEN_MAX: usize = 64;

/// On a busy machine any call may time out, but a call of the same function does not in this many
/// sessions.
const OFTEN: u64 = 3;

/// Returns whether something is certainly wrong, even if it was seen once: no timing or other
/// measurement was involved, or a worker died.
pub(super) fn is_certain(violation: &Violation, flaky: bool) -> bool {
    let died = violation.nature() == Nature::Death;
    died || !violation.is_flaky() && !flaky && !violation.is_limit()
}

/// A violation that was not examined.
pub(super) struct Open {
    /// The first case of its session.
    pub(super) from: u64,
    /// The case that showed it.
    pub(super) case: u64,
    pub(super) violation: Violation,
    /// Whether it is certain: because of what was seen in [one session](is_certain), or because it
    /// was seen in [several](OFTEN).
    pub(super) certain: bool,
    /// The number of sessions in which it was left open.
    times: u64,
    /// The first case of the last of these sessions.
    last: u64,
}

/// What a campaign has left to do.
#[derive(Default)]
pub(super) struct OpenViolations {
    /// The first case of the first session with something left: cases that the deadline cut off, or
    /// a violation that was not examined.
    left: Option<u64>,
    /// The open violations, by the keys that they would have as findings.
    open: BTreeMap<String, Open>,
}

impl OpenViolations {
    /// Records that something is left in the session that began with this case.
    pub(super) fn leave_from(&mut self, from: u64) {
        self.left = Some(self.left.map_or(from, |first| first.min(from)));
    }

    /// Returns the first case of the first session with something left.
    pub(super) fn left(&self) -> Option<u64> {
        self.left
    }

    /// Leaves a violation of a session open, and returns whether it is certain.
    pub(super) fn leave(&mut self, session: &EndedSession, violation: &Violation) -> bool {
        let EndedSession { from, stopped } = session;
        self.leave_from(*from);
        let key = violation.key();
        let times = self.times_open(&key, *from);
        let is_seen_often = times >= OFTEN && !violation.measured && !violation.is_limit();
        let certain = is_seen_often || is_certain(violation, stopped.flaky);
        let is_surer = |open: &Open| certain && !open.certain;
        if certain && self.open.len() >= OPEN_MAX && !self.open.contains_key(&key) {
            let unsure = self.open.iter().find(|(_, open)| !open.certain);
            if let Some(unsure) = unsure.map(|(key, _)| key.clone()) {
                self.open.remove(&unsure);
            }
        }
        let has_room = self.open.len() < OPEN_MAX;
        if self.open.get(&key).map_or(has_room, is_surer) {
            let open = Open {
                from: *from,
                case: stopped.case,
                violation: violation.clone(),
                certain,
                times,
                last: *from,
            };
            self.open.insert(key, open);
        }
        certain
    }

    /// Returns the number of sessions in which a violation with this key was left open, including
    /// the session that began with this case.
    fn times_open(&mut self, key: &str, from: u64) -> u64 {
        self.open.get_mut(key).map_or(1, |open| {
            open.times += u64::from(open.last != from);
            open.last = from;
            open.times
        })
    }

    /// Returns the open violations in the order of their keys.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Open> + use<> {
        std::mem::take(&mut self.open).into_values()
    }
}
