//! The enum of a campaign's requests, which covers all functions.

use std::fmt::Debug;

use cc_lb_plugin_wire::wire_function::WireFunction;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fields::Part;
use super::function::Function;
use super::function_names::{self, UnknownFunction};

/// The requests that a campaign draws from. [`vocabulary!`](crate::vocabulary) implements it.
pub trait Vocabulary: Clone + Debug + PartialEq + Serialize + DeserializeOwned + 'static {
    /// Returns all functions, in the order of reports.
    fn functions() -> &'static [Function];

    /// Returns the indices of the functions with these names, such as `shape`, or labels, such as
    /// `shape_v2`; of all functions if `names` is empty.
    ///
    /// # Errors
    /// Returns [`UnknownFunction`] if a name matches no function.
    fn function_indices(names: &[String]) -> Result<Vec<usize>, UnknownFunction> {
        function_names::function_indices(Self::functions(), names)
    }

    /// Returns the function that this request is for.
    fn function(&self) -> &'static Function {
        &Self::functions()[self.function_index()]
    }

    /// Returns the dry-run request of the function at an index of [`Vocabulary::functions`].
    ///
    /// # Panics
    /// Panics if the index is out of range.
    fn dry_run(index: usize) -> Self;

    /// Returns an arbitrary request of the function at an index of [`Vocabulary::functions`].
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    ///
    /// # Panics
    /// Panics if the index is out of range.
    fn arbitrary_of(index: usize, u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Self>;

    /// Returns the dry-run request of the function at an index with up to `fields` of its fields
    /// renewed, or `None` if its type does not implement that.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    ///
    /// # Panics
    /// Panics if the index is out of range.
    fn mutated_sample_of(
        index: usize,
        fields: usize,
        u: &mut arbitrary::Unstructured<'_>,
    ) -> arbitrary::Result<Option<Self>>;

    /// Calls `show` with each part of the request and returns `true`, or returns `false` if its
    /// type does not implement that.
    fn parts(&mut self, show: &mut dyn FnMut(Part<'_>)) -> bool;

    /// Returns a strategy of arbitrary requests of the function at an index. It shrinks.
    ///
    /// # Panics
    /// Panics if the index is out of range.
    fn strategy_of(index: usize) -> proptest::strategy::BoxedStrategy<Self>;

    /// Puts the text, a puppet program, into a string field.
    fn carry(&mut self, text: String);

    /// Returns the JSON that the guest must receive, without `_v`.
    ///
    /// # Errors
    /// Returns the error of `serde_json` if the request does not serialize.
    fn to_json(&self) -> Result<Value, serde_json::Error>;

    /// Calls the visitor with the wire function's own request.
    fn visit<V: Visitor>(self, visitor: V) -> V::Output;

    /// Returns the index of the request's function in [`Vocabulary::functions`].
    fn function_index(&self) -> usize;
}

/// A generic operation on a request of any wire function, such as its dispatch by a session.
pub trait Visitor {
    /// The result of the operation.
    type Output;

    /// Performs the operation.
    fn visit<F: WireFunction>(self, request: F::Request) -> Self::Output;
}

/// Declares the enum of a campaign's requests and implements
/// [`Vocabulary`](crate::wire::vocabulary::Vocabulary) for it.
///
/// Each variant is `Name(RequestType) => WireFunctionType, "label"`. The request type implements
/// `arbitrary::Arbitrary`, `proptest::arbitrary::Arbitrary`,
/// [`Carrier`](crate::wire::generates::Carrier) and
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
                    let sample = <$request as $crate::wire::Generates<$function>>::mutated_sample(fields, u)?;
                    Ok(sample.map(Self::$variant))
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
                use $crate::reexport::proptest::strategy::Strategy as _;
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
