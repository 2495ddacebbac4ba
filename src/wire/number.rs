//! Numeric fields.
//!
//! A float that does not survive a round trip through JSON, such as NaN, is a string in case files.

use std::sync::LazyLock;

use arbitrary::Unstructured;
use proptest::prelude::*;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::convert::{Wire, newtype_wire};
use super::domain::{FieldDomain, generated};

macro_rules! number_fields {
    ($($(#[$doc:meta])* $name:ident($inner:ty $(, $serde:literal)?) { realistic: $real:expr, boundary: $edge:expr })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Serialize, Deserialize)]
        pub struct $name($(#[serde(with = $serde)])? pub $inner);

        impl FieldDomain for $name {
            fn realistic() -> &'static [Self] {
                static VALUES: LazyLock<Vec<$name>> = LazyLock::new(|| $real.map($name).into());
                &VALUES
            }

            fn boundary() -> &'static [Self] {
                static VALUES: LazyLock<Vec<$name>> = LazyLock::new(|| $edge.map($name).into());
                &VALUES
            }

            fn arbitrary_value(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
                u.arbitrary().map(Self)
            }

            fn arbitrary_strategy() -> BoxedStrategy<Self> {
                any::<$inner>().prop_map(Self).boxed()
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                // Compares bits, so that a NaN equals itself.
                self.0.to_ne_bytes() == other.0.to_ne_bytes()
            }
        }

        generated!($name);

        newtype_wire!($name($inner));

        impl $crate::wire::fields::Fields for $name {}
    )+};
}

number_fields! {
    /// An HTTP status code.
    Status(u16) {
        realistic: [500, 401, 200, 400, 403, 429, 529],
        boundary: [0, 1, 99, 100, 599, 600, 999, u16::MAX]
    }

    /// A count, a size, or a time in seconds or milliseconds.
    Count(u64) {
        realistic: [20, 1_000, 40_000, 1_767_225_600, 1_767_225_600_000],
        boundary: [
            0, 1, i32::MAX as u64, u32::MAX as u64, 1 << 32, 1 << 53, (1 << 53) + 1,
            i64::MAX as u64, 1 << 63, u64::MAX,
        ]
    }

    /// A 32-bit count, such as a number of tokens.
    SmallCount(u32) {
        realistic: [2, 512, 180_000],
        boundary: [0, 1, i32::MAX as u32, 1 << 31, u32::MAX]
    }

    /// A share; realistic values are between 0 and 1.
    Share(f64, "double") {
        realistic: [0.5, 0.25, 0.95, 0.123_456_789],
        boundary: [
            0.0, -0.0, 1.0, -1.0, f64::MIN_POSITIVE, 5e-324, f64::EPSILON,
            f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY, f64::NAN,
            9_007_199_254_740_993.0, 0.1, 1e-7,
        ]
    }

    /// A confidence; realistic values are between 0 and 1.
    Confidence(f32, "single") {
        realistic: [0.5, 0.85, 0.95],
        boundary: [
            0.0, -0.0, 1.0, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY,
            f32::NEG_INFINITY, f32::NAN, 0.1,
        ]
    }
}

impl Wire<usize> for Count {
    fn to_wire(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn from_wire(wire: usize) -> Self {
        Self(wire as u64)
    }
}

impl Wire<bool> for bool {
    fn to_wire(self) -> bool {
        self
    }

    fn from_wire(wire: bool) -> Self {
        wire
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Readable<T> {
    Number(T),
    Text(String),
}

macro_rules! float_form {
    ($module:ident, $float:ty) => {
        /// The form of this float in case files.
        mod $module {
            use super::*;

            pub(super) fn serialize<S: Serializer>(x: &$float, s: S) -> Result<S::Ok, S::Error> {
                // The JSON parser may be off by one bit; such a number is written as a string.
                let back = serde_json::to_string(x)
                    .ok()
                    .and_then(|text| serde_json::from_str::<$float>(&text).ok());
                let exact = back.is_some_and(|back| back.to_bits() == x.to_bits());
                if exact || !s.is_human_readable() {
                    x.serialize(s)
                } else {
                    x.to_string().serialize(s)
                }
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<$float, D::Error> {
                if !d.is_human_readable() {
                    return <$float>::deserialize(d);
                }
                match Readable::<$float>::deserialize(d)? {
                    Readable::Number(x) => Ok(x),
                    Readable::Text(text) => text.parse().map_err(D::Error::custom),
                }
            }
        }
    };
}
float_form!(double, f64);
float_form!(single, f32);
