//! Whose turn it is that its place in the plugin is found out.

use std::collections::{BTreeSet, HashSet};

use crate::case::{Case, tree};
use crate::check::Violation;
use crate::wire::Vocabulary;

/// So many places of violations are found out at first.
const LOCATED_AT_FIRST: usize = 64;

/// Once in so many blocks one more place is found out.
const LOCATED_ONCE_IN: u64 = 8;

/// What is most often at one place: violations that read the same, of cases that differ from the sample in the same fields.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    key: String,
    fields: BTreeSet<String>,
}

/// To find out where in the plugin a violation is takes as long as some hundred cases, while a plugin may show the same one
/// again and again.
#[derive(Default)]
pub(super) struct PlaceTurns {
    /// Those that were found out at first.
    at_first: HashSet<Kind>,
    /// How many were found out in their turn.
    in_turn: u64,
}

impl PlaceTurns {
    /// Whether to find out the place of a violation that this case shows, behind so many sessions. A kind that is new is, and
    /// others wait for their turn, which comes once in so many sessions.
    pub(super) fn take<R: Vocabulary>(
        &mut self,
        violation: &Violation,
        case: &Case<R>,
        sessions: u64,
    ) -> bool {
        let fields = case
            .steps
            .iter()
            .flat_map(|step| tree::unlike_the_sample(&step.request))
            .map(|(field, _)| field)
            .collect();
        let kind = Kind {
            key: violation.key(),
            fields,
        };
        let is_new = !self.at_first.contains(&kind);
        let is_the_first = !self.at_first.iter().any(|other| other.key == kind.key);
        if is_new && (is_the_first || self.at_first.len() < LOCATED_AT_FIRST) {
            self.at_first.insert(kind);
            return true;
        }
        let is_its_turn = self.in_turn < sessions / LOCATED_ONCE_IN;
        self.in_turn += u64::from(is_its_turn);
        is_its_turn
    }

    /// A violation did not show again: the next one of its key is looked at as if it were the first.
    pub(super) fn forget(&mut self, violation: &Violation) {
        let key = violation.key();
        self.at_first.retain(|kind| kind.key != key);
    }
}
