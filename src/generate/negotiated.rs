//! The functions of a plan that a plugin negotiated.

use thiserror::Error;

use crate::wire::Vocabulary;

/// None of the functions that were asked for is one that the plugin negotiated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the plugin negotiated none of the functions asked for; it has: {}",
    or_none(negotiated)
)]
#[non_exhaustive]
pub struct NoFunctions {
    /// What the plugin negotiated.
    pub negotiated: Vec<&'static str>,
}

/// Those of these functions that the plugin negotiated, by their places.
pub(crate) fn of_negotiated<R: Vocabulary>(
    places: &[usize],
    negotiated: &[usize],
) -> Result<Vec<usize>, NoFunctions> {
    let left = places.iter().copied();
    let left: Vec<_> = left.filter(|place| negotiated.contains(place)).collect();
    if left.is_empty() {
        let label = |place: &usize| R::functions()[*place].label;
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
