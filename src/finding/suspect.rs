//! A violation before it is a finding: what led to it, and what is known already.

use std::collections::BTreeSet;

use super::Finding;
use super::known::KnownFindings;
use crate::case::Case;
use crate::check::Violation;

/// What became of a violation.
#[derive(Debug)]
pub enum Confirmation<R> {
    /// It is new.
    Finding(Box<Finding<R>>),
    /// It shows with nothing but the operations that a finding is known for.
    Duplicate,
    /// It does not show again, and chance had a say in it: the machine may have been busy. No death of a worker is that.
    NotReproduced,
}

/// A violation, and what led to it.
pub struct Suspect<'a, R> {
    /// What was found.
    pub violation: &'a Violation,
    /// The cases that the session had seen, that with the violation last.
    pub history: &'a [Case<R>],
    /// Whether chance had a say in it: the clock, or somebody else.
    pub flaky: bool,
}

/// What is known already.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// All findings.
    pub findings: KnownFindings,
    /// The effects that findings of the same check and class are known for.
    pub effects: Vec<BTreeSet<&'static str>>,
}
