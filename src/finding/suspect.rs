//! A violation to confirm, with its history and what is known already.

use std::collections::BTreeSet;

use super::Finding;
use super::deduplicate::KnownFindings;
use crate::case::Case;
use crate::check::Violation;

/// The result of confirming a violation.
#[derive(Debug)]
pub enum Confirmation<R> {
    /// The violation is a new finding.
    Finding(Box<Finding<R>>),
    /// The violation needs only operations that a reported finding needs.
    Duplicate,
    /// The violation does not reproduce, and timing may be the cause. Deaths of workers never have
    /// this result.
    NotReproduced,
}

/// A violation to confirm, with its history.
pub struct Suspect<'a, R> {
    /// The violation.
    pub violation: &'a Violation,
    /// The cases that the session had run, the one with the violation last.
    pub history: &'a [Case<R>],
    /// Whether timing may be the cause: a time limit was hit, or something else killed the worker.
    pub flaky: bool,
}

/// What is known already.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The reported findings.
    pub findings: KnownFindings,
    /// The effects of reported findings with the same check and class.
    pub effects: Vec<BTreeSet<&'static str>>,
}
