//! The three classes of values that every field draws from, and their shares.
//!
//! A field type lists its realistic and its boundary values and generates arbitrary ones; the
//! generators of `arbitrary` and `proptest` follow from that.
//!
//! Bugs in this module look like a field that never takes a value of some class;
//! `tests/it/generators.rs` counts them.

use arbitrary::Unstructured;
use proptest::prelude::*;

/// The class of a generated value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueClass {
    /// A value from real traffic.
    Realistic,
    /// A value on the edge of what the type can hold: empty, 0, 1, MAX, NUL, very long, an invalid
    /// encoding.
    Boundary,
    /// Any value that the type can hold.
    Arbitrary,
}

impl ValueClass {
    /// All classes with their shares in percent.
    pub const SHARES: [(Self, u32); 3] = [
        (Self::Realistic, 60),
        (Self::Boundary, 25),
        (Self::Arbitrary, 15),
    ];

    fn draw(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        Ok(*weighted(&Self::SHARES, percent(u)?))
    }
}

/// Returns a uniform number below 100. `int_in_range` would take one byte and favour small numbers.
pub(super) fn percent(u: &mut Unstructured<'_>) -> arbitrary::Result<u32> {
    Ok(u32::from(u.arbitrary::<u16>()?) % 100)
}

/// Returns the entry of a table of shares on which a number below 100 falls. The shares add up to
/// 100.
pub(crate) fn weighted<T>(table: &[(T, u32)], mut percent: u32) -> &T {
    for (entry, share) in table {
        if percent < *share {
            return entry;
        }
        percent -= share;
    }
    &table[table.len() - 1].0
}

/// The values of a field, by class.
pub trait FieldDomain: Clone + PartialEq + std::fmt::Debug + 'static {
    /// Returns values from real traffic. Without fuzzer bytes, generation returns the first.
    fn realistic() -> &'static [Self];

    /// Returns values on the edges of what the type can hold.
    fn boundary() -> &'static [Self];

    /// Returns an arbitrary value made of fuzzer bytes.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    fn arbitrary_value(u: &mut Unstructured<'_>) -> arbitrary::Result<Self>;

    /// Returns a strategy of arbitrary values that shrinks.
    fn arbitrary_strategy() -> BoxedStrategy<Self>;

    /// Returns the class of this value: that of the first list that contains it, else
    /// [`ValueClass::Arbitrary`].
    fn kind(&self) -> ValueClass {
        if Self::realistic().contains(self) {
            ValueClass::Realistic
        } else if Self::boundary().contains(self) {
            ValueClass::Boundary
        } else {
            ValueClass::Arbitrary
        }
    }
}

/// Draws a value in the shares of [`ValueClass::SHARES`].
pub(super) fn draw<T: FieldDomain>(u: &mut Unstructured<'_>) -> arbitrary::Result<T> {
    match ValueClass::draw(u)? {
        ValueClass::Realistic => u.choose(T::realistic()).cloned(),
        ValueClass::Boundary => u.choose(T::boundary()).cloned(),
        ValueClass::Arbitrary => T::arbitrary_value(u),
    }
}

/// Returns the strategy in the shares of [`ValueClass::SHARES`]. It shrinks towards realistic
/// values.
pub(super) fn strategy<T: FieldDomain>() -> BoxedStrategy<T> {
    let [realistic, boundary, arbitrary_value] = ValueClass::SHARES.map(|(_, share)| share);
    prop_oneof![
        realistic => proptest::sample::select(T::realistic()),
        boundary => proptest::sample::select(T::boundary()),
        arbitrary_value => T::arbitrary_strategy(),
    ]
    .boxed()
}

/// Implements both generator traits for a [`FieldDomain`].
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
