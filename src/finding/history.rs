//! The history of a session: the cases that ran on it, with the healthy calls after their steps.

use crate::case::{Case, Depth, Step};
use crate::wire::Vocabulary;

/// Returns a case with the healthy calls that were made at its end, as the session saw it. A
/// history without these may behave differently.
pub(crate) fn with_trailing_probes<R: Vocabulary>(mut case: Case<R>, depth: Depth) -> Case<R> {
    if depth != Depth::Light {
        // Calls that were not negotiated do nothing, and shrinking removes them first.
        let functions = 0..R::functions().len();
        case.steps.extend(functions.map(Step::healthy));
    }
    case
}

/// Joins the last steps of a session's cases into one case.
pub(crate) fn joined<R: Vocabulary>(history: &[Case<R>], most: usize) -> Case<R> {
    let steps = history.iter().flat_map(|case| case.steps.iter().cloned());
    let all = Case {
        steps: steps.collect(),
    };
    all.last(most)
}
