//! The finding: what broke, minimised.
//!
//! A discrepancy here is a finding whose case does not show it.

use crate::case::Case;
use crate::oracle::Violation;
use crate::wire::Request;

/// A violation and the smallest case that was found to show it.
#[derive(Clone, Debug)]
pub struct Finding<R = Request> {
    /// What is wrong.
    pub violation: Violation,
    /// The case that shows it, on a fresh session.
    pub case: Case<R>,
    /// How the case came about.
    pub origin: Origin,
    /// Whether shrinking left no smaller candidate.
    pub minimal: bool,
}

/// How a finding's case came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The case that was running, shrunk.
    Case,
    /// The cases that the session had seen, joined and shrunk: the case alone does not show it.
    History,
    /// The cases that the session had seen, joined, but they did not show it again.
    Unreproduced,
}

impl<R> Finding<R> {
    /// A name for the finding's file: the check and the function, without an ending.
    pub fn file_stem(&self) -> String {
        let Violation {
            check,
            function,
            class,
            ..
        } = &self.violation;
        let name = format!("{check}-{function}-{class}");
        let words = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        words.join("-")
    }
}
