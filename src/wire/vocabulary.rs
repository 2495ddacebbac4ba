//! The requests of a campaign: one enum of all functions.

use std::fmt::Debug;

use cc_lb_plugin_wire::wire_function::WireFunction;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fields::Part;
use super::function::Function;
use super::function_names::{self, UnknownFunction};

/// The requests that a campaign draws from. Implemented by [`vocabulary!`](crate::vocabulary).
pub trait Vocabulary: Clone + Debug + PartialEq + Serialize + DeserializeOwned + 'static {
    /// All functions, in the order in which reports show them.
    fn functions() -> &'static [Function];

    /// The places of the functions of these names, such as `shape`, and labels, such as `shape_v2`; of all where there is
    /// none.
    ///
    /// # Errors
    /// [`UnknownFunction`] where there is no function of a name.
    fn function_indices(names: &[String]) -> Result<Vec<usize>, UnknownFunction> {
        function_names::function_indices(Self::functions(), names)
    }

    /// The function that this request is for.
    fn function(&self) -> &'static Function {
        &Self::functions()[self.function_index()]
    }

    /// The dry-run request of a function, given by its place in [`Vocabulary::functions`].
    ///
    /// # Panics
    /// Where there is no such place.
    fn dry_run(index: usize) -> Self;

    /// An arbitrary request of that function.
    ///
    /// # Errors
    /// Those of `arbitrary`.
    ///
    /// # Panics
    /// Where there is no such place.
    fn arbitrary_of(index: usize, u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Self>;

    /// The dry-run request of that function with so many fields renewed; `None` where its type does not know how.
    ///
    /// # Errors
    /// Those of `arbitrary`.
    ///
    /// # Panics
    /// Where there is no such place.
    fn mutated_sample_of(
        index: usize,
        fields: usize,
        u: &mut arbitrary::Unstructured<'_>,
    ) -> arbitrary::Result<Option<Self>>;

    /// Shows each part of the request; `false` where its type does not know them.
    fn parts(&mut self, show: &mut dyn FnMut(Part<'_>)) -> bool;

    /// An arbitrary request of that function, as a strategy that shrinks.
    ///
    /// # Panics
    /// Where there is no such place.
    fn strategy_of(index: usize) -> proptest::strategy::BoxedStrategy<Self>;

    /// Puts the text into a string field.
    fn carry(&mut self, text: String);

    /// The JSON that the guest must get, but for `_v`.
    ///
    /// # Errors
    /// Where the request does not serialize.
    fn to_json(&self) -> Result<Value, serde_json::Error>;

    /// Hands the wire function's own request to a visitor.
    fn visit<V: Visitor>(self, visitor: V) -> V::Output;

    /// The place of the request's function in [`Vocabulary::functions`].
    fn function_index(&self) -> usize;
}

/// Does something with a request, whatever its wire function is: a session dispatches it.
pub trait Visitor {
    /// What comes of it.
    type Output;

    /// Does it.
    fn visit<F: WireFunction>(self, request: F::Request) -> Self::Output;
}

/// Makes the enum of a campaign's requests and implements [`Vocabulary`](crate::wire::vocabulary::Vocabulary) for it.
///
/// Each variant is `Name(RequestType) => WireFunctionType, "label"`; the request type implements
/// `arbitrary::Arbitrary`, `proptest::arbitrary::Arbitrary`, [`Carrier`](crate::wire::generates::Carrier) and
/// [`Generates`](crate::wire::generates::Generates) of the wire function.
#[macro_export]
macro_rules! vocabulary {
    ($(#[$doc:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident($request:ty) => $function:path, $label:literal);+ $(;)?
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, $crate::reexport::serde::Serialize, $crate::reexport::serde::Deserialize)]
        #[serde(crate = "cc_lb_fuzz::reexport::serde")]
        $vis enum $name {
            $($(#[$variant_doc])* #[serde(rename = $label)] $variant($request)),+
        }

        impl $crate::wire::Vocabulary for $name {
            fn functions() -> &'static [$crate::wire::Function] {
                const FUNCTIONS: &[$crate::wire::Function] =
                    &[$(
                        $crate::wire::Function::new::<$function>($label).with_roles::<$function, $request>()
                    ),+];
                FUNCTIONS
            }

            fn function_index(&self) -> usize {
                let label = match self { $(Self::$variant(_) => $label),+ };
                let mut functions = Self::functions().iter();
                functions.position(|function| function.label == label).expect("every variant is a function")
            }

            fn dry_run(index: usize) -> Self {
                let make: &[fn() -> Self] = &[
                    $(|| Self::$variant(<$request as $crate::wire::Generates<$function>>::dry_run())),+
                ];
                make[index]()
            }

            fn arbitrary_of(
                index: usize,
                u: &mut $crate::reexport::arbitrary::Unstructured<'_>,
            ) -> $crate::reexport::arbitrary::Result<Self> {
                type Make<T> = fn(
                    &mut $crate::reexport::arbitrary::Unstructured<'_>,
                ) -> $crate::reexport::arbitrary::Result<T>;
                let make: &[Make<Self>] = &[$(|u| u.arbitrary().map(Self::$variant)),+];
                make[index](u)
            }

            fn mutated_sample_of(
                index: usize,
                fields: usize,
                u: &mut $crate::reexport::arbitrary::Unstructured<'_>,
            ) -> $crate::reexport::arbitrary::Result<Option<Self>> {
                type Make<T> = fn(
                    usize,
                    &mut $crate::reexport::arbitrary::Unstructured<'_>,
                ) -> $crate::reexport::arbitrary::Result<Option<T>>;
                let make: &[Make<Self>] = &[$(|fields, u| {
                    let near = <$request as $crate::wire::Generates<$function>>::mutated_sample(fields, u)?;
                    Ok(near.map(Self::$variant))
                }),+];
                make[index](fields, u)
            }

            fn parts(&mut self, show: &mut dyn FnMut($crate::wire::Part<'_>)) -> bool {
                match self {$(
                    Self::$variant(request) => {
                        <$request as $crate::wire::Generates<$function>>::parts(request, show)
                    }
                )+}
            }

            fn strategy_of(index: usize) -> $crate::reexport::proptest::strategy::BoxedStrategy<Self> {
                use crate::reexport::proptest::strategy::Strategy as _;
                type Make<T> = fn() -> $crate::reexport::proptest::strategy::BoxedStrategy<T>;
                let make: &[Make<Self>] = &[$(|| {
                    $crate::reexport::proptest::arbitrary::any::<$request>().prop_map(Self::$variant).boxed()
                }),+];
                make[index]()
            }

            fn carry(&mut self, text: String) {
                match self { $(Self::$variant(request) => $crate::wire::Carrier::carry(request, text)),+ }
            }

            fn to_json(
                &self,
            ) -> Result<$crate::reexport::serde_json::Value, $crate::reexport::serde_json::Error> {
                match self {$(
                    Self::$variant(request) => $crate::reexport::serde_json::to_value(
                        <$request as $crate::wire::Generates<$function>>::into_request(request.clone()),
                    ),
                )+}
            }

            fn visit<V: $crate::wire::Visitor>(self, visitor: V) -> V::Output {
                match self {$(
                    Self::$variant(request) => visitor.visit::<$function>(
                        <$request as $crate::wire::Generates<$function>>::into_request(request),
                    ),
                )+}
            }
        }
    };
}
