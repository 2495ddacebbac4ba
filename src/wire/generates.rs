//! What the harness asks of the generated form of a request.

use std::fmt::Debug;

use cc_lb_plugin_wire::wire_function::WireFunction;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fields::Part;
use super::role::{FieldValue, whole};

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
    fn mutated_sample(
        fields: usize,
        u: &mut arbitrary::Unstructured<'_>,
    ) -> arbitrary::Result<Option<Self>> {
        let _ = (fields, u);
        Ok(None)
    }

    /// An arbitrary response, for the puppet to answer with, where the type knows how. Without it what is answered is near
    /// the dry-run response.
    ///
    /// # Errors
    /// Those of `arbitrary`.
    fn response(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Option<F::Response>> {
        let _ = u;
        Ok(None)
    }

    /// Shows each part of the request, where the type knows them; whether it does. Without it something is put into a
    /// request by way of JSON.
    fn parts(&mut self, show: &mut dyn FnMut(Part<'_>)) -> bool {
        let _ = show;
        false
    }

    /// Shows what a request says in each field that may be unusual, and what the field is for: see [`Role`](super::Role). Without it the
    /// request is JSON of whoever sends it.
    fn values(request: F::Request, show: &mut dyn FnMut(FieldValue)) {
        show(whole(serde_json::to_value(request).unwrap_or_default()));
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
