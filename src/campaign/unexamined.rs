//! The violations that were seen but not examined.

use std::collections::BTreeMap;

use super::examination::EndedSession;
use crate::check::{Nature, Violation};

/// The most distinct violations that are kept with their cases. The others are only counted.
const KEPT_MAX: usize = 64;

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
pub(super) struct Unexamined {
    /// The first case of its session.
    pub(super) from: u64,
    /// The case that showed it.
    pub(super) case: u64,
    pub(super) violation: Violation,
    /// Whether it is certain: because of what was seen in [one session](is_certain), or because it
    /// was seen in [several](OFTEN).
    pub(super) certain: bool,
    /// The number of sessions in which it was left unexamined.
    times: u64,
    /// The first case of the last of these sessions.
    last: u64,
}

/// What a campaign has left to do.
#[derive(Default)]
pub(super) struct UnexaminedViolations {
    /// The first case of the first session with something left: cases that the deadline cut off, or
    /// a violation that was not examined.
    left: Option<u64>,
    /// The violations, by the keys that they would have as findings.
    kept: BTreeMap<String, Unexamined>,
}

impl UnexaminedViolations {
    /// Records that something is left in the session that began with this case.
    pub(super) fn leave_from(&mut self, from: u64) {
        self.left = Some(self.left.map_or(from, |first| first.min(from)));
    }

    /// Returns the first case of the first session with something left.
    pub(super) fn left(&self) -> Option<u64> {
        self.left
    }

    /// Leaves a violation of a session unexamined, and returns whether it is certain.
    pub(super) fn leave(&mut self, session: &EndedSession, violation: &Violation) -> bool {
        let EndedSession { from, stopped } = session;
        self.leave_from(*from);
        let key = violation.key();
        let times = self.times_left(&key, *from);
        let is_seen_often = times >= OFTEN && !violation.measured && !violation.is_limit();
        let certain = is_seen_often || is_certain(violation, stopped.flaky);
        let is_surer = |kept: &Unexamined| certain && !kept.certain;
        if certain && self.kept.len() >= KEPT_MAX && !self.kept.contains_key(&key) {
            let unsure = self.kept.iter().find(|(_, kept)| !kept.certain);
            if let Some(unsure) = unsure.map(|(key, _)| key.clone()) {
                self.kept.remove(&unsure);
            }
        }
        let has_room = self.kept.len() < KEPT_MAX;
        if self.kept.get(&key).map_or(has_room, is_surer) {
            let unexamined = Unexamined {
                from: *from,
                case: stopped.case,
                violation: violation.clone(),
                certain,
                times,
                last: *from,
            };
            self.kept.insert(key, unexamined);
        }
        certain
    }

    /// Returns the number of sessions in which a violation with this key was left unexamined,
    /// including the session that began with this case.
    fn times_left(&mut self, key: &str, from: u64) -> u64 {
        self.kept.get_mut(key).map_or(1, |kept| {
            kept.times += u64::from(kept.last != from);
            kept.last = from;
            kept.times
        })
    }

    /// Takes the violations, in the order of their keys.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Unexamined> + use<> {
        std::mem::take(&mut self.kept).into_values()
    }
}
