//! Conversions between generated types and the wire types of each version.

/// A conversion to and from a wire type. The wire types of versions 1 and 2 are different types
/// with the same fields, so one list of fields serves both.
pub(super) trait Wire<U> {
    /// Returns the wire value.
    fn to_wire(self) -> U;

    /// Returns the generated value of a wire value, such as a function's dry-run sample.
    fn from_wire(wire: U) -> Self;
}

impl<T: Wire<U>, U> Wire<Option<U>> for Option<T> {
    fn to_wire(self) -> Option<U> {
        self.map(T::to_wire)
    }

    fn from_wire(wire: Option<U>) -> Self {
        wire.map(T::from_wire)
    }
}

/// Implements [`Wire`] for a newtype of the wire type itself.
macro_rules! newtype_wire {
    ($name:ident($inner:ty)) => {
        impl $crate::wire::convert::Wire<$inner> for $name {
            fn to_wire(self) -> $inner {
                self.0
            }

            fn from_wire(wire: $inner) -> Self {
                Self(wire)
            }
        }
    };
}

/// Implements [`Wire`] for a struct, field by field, for each of the named wire types, and
/// [`Fields`](crate::wire::fields::Fields).
macro_rules! struct_wire {
    ($name:ident: $($wire:path),+; $fields:tt) => {
        $(struct_wire!(@one $name: $wire; $fields);)+
        struct_wire!(@fields $name $fields);
    };
    (@fields $name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::wire::fields::Fields for $name {
            fn fields(&mut self, show: &mut dyn FnMut(&mut dyn $crate::wire::fields::Field)) {
                $($crate::wire::fields::Fields::fields(&mut self.$field, show);)*
            }

            fn parts(&mut self, show: &mut dyn FnMut($crate::wire::Part<'_>)) {
                $($crate::wire::fields::Fields::parts(&mut self.$field, show);)*
            }

            fn values(&self, path: &str, show: &mut dyn FnMut($crate::wire::FieldValue)) {
                $(
                    let path_of_it = format!("{path}/{}", stringify!($field));
                    $crate::wire::fields::Fields::values(&self.$field, &path_of_it, show);
                )*
            }
        }
    };
    (@one $name:ident: $wire:path; { $($field:ident),* $(,)? }) => {
        impl $crate::wire::convert::Wire<$wire> for $name {
            fn to_wire(self) -> $wire {
                $wire { $($field: $crate::wire::convert::Wire::to_wire(self.$field)),* }
            }

            fn from_wire(wire: $wire) -> Self {
                Self { $($field: $crate::wire::convert::Wire::from_wire(wire.$field)),* }
            }
        }
    };
}

/// Implements [`Wire`] for an enum, variant by variant, for each of the named wire types.
macro_rules! enum_wire {
    ($name:ident: $($wire:path),+; $variants:tt) => {
        $(enum_wire!(@one $name: $wire; $variants);)+
    };
    (@one $name:ident: $wire:path; { $($variant:ident { $($field:ident),* $(,)? }),* $(,)? }) => {
        impl $crate::wire::convert::Wire<$wire> for $name {
            fn to_wire(self) -> $wire {
                use $wire as Other;
                match self {
                    $(Self::$variant { $($field),* } => Other::$variant {
                        $($field: $crate::wire::convert::Wire::to_wire($field)),*
                    },)*
                }
            }

            fn from_wire(wire: $wire) -> Self {
                use $wire as Other;
                match wire {
                    $(Other::$variant { $($field),* } => Self::$variant {
                        $($field: $crate::wire::convert::Wire::from_wire($field)),*
                    },)*
                }
            }
        }
    };
}

pub(super) use {enum_wire, newtype_wire, struct_wire};
