//! The trait of the generated form of a request.

use std::fmt::Debug;

use cc_lb_plugin_wire::wire_function::WireFunction;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fields::Part;
use super::role::{FieldValue, whole};

/// The key of the version in the JSON of requests and answers.
pub const VERSION_KEY: &str = "_v";

/// The generated form of the requests of the wire function `F`.
///
/// `Serialize` and `Deserialize` define the form in case files, which shrinking works on too.
/// `arbitrary` and `proptest` generate values.
pub trait Generates<F: WireFunction>: Clone + Debug + Serialize + DeserializeOwned {
    /// Converts into the wire function's own request.
    fn into_request(self) -> F::Request;

    /// Returns the generated form of [`WireFunction::dry_run_request`]: the request that others
    /// shrink towards.
    fn dry_run() -> Self;

    /// Returns the dry-run request with up to `fields` of its fields renewed, or `None` if the type
    /// does not implement this. Then the caller mutates its JSON, which takes longer.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    fn mutated_sample(
        fields: usize,
        u: &mut arbitrary::Unstructured<'_>,
    ) -> arbitrary::Result<Option<Self>> {
        let _ = (fields, u);
        Ok(None)
    }

    /// Returns an arbitrary response for the puppet to answer with, or `None` if the type does not
    /// implement this. Then the puppet answers with mutations of the dry-run response.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    fn response(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Option<F::Response>> {
        let _ = u;
        Ok(None)
    }

    /// Calls `show` with each part of the request and returns `true`, or returns `false` if the
    /// type does not implement this. Then the caller changes the request's JSON.
    fn parts(&mut self, show: &mut dyn FnMut(Part<'_>)) -> bool {
        let _ = show;
        false
    }

    /// Calls `show` with each field that may be unusual, its value and its [`Role`](super::Role).
    /// By default the whole request is one field of [`Role::Json`](super::Role::Json).
    fn values(request: F::Request, show: &mut dyn FnMut(FieldValue)) {
        show(whole(serde_json::to_value(request).unwrap_or_default()));
    }
}

/// A request that can carry a puppet program.
pub trait Carrier {
    /// Puts the text into a string field of the request. The puppet finds it in any field.
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

            fn mutated_sample(
                fields: usize,
                u: &mut arbitrary::Unstructured<'_>,
            ) -> arbitrary::Result<Option<Self>> {
                let dry_run = <Self as $crate::wire::Generates<$function>>::dry_run();
                $crate::wire::fields::with_some_renewed(dry_run, fields, u).map(Some)
            }

            fn response(
                u: &mut arbitrary::Unstructured<'_>,
            ) -> arbitrary::Result<
                Option<<$function as cc_lb_plugin_wire::wire_function::WireFunction>::Response>,
            > {
                $crate::wire::responses::ArbitraryResponse::arbitrary_response(u).map(Some)
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

pub(super) use generates;
