//! Lists: empty, one item, a few, many.

use arbitrary::{Arbitrary, Unstructured};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::convert::Wire;
use super::domain::{percent, weighted};

/// The ranges of generated lengths, each with its share in percent.
const LENGTHS: [(std::ops::RangeInclusive<usize>, u32); 4] =
    [(0..=0, 35), (1..=1, 30), (2..=4, 30), (5..=32, 5)];

/// A list of generated values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct List<T>(pub Vec<T>);

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for List<T> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let lengths = weighted(&LENGTHS, percent(u)?);
        let length = u.int_in_range(lengths.clone())?;
        let items = (0..length).map(|_| u.arbitrary());
        Ok(Self(items.collect::<arbitrary::Result<_>>()?))
    }
}

impl<T: proptest::arbitrary::Arbitrary + 'static> proptest::arbitrary::Arbitrary for List<T> {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        let lengths = LENGTHS.map(|(range, share)| {
            let list = proptest::collection::vec(any::<T>(), range);
            (share, list.prop_map(Self).boxed())
        });
        proptest::strategy::Union::new_weighted(lengths.into()).boxed()
    }
}

impl<T: Wire<U>, U> Wire<Vec<U>> for List<T> {
    fn to_wire(self) -> Vec<U> {
        self.0.into_iter().map(T::to_wire).collect()
    }

    fn from_wire(wire: Vec<U>) -> Self {
        Self(wire.into_iter().map(T::from_wire).collect())
    }
}
