//! Restriction of a plan to the functions that a plugin negotiated.

use thiserror::Error;

use crate::wire::Vocabulary;

/// The plugin negotiated none of the requested functions.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the plugin negotiated none of the functions asked for; it has: {}",
    or_none(negotiated)
)]
#[non_exhaustive]
pub struct NoFunctions {
    /// The labels of the functions that the plugin negotiated.
    pub negotiated: Vec<&'static str>,
}

/// Returns those of these functions that the plugin negotiated, all given by index.
pub(crate) fn of_negotiated<R: Vocabulary>(
    indices: &[usize],
    negotiated: &[usize],
) -> Result<Vec<usize>, NoFunctions> {
    let left = indices.iter().copied();
    let left: Vec<_> = left.filter(|index| negotiated.contains(index)).collect();
    if left.is_empty() {
        let label = |index: &usize| R::functions()[*index].label;
        return Err(NoFunctions {
            negotiated: negotiated.iter().map(label).collect(),
        });
    }
    Ok(left)
}

pub(crate) fn or_none(negotiated: &[&str]) -> String {
    match negotiated {
        [] => "none at all".to_owned(),
        some => some.join(", "),
    }
}
