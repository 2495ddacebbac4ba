//! Decides which violations are located in the plugin.

use std::collections::{BTreeSet, HashSet};

use crate::case::{Case, tree};
use crate::check::Violation;
use crate::wire::Vocabulary;

/// The number of violations that are located right away.
const LOCATED_AT_FIRST: usize = 64;

/// After that, one more violation is located in this many blocks.
const LOCATED_ONCE_IN: u64 = 8;

/// Violations that most often have the same site: those with the same key, of cases that differ
/// from the dry-run sample in the same fields.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    key: String,
    fields: BTreeSet<String>,
}

/// Locating a violation takes as long as some hundred cases, and a plugin may show the same one
/// again and again. So violations take turns.
#[derive(Default)]
pub(super) struct LocatingTurns {
    /// The kinds that were located right away.
    at_first: HashSet<Kind>,
    /// The number of violations that were located in their turn.
    in_turn: u64,
}

impl LocatingTurns {
    /// Returns whether to locate the violation of this case, after this many blocks. A new kind
    /// is located right away; others wait for their turn.
    pub(super) fn take<R: Vocabulary>(
        &mut self,
        violation: &Violation,
        case: &Case<R>,
        blocks: u64,
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
        let is_its_turn = self.in_turn < blocks / LOCATED_ONCE_IN;
        self.in_turn += u64::from(is_its_turn);
        is_its_turn
    }

    /// Forgets a violation that did not reproduce: the next one with its key is treated as new.
    pub(super) fn forget(&mut self, violation: &Violation) {
        let key = violation.key();
        self.at_first.retain(|kind| kind.key != key);
    }
}
