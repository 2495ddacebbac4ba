//! What a session saw: the cases that ran on it, and the calls that were made beside their steps.

use crate::case::{Case, Depth, Step};
use crate::wire::Vocabulary;

/// A case as the session saw it that went on behind it: with the healthy calls that were made at its end. A history without
/// these is another one.
pub(crate) fn with_trailing_probes<R: Vocabulary>(mut case: Case<R>, depth: Depth) -> Case<R> {
    if depth != Depth::Light {
        // Those that were not negotiated come to nothing, and go first when the case is shrunk.
        let functions = 0..R::functions().len();
        case.steps.extend(functions.map(Step::healthy));
    }
    case
}

/// The last steps of the cases of a session as one.
pub(crate) fn joined<R: Vocabulary>(history: &[Case<R>], most: usize) -> Case<R> {
    let steps = history.iter().flat_map(|case| case.steps.iter().cloned());
    let all = Case {
        steps: steps.collect(),
    };
    all.last(most)
}
