//! Minimization of corpora: finds the cases that reach features which no other case reaches.
//!
//! Bugs in this module look like a corpus that loses a feature, or keeps a case that adds none.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

/// A case of a corpus: its size and its features.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The size, such as the bytes of its file. Of cases with the same features, the smallest is
    /// kept.
    pub size: usize,
    /// The features: see [`features`](crate::record::features).
    pub features: BTreeSet<String>,
}

/// Returns the number of cases that reach each feature.
pub fn reached(corpus: &[impl Borrow<Entry>]) -> BTreeMap<&str, usize> {
    let mut reached = BTreeMap::new();
    for feature in corpus.iter().flat_map(|entry| &entry.borrow().features) {
        *reached.entry(feature.as_str()).or_default() += 1;
    }
    reached
}

/// Returns the indices of the cases that a corpus does not need: without them it reaches the same
/// features, and each remaining case reaches one that no other does.
pub fn redundant(corpus: &[impl Borrow<Entry>]) -> Vec<usize> {
    let mut reached = reached(corpus);
    let mut indices: Vec<usize> = (0..corpus.len()).collect();
    // The largest goes first; of equals, the last.
    indices.sort_by_key(|index| (corpus[*index].borrow().size, *index));
    let mut redundant = Vec::new();
    for index in indices.into_iter().rev() {
        let features = &corpus[index].borrow().features;
        if features.iter().all(|feature| reached[feature.as_str()] > 1) {
            for feature in features {
                reached
                    .entry(feature.as_str())
                    .and_modify(|cases| *cases -= 1);
            }
            redundant.push(index);
        }
    }
    redundant.sort_unstable();
    redundant
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(size: usize, features: &[u8]) -> Entry {
        let features = features.iter().map(u8::to_string).collect();
        Entry { size, features }
    }

    #[test]
    fn of_cases_that_reach_the_same_the_smallest_is_kept() {
        let corpus = [
            entry(3, &[1]),
            entry(2, &[1]),
            entry(2, &[1]),
            entry(9, &[1, 2]),
        ];
        assert_eq!(redundant(&corpus), [0, 1, 2]);
        assert_eq!(redundant(&corpus[..3]), [0, 2]);
        assert_eq!(redundant(&[entry(1, &[])]), [0]);
    }

    proptest! {
        #[test]
        fn what_is_left_reaches_the_same_and_each_something_of_its_own(
            corpus in proptest::collection::vec((0..9usize, proptest::collection::vec(0..12u8, 0..5)), 0..12)
        ) {
            let corpus: Vec<_> = corpus.iter().map(|(size, features)| entry(*size, features)).collect();
            let gone = redundant(&corpus);
            let left: Vec<_> = (0..corpus.len()).filter(|index| !gone.contains(index)).collect();
            let union = |without: Option<usize>| -> BTreeSet<&String> {
                let left = left.iter().filter(|index| Some(**index) != without);
                left.flat_map(|index| &corpus[*index].features).collect()
            };
            let all: BTreeSet<_> = corpus.iter().flat_map(|entry| &entry.features).collect();
            prop_assert_eq!(&union(None), &all);
            for index in &left {
                prop_assert!(union(Some(*index)).len() < all.len());
            }
        }
    }
}
