//! The end of a session, looked into violation by violation.

use std::collections::HashSet;
use std::sync::Arc;

use super::block::Stopped;
use crate::case::Case;
use crate::check::Violation;
use crate::finding::history::with_trailing_probes;
use crate::generate::Cases;
use crate::wire::Vocabulary;

/// A session that ended with violations.
pub(super) struct EndedSession {
    /// The first of its cases.
    pub(super) from: u64,
    pub(super) stopped: Stopped,
}

/// A session whose violations are looked into, one after the other.
pub(super) struct Examination<R> {
    pub(super) session: EndedSession,
    /// Whether those are looked into that checks which measure have found, or all others.
    pub(super) measured: bool,
    /// The place of the next one.
    next: usize,
    /// The keys of those that were looked into: a long case has the same violation many times, and once is enough.
    seen: HashSet<String>,
    /// Of a long session it takes long to make, and most violations are known.
    history: Option<Arc<[Case<R>]>>,
}

impl<R: Vocabulary> Examination<R> {
    pub(super) fn new(session: EndedSession, measured: bool) -> Self {
        Self {
            session,
            measured,
            next: 0,
            seen: HashSet::new(),
            history: None,
        }
    }

    /// The next one of them that was not seen.
    pub(super) fn next_violation(&mut self) -> Option<Violation> {
        while let Some(violation) = self.session.stopped.violations.get(self.next) {
            self.next += 1;
            if violation.measured == self.measured && !self.seen.contains(&violation.key()) {
                return Some(violation.clone());
            }
        }
        None
    }

    /// Those that read like this one need not be looked into.
    pub(super) fn see(&mut self, violation: &Violation) {
        self.seen.insert(violation.key());
    }

    /// What the session had seen when it ended.
    pub(super) fn history(&mut self, cases: &Cases<R>) -> Arc<[Case<R>]> {
        let (from, last) = (self.session.from, self.session.stopped.case);
        let history = self
            .history
            .get_or_insert_with(|| history(cases, from, last).into());
        Arc::clone(history)
    }
}

/// What a session that began with one case had seen when it came to another, that one last.
pub(super) fn history<R: Vocabulary>(cases: &Cases<R>, from: u64, last: u64) -> Vec<Case<R>> {
    let before = (from..last).map(|case| with_trailing_probes(cases.nth(case), cases.depth(case)));
    before.chain([cases.nth(last)]).collect()
}
