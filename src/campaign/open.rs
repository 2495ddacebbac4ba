//! What was seen and nobody has looked into.

use std::collections::BTreeMap;

use super::examination::EndedSession;
use crate::check::{Nature, Violation};

/// The most different violations that are left open with their cases. The others are counted.
const OPEN_MAX: usize = 64;

/// A busy machine may end any call by the clock, but not one of the same function in so many sessions.
const OFTEN: u64 = 3;

/// Whether something is wrong for sure, be it seen once: neither a clock nor another measurement had a say, or a worker died.
pub(super) fn is_certain(violation: &Violation, flaky: bool) -> bool {
    let died = violation.nature() == Nature::Death;
    died || !violation.is_flaky() && !flaky && !violation.is_limit()
}

/// A violation that nobody has looked into.
pub(super) struct Open {
    /// The first case of its session.
    pub(super) from: u64,
    /// The case that showed it.
    pub(super) case: u64,
    pub(super) violation: Violation,
    /// Whether it is so for sure: [it is](is_certain) in one session, or was seen in [several](OFTEN).
    pub(super) certain: bool,
    /// In how many sessions it was seen and left open.
    times: u64,
    /// The first case of the last of them.
    last: u64,
}

/// What is left of a campaign.
#[derive(Default)]
pub(super) struct OpenViolations {
    /// The first case of the first session in which something is left: cases that the time cut off, or a violation which
    /// nobody has looked into.
    left: Option<u64>,
    /// These violations, by the keys that they would have as findings.
    open: BTreeMap<String, Open>,
}

impl OpenViolations {
    /// Something is left in the session that began with this case.
    pub(super) fn leave_from(&mut self, from: u64) {
        self.left = Some(self.left.map_or(from, |first| first.min(from)));
    }

    /// The first case of the first session in which something is left.
    pub(super) fn left(&self) -> Option<u64> {
        self.left
    }

    /// Leaves a violation of a session open, and says whether something is wrong for sure.
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

    /// In how many sessions such a violation was left open, that which began with this case included.
    fn times_open(&mut self, key: &str, from: u64) -> u64 {
        self.open.get_mut(key).map_or(1, |open| {
            open.times += u64::from(open.last != from);
            open.last = from;
            open.times
        })
    }

    /// What was left open, in the order of the keys.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Open> + use<> {
        std::mem::take(&mut self.open).into_values()
    }
}
