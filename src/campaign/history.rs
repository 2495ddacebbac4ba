//! What a session saw: the cases that ran on it, and the calls that were made beside their steps.

use crate::case::{Case, Step};
use crate::observation::Depth;
use crate::wire::Vocabulary;

/// A case as the session saw it that went on behind it: with the healthy calls that were made at its end. A history without
/// these is another one.
pub(super) fn as_seen<R: Vocabulary>(mut case: Case<R>, depth: Depth) -> Case<R> {
    if depth != Depth::Light {
        // Those that were not negotiated come to nothing, and go first when the case is shrunk.
        let functions = 0..R::functions().len();
        case.steps.extend(functions.map(Step::healthy));
    }
    case
}
