//! Corpora that stay small: which cases reach what no other does.
//!
//! A discrepancy here is a corpus that loses a feature, or keeps a case that adds none.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

/// A case of a corpus: its size, such as the bytes of its file, and the features that it reaches.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Of cases that reach the same the smaller one is kept.
    pub size: usize,
    /// See [`features`](crate::observation::features).
    pub features: BTreeSet<String>,
}

/// How many cases of a corpus reach each feature.
pub fn reached(corpus: &[impl Borrow<Entry>]) -> BTreeMap<&str, usize> {
    let mut reached = BTreeMap::new();
    for feature in corpus.iter().flat_map(|entry| &entry.borrow().features) {
        *reached.entry(feature.as_str()).or_default() += 1;
    }
    reached
}

/// The places of the cases that a corpus does not need: without them it reaches the same, and every one that is left
/// reaches something that no other does.
pub fn redundant(corpus: &[impl Borrow<Entry>]) -> Vec<usize> {
    let mut reached = reached(corpus);
    let mut places: Vec<usize> = (0..corpus.len()).collect();
    // The largest goes first; of equals the last.
    places.sort_by_key(|place| (corpus[*place].borrow().size, *place));
    let mut redundant = Vec::new();
    for place in places.into_iter().rev() {
        let features = &corpus[place].borrow().features;
        if features.iter().all(|feature| reached[feature.as_str()] > 1) {
            for feature in features {
                reached
                    .entry(feature.as_str())
                    .and_modify(|cases| *cases -= 1);
            }
            redundant.push(place);
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
            let left: Vec<_> = (0..corpus.len()).filter(|place| !gone.contains(place)).collect();
            let union = |without: Option<usize>| -> BTreeSet<&String> {
                let left = left.iter().filter(|place| Some(**place) != without);
                left.flat_map(|place| &corpus[*place].features).collect()
            };
            let all: BTreeSet<_> = corpus.iter().flat_map(|entry| &entry.features).collect();
            prop_assert_eq!(&union(None), &all);
            for place in &left {
                prop_assert!(union(Some(*place)).len() < all.len());
            }
        }
    }
}
