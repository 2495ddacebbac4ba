//! The three kinds of value that every field draws from, and their proportions.
//!
//! A field type lists what is realistic and what lies on a boundary, and says how to make rubbish; the
//! generators of `arbitrary` and `proptest` both follow from that. A discrepancy here is a field that
//! never takes a kind of value: `tests/it/generators.rs` counts them.

use arbitrary::Unstructured;
use proptest::prelude::*;

/// The kind of a generated value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What real traffic carries.
    Realistic,
    /// The edges of what the type can hold: empty, 0, 1, MAX, NUL, very long, invalid encodings.
    Boundary,
    /// Anything that the type can hold.
    Rubbish,
}

impl Kind {
    /// All kinds with their proportions in percent.
    pub const SHARES: [(Self, u32); 3] = [
        (Self::Realistic, 60),
        (Self::Boundary, 25),
        (Self::Rubbish, 15),
    ];

    fn draw(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        Ok(*weighted(&Self::SHARES, percent(u)?))
    }
}

/// A number below 100, evenly: `int_in_range` would take one byte and favour the small ones.
pub(super) fn percent(u: &mut Unstructured<'_>) -> arbitrary::Result<u32> {
    Ok(u32::from(u.arbitrary::<u16>()?) % 100)
}

/// The entry of a table of shares, which add up to 100, on which a number below 100 falls.
pub(crate) fn weighted<T>(table: &[(T, u32)], mut percent: u32) -> &T {
    for (entry, share) in table {
        if percent < *share {
            return entry;
        }
        percent -= share;
    }
    &table[table.len() - 1].0
}

/// A field's values, by kind.
pub trait Domain: Clone + PartialEq + std::fmt::Debug + 'static {
    /// What real traffic carries. The first value is what generation falls back to.
    fn realistic() -> &'static [Self];

    /// The edges.
    fn boundary() -> &'static [Self];

    /// Anything, from fuzzer bytes.
    ///
    /// # Errors
    /// Those of `arbitrary`.
    fn rubbish(u: &mut Unstructured<'_>) -> arbitrary::Result<Self>;

    /// Anything, as a strategy that shrinks.
    fn rubbish_strategy() -> BoxedStrategy<Self>;

    /// The kind of this value: that of the first list it is in.
    fn kind(&self) -> Kind {
        if Self::realistic().contains(self) {
            Kind::Realistic
        } else if Self::boundary().contains(self) {
            Kind::Boundary
        } else {
            Kind::Rubbish
        }
    }
}

/// Draws a value in the stated proportions.
pub(super) fn draw<T: Domain>(u: &mut Unstructured<'_>) -> arbitrary::Result<T> {
    match Kind::draw(u)? {
        Kind::Realistic => u.choose(T::realistic()).cloned(),
        Kind::Boundary => u.choose(T::boundary()).cloned(),
        Kind::Rubbish => T::rubbish(u),
    }
}

/// The strategy in the stated proportions. It shrinks towards realistic values.
pub(super) fn strategy<T: Domain>() -> BoxedStrategy<T> {
    let [realistic, boundary, rubbish] = Kind::SHARES.map(|(_, share)| share);
    prop_oneof![
        realistic => proptest::sample::select(T::realistic()),
        boundary => proptest::sample::select(T::boundary()),
        rubbish => T::rubbish_strategy(),
    ]
    .boxed()
}

/// Implements both generator traits for a [`Domain`].
macro_rules! generated {
    ($name:ident) => {
        impl<'a> arbitrary::Arbitrary<'a> for $name {
            fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
                $crate::wire::domain::draw(u)
            }
        }

        impl proptest::arbitrary::Arbitrary for $name {
            type Parameters = ();
            type Strategy = proptest::strategy::BoxedStrategy<Self>;

            fn arbitrary_with((): ()) -> Self::Strategy {
                $crate::wire::domain::strategy()
            }
        }
    };
}
pub(super) use generated;
