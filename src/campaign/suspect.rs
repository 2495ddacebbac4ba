//! A violation before it is a finding: what led to it, and what is known already.

use std::collections::BTreeSet;

use crate::case::Case;
use crate::finding::{Finding, Told};
use crate::oracle::Violation;
use crate::wire::Vocabulary;

/// What became of a violation.
#[derive(Debug)]
pub enum Confirmed<R> {
    /// It is new.
    Finding(Box<Finding<R>>),
    /// It shows with nothing but the operations that a finding is known for.
    Known,
    /// It does not show again, and chance had a say in it: the machine may have been busy. No death of a worker is that.
    No,
}

/// A violation, and what led to it.
pub struct Suspect<'a, R> {
    /// What was found.
    pub violation: &'a Violation,
    /// The cases that the session had seen, that with the violation last.
    pub history: &'a [Case<R>],
    /// Whether chance had a say in it: the clock, or somebody else.
    pub by_chance: bool,
}

/// What is known already.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// All findings.
    pub told: Told,
    /// The effects that findings of the same check and class are known for.
    pub effects: Vec<BTreeSet<&'static str>>,
}

/// The last steps of the cases of a session as one.
pub(super) fn joined<R: Vocabulary>(history: &[Case<R>], most: usize) -> Case<R> {
    let steps = history.iter().flat_map(|case| case.steps.iter().cloned());
    let all = Case {
        steps: steps.collect(),
    };
    all.last(most)
}
