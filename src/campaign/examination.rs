//! The examination of an ended session, one violation after the other.

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
    /// The index of its first case.
    pub(super) from: u64,
    pub(super) stopped: Stopped,
}

/// A session whose violations are examined one after the other.
pub(super) struct Examination<R> {
    pub(super) session: EndedSession,
    /// Whether the violations of measuring checks are examined, or all others.
    pub(super) measured: bool,
    /// The index of the next violation.
    next: usize,
    /// The keys of examined violations. A long case has the same violation many times, and once is
    /// enough.
    examined: HashSet<String>,
    /// Made only when needed: it takes long for a long session, and most violations are known.
    history: Option<Arc<[Case<R>]>>,
}

impl<R: Vocabulary> Examination<R> {
    pub(super) fn new(session: EndedSession, measured: bool) -> Self {
        Self {
            session,
            measured,
            next: 0,
            examined: HashSet::new(),
            history: None,
        }
    }

    /// Returns the next violation whose key was not examined.
    pub(super) fn next_violation(&mut self) -> Option<Violation> {
        while let Some(violation) = self.session.stopped.violations.get(self.next) {
            self.next += 1;
            if violation.measured == self.measured && !self.examined.contains(&violation.key()) {
                return Some(violation.clone());
            }
        }
        None
    }

    /// Marks violations with the key of this one as examined.
    pub(super) fn mark_examined(&mut self, violation: &Violation) {
        self.examined.insert(violation.key());
    }

    /// Returns the cases that ran on the session.
    pub(super) fn history(&mut self, cases: &Cases<R>) -> Arc<[Case<R>]> {
        let (from, last) = (self.session.from, self.session.stopped.case);
        let history = self
            .history
            .get_or_insert_with(|| history(cases, from, last).into());
        Arc::clone(history)
    }
}

impl<R> Examination<R> {
    /// Makes the last violation the next one again: its confirmation came to no result.
    pub(super) fn put_back(&mut self) {
        self.next = self.next.saturating_sub(1);
    }

    /// Returns the session with those of its violations that were not examined.
    pub(super) fn into_session(self) -> EndedSession {
        let Self {
            mut session,
            measured,
            next,
            examined,
            ..
        } = self;
        let mut indices = 0_usize..;
        session.stopped.violations.retain(|violation| {
            let is_before = indices.next().is_some_and(|index| index < next);
            let is_of_others = violation.measured != measured;
            is_of_others || !is_before && !examined.contains(&violation.key())
        });
        session
    }
}

/// Returns the cases of a session from its first one up to `last`.
pub(super) fn history<R: Vocabulary>(cases: &Cases<R>, from: u64, last: u64) -> Vec<Case<R>> {
    let before = (from..last).map(|case| with_trailing_probes(cases.nth(case), cases.depth(case)));
    before.chain([cases.nth(last)]).collect()
}
