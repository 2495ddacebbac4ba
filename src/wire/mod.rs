//! The vocabulary: what may be said to a plugin.
//!
//! One file for each wire function holds the generated form of its request: a plain struct of fields
//! that know what is realistic, what lies on a boundary, and what is rubbish. It converts into the wire
//! types of every version, which share one definition.
//!
//! [`Request`] is the enum of all of them. To fuzz a function of your own, give it a request type that
//! [`Generates`] it and an enum made by [`vocabulary!`](crate::vocabulary); `examples/own_function.rs`
//! does.
//!
//! A discrepancy here is a request that no case can say, or a case whose request is not what it says.

use std::fmt::Debug;

use cc_lb_plugin_wire::wire_function::{FallbackPolicy, WireFunction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

mod body;
mod build_signer;
mod common;
mod convert;
mod domain;
mod fields;
mod filter;
mod json;
mod list;
mod names;
mod normalize_error;
mod number;
mod observe;
mod on_unauthorized;
mod role;
mod shape;
mod sign;
mod text;

pub use body::{Body, HeaderValue};
pub use build_signer::BuildSigner;
pub use common::{
    CacheScore, Candidate, ClientRequest, ErrorCategory, Event, Header, Principal, Quota,
    RateLimit, ShapedRequest, Upstream, UpstreamError,
};
pub(crate) use domain::weighted;
pub use domain::{Domain, Kind};
pub use fields::Part;
pub use filter::Filter;
pub use json::{Json, JsonObject};
pub(crate) use json::{in_full, in_short, nesting, values};
pub use list::List;
pub use names::UnknownFunction;
pub use normalize_error::NormalizeError;
pub use number::{Confidence, Count, Share, SmallCount, Status};
pub use observe::Observe;
pub use on_unauthorized::OnUnauthorized;
pub use role::{FEW, FieldValue, Role};
pub(crate) use role::{Unusual, returns_state};
pub use shape::Shape;
pub use sign::Sign;
pub(crate) use text::form as text_form;
pub(crate) use text::repeated_bytes;
pub use text::*;

/// The key of the version in the JSON envelope of requests and answers.
pub const VERSION_KEY: &str = "_v";

/// A generated request of the wire function `F`.
///
/// `Serialize` and `Deserialize` are its form in case files and what shrinking works on; generation is
/// left to `arbitrary` and `proptest`.
pub trait Generates<F: WireFunction>: Clone + Debug + Serialize + DeserializeOwned {
    /// The wire function's own request.
    fn into_request(self) -> F::Request;

    /// The generated form of [`WireFunction::dry_run_request`]: what a request shrinks towards.
    fn dry_run() -> Self;

    /// The dry-run request with so many fields renewed, where the type knows how. Without it that goes by way of JSON, and
    /// takes longer.
    ///
    /// # Errors
    /// Those of `arbitrary`.
    fn near(fields: usize, u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Option<Self>> {
        let _ = (fields, u);
        Ok(None)
    }

    /// Shows each part of the request, where the type knows them; whether it does. Without it something is put into a
    /// request by way of JSON.
    fn parts(&mut self, show: &mut dyn FnMut(Part<'_>)) -> bool {
        let _ = show;
        false
    }

    /// Shows what a request says in each field that may be unusual, and what the field is for: see [`Role`]. Without it the
    /// request is JSON of whoever sends it.
    fn values(request: F::Request, show: &mut dyn FnMut(FieldValue)) {
        show(whole(serde_json::to_value(request).unwrap_or_default()));
    }
}

/// A request whose fields have no roles.
fn whole(value: Value) -> FieldValue {
    FieldValue {
        path: String::new(),
        role: Role::Json,
        value,
    }
}

/// A request with a place for the puppet's program.
pub trait Carrier {
    /// Puts the text into a string field of the request. The puppet finds it wherever it is.
    fn carry(&mut self, text: String);
}

/// Implements [`Generates`] for the wire functions whose request the type converts into.
macro_rules! generates {
    ($name:ident: $($function:path),+ $(,)?) => {$(
        impl $crate::wire::Generates<$function> for $name {
            fn into_request(self) -> <$function as cc_lb_plugin_wire::wire_function::WireFunction>::Request {
                $crate::wire::convert::Wire::to_wire(self)
            }

            fn dry_run() -> Self {
                use cc_lb_plugin_wire::wire_function::WireFunction;
                $crate::wire::convert::Wire::from_wire(<$function>::dry_run_request())
            }

            fn near(
                fields: usize,
                u: &mut arbitrary::Unstructured<'_>,
            ) -> arbitrary::Result<Option<Self>> {
                let dry_run = <Self as $crate::wire::Generates<$function>>::dry_run();
                $crate::wire::fields::with_some_renewed(dry_run, fields, u).map(Some)
            }

            fn parts(&mut self, show: &mut dyn FnMut($crate::wire::Part<'_>)) -> bool {
                $crate::wire::fields::Fields::parts(self, show);
                true
            }

            fn values(
                request: <$function as cc_lb_plugin_wire::wire_function::WireFunction>::Request,
                show: &mut dyn FnMut($crate::wire::FieldValue),
            ) {
                let request = <Self as $crate::wire::convert::Wire<_>>::from_wire(request);
                $crate::wire::fields::Fields::values(&request, "", show);
            }
        }
    )+};
}
use generates;

/// What the harness knows of one implementation of a wire function.
#[derive(Clone, Copy)]
pub struct Function {
    /// Unique among the vocabulary's functions, such as `shape_v2`: its name in cases and reports.
    pub label: &'static str,
    /// The name of the export, such as `shape`.
    pub name: &'static str,
    /// The policy that every failing call must give.
    pub fallback: FallbackPolicy,
    decode: fn(Map<String, Value>) -> Result<Value, serde_json::Error>,
    dry_run_response: fn() -> Result<Value, serde_json::Error>,
    /// What a request says, read from JSON; `None` where it is none.
    values: fn(Map<String, Value>) -> Option<Vec<FieldValue>>,
    dry_run_request: fn() -> Result<Value, serde_json::Error>,
}

impl Function {
    /// Describes `F`.
    pub const fn of<F: WireFunction>(label: &'static str) -> Self {
        Self {
            label,
            name: F::NAME,
            fallback: F::FALLBACK,
            decode: |object| {
                serde_json::to_value(serde_json::from_value::<F::Response>(object.into())?)
            },
            dry_run_response: || serde_json::to_value(F::dry_run_response()),
            values: |request| Some(vec![whole(request.into())]),
            dry_run_request: || serde_json::to_value(F::dry_run_request()),
        }
    }

    /// The same, whose requests have the roles that their generated form says.
    #[must_use]
    pub const fn with_roles<F: WireFunction, G: Generates<F>>(self) -> Self {
        Self {
            values: |request| {
                let request = serde_json::from_value(request.into()).ok()?;
                let mut all = Vec::new();
                G::values(request, &mut |value| all.push(value));
                Some(all)
            },
            ..self
        }
    }

    /// What of a guest's input no host sends. What is as in the dry-run sample is usual. `is_returned` says whether the
    /// plugin returned a state.
    pub(crate) fn unusual(
        &self,
        input: &[u8],
        is_returned: &dyn Fn(&Value) -> bool,
    ) -> Vec<Unusual> {
        let Ok(Value::Object(mut request)) = serde_json::from_slice(input) else {
            return vec![role::unreadable()];
        };
        request.remove(VERSION_KEY);
        let sample = match (self.dry_run_request)() {
            Ok(Value::Object(sample)) => (self.values)(sample).unwrap_or_default(),
            _ => Vec::new(),
        };
        let values = (self.values)(request.clone());
        // What does not read back, such as a float that JSON does not have, is judged as a whole.
        let values = values.unwrap_or_else(|| vec![whole(request.into())]);
        let others = values.iter().filter(|value| !sample.contains(value));
        others
            .filter_map(|value| value.unusual(is_returned))
            .collect()
    }

    /// Reads a JSON object without `_v` as the function's response, and writes that as JSON again.
    ///
    /// # Errors
    /// Where it is no such response.
    pub fn decode(&self, answer: Map<String, Value>) -> Result<Value, serde_json::Error> {
        (self.decode)(answer)
    }

    /// The function's dry-run response as JSON, without `_v`.
    ///
    /// # Errors
    /// Where it does not serialize.
    pub fn dry_run_response(&self) -> Result<Value, serde_json::Error> {
        (self.dry_run_response)()
    }
}

impl Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.label == other.label
    }
}

/// The requests that a campaign draws from. Implemented by [`vocabulary!`](crate::vocabulary).
pub trait Vocabulary: Clone + Debug + PartialEq + Serialize + DeserializeOwned + 'static {
    /// All functions, in the order in which reports show them.
    fn functions() -> &'static [Function];

    /// The places of the functions of these names, such as `shape`, and labels, such as `shape_v2`; of all where there is
    /// none.
    ///
    /// # Errors
    /// [`UnknownFunction`] where there is no function of a name.
    fn places(names: &[String]) -> Result<Vec<usize>, UnknownFunction> {
        names::places(Self::functions(), names)
    }

    /// The function that this request is for.
    fn function(&self) -> &'static Function {
        &Self::functions()[self.place()]
    }

    /// The dry-run request of a function, given by its place in [`Vocabulary::functions`].
    ///
    /// # Panics
    /// Where there is no such place.
    fn dry_run(place: usize) -> Self;

    /// An arbitrary request of that function.
    ///
    /// # Errors
    /// Those of `arbitrary`.
    ///
    /// # Panics
    /// Where there is no such place.
    fn arbitrary_of(place: usize, u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Self>;

    /// The dry-run request of that function with so many fields renewed; `None` where its type does not know how.
    ///
    /// # Errors
    /// Those of `arbitrary`.
    ///
    /// # Panics
    /// Where there is no such place.
    fn near_of(
        place: usize,
        fields: usize,
        u: &mut arbitrary::Unstructured<'_>,
    ) -> arbitrary::Result<Option<Self>>;

    /// Shows each part of the request; `false` where its type does not know them.
    fn parts(&mut self, show: &mut dyn FnMut(Part<'_>)) -> bool;

    /// An arbitrary request of that function, as a strategy that shrinks.
    ///
    /// # Panics
    /// Where there is no such place.
    fn strategy_of(place: usize) -> proptest::strategy::BoxedStrategy<Self>;

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
    fn place(&self) -> usize;
}

/// Does something with a request, whatever its wire function is: a session dispatches it.
pub trait Visitor {
    /// What comes of it.
    type Output;

    /// Does it.
    fn visit<F: WireFunction>(self, request: F::Request) -> Self::Output;
}

/// Makes the enum of a campaign's requests and implements [`Vocabulary`](crate::wire::Vocabulary) for it.
///
/// Each variant is `Name(RequestType) => WireFunctionType, "label"`; the request type implements
/// `arbitrary::Arbitrary`, `proptest::arbitrary::Arbitrary`, [`Carrier`](crate::wire::Carrier) and
/// [`Generates`](crate::wire::Generates) of the wire function.
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
                        $crate::wire::Function::of::<$function>($label).with_roles::<$function, $request>()
                    ),+];
                FUNCTIONS
            }

            fn place(&self) -> usize {
                let label = match self { $(Self::$variant(_) => $label),+ };
                let mut functions = Self::functions().iter();
                functions.position(|function| function.label == label).expect("every variant is a function")
            }

            fn dry_run(place: usize) -> Self {
                let make: &[fn() -> Self] = &[
                    $(|| Self::$variant(<$request as $crate::wire::Generates<$function>>::dry_run())),+
                ];
                make[place]()
            }

            fn arbitrary_of(
                place: usize,
                u: &mut $crate::reexport::arbitrary::Unstructured<'_>,
            ) -> $crate::reexport::arbitrary::Result<Self> {
                type Make<T> = fn(
                    &mut $crate::reexport::arbitrary::Unstructured<'_>,
                ) -> $crate::reexport::arbitrary::Result<T>;
                let make: &[Make<Self>] = &[$(|u| u.arbitrary().map(Self::$variant)),+];
                make[place](u)
            }

            fn near_of(
                place: usize,
                fields: usize,
                u: &mut $crate::reexport::arbitrary::Unstructured<'_>,
            ) -> $crate::reexport::arbitrary::Result<Option<Self>> {
                type Make<T> = fn(
                    usize,
                    &mut $crate::reexport::arbitrary::Unstructured<'_>,
                ) -> $crate::reexport::arbitrary::Result<Option<T>>;
                let make: &[Make<Self>] = &[$(|fields, u| {
                    let near = <$request as $crate::wire::Generates<$function>>::near(fields, u)?;
                    Ok(near.map(Self::$variant))
                }),+];
                make[place](fields, u)
            }

            fn parts(&mut self, show: &mut dyn FnMut($crate::wire::Part<'_>)) -> bool {
                match self {$(
                    Self::$variant(request) => {
                        <$request as $crate::wire::Generates<$function>>::parts(request, show)
                    }
                )+}
            }

            fn strategy_of(place: usize) -> $crate::reexport::proptest::strategy::BoxedStrategy<Self> {
                use $crate::reexport::proptest::strategy::Strategy as _;
                type Make<T> = fn() -> $crate::reexport::proptest::strategy::BoxedStrategy<T>;
                let make: &[Make<Self>] = &[$(|| {
                    $crate::reexport::proptest::arbitrary::any::<$request>().prop_map(Self::$variant).boxed()
                }),+];
                make[place]()
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

mod published {
    use super::*;
    use cc_lb_plugin_wire::{v1, v2, v3};

    vocabulary! {
        /// A request for any of the published implementations of the wire functions.
        pub enum Request {
            /// `shape`, version 1.
            ShapeV1(Shape) => v1::shape::ShapeFn, "shape_v1";
            /// `shape`, version 2.
            ShapeV2(Shape) => v2::shape::ShapeFn, "shape_v2";
            /// `normalize_error`, version 1.
            NormalizeErrorV1(NormalizeError) => v1::normalize_error::NormalizeErrorFn, "normalize_error_v1";
            /// `normalize_error`, version 2.
            NormalizeErrorV2(NormalizeError) => v2::normalize_error::NormalizeErrorFn, "normalize_error_v2";
            /// `build_signer`, version 1.
            BuildSignerV1(BuildSigner) => v1::build_signer::BuildSignerFn, "build_signer_v1";
            /// `build_signer`, version 2.
            BuildSignerV2(BuildSigner) => v2::build_signer::BuildSignerFn, "build_signer_v2";
            /// `sign`, version 1.
            SignV1(Sign) => v1::sign::SignFn, "sign_v1";
            /// `sign`, version 2.
            SignV2(Sign) => v2::sign::SignFn, "sign_v2";
            /// `on_unauthorized`, version 1.
            OnUnauthorizedV1(OnUnauthorized) => v1::on_unauthorized::OnUnauthorizedFn, "on_unauthorized_v1";
            /// `on_unauthorized`, version 2.
            OnUnauthorizedV2(OnUnauthorized) => v2::on_unauthorized::OnUnauthorizedFn, "on_unauthorized_v2";
            /// `observe`, version 1.
            ObserveV1(Observe) => v1::observe::ObserveFn, "observe_v1";
            /// `observe`, version 2.
            ObserveV2(Observe) => v2::observe::ObserveFn, "observe_v2";
            /// `filter`, version 3.
            FilterV3(Filter) => v3::filter::FilterFn, "filter_v3";
        }
    }
}
pub use published::Request;
