//! Arbitrary responses of the wire functions, drawn from the same field types as requests. The
//! puppet answers with them.
//!
//! Bugs in this module look like a response that no plugin can return, or one that is never drawn.

use arbitrary::Unstructured;
use cc_lb_plugin_wire::{v1, v2, v3};

use super::body::Body;
use super::common::Header;
use super::convert::Wire;
use super::json::Json;
use super::list::List;
use super::text::{Label, Message, Method, UpstreamId, Url};

/// The response type of a wire function.
pub(super) trait ArbitraryResponse: Sized {
    /// Draws an arbitrary response.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    fn arbitrary_response(u: &mut Unstructured<'_>) -> arbitrary::Result<Self>;
}

macro_rules! answers {
    ($($($wire:path),+ { $($field:ident: $type:ty),* $(,)? })+) => {$(
        answers!(@each [$($wire),+] { $($field: $type),* });
    )+};
    (@each [$($wire:path),+] $fields:tt) => {
        $(answers!(@one $wire, $fields);)+
    };
    (@one $wire:path, { $($field:ident: $type:ty),* }) => {
        impl ArbitraryResponse for $wire {
            fn arbitrary_response(_u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
                Ok(Self { $($field: _u.arbitrary::<$type>()?.to_wire()),* })
            }
        }
    };
}

answers! {
    v1::shape::ShapeResponse, v2::shape::ShapeResponse {
        url: Url,
        method: Method,
        headers: List<Header>,
        body_base64: Body,
    }
    v1::normalize_error::NormalizeErrorResponse, v2::normalize_error::NormalizeErrorResponse {
        body_base64: Option<Body>,
    }
    v1::build_signer::BuildSignerResponse, v2::build_signer::BuildSignerResponse {
        signer_state: Json,
    }
    v1::sign::SignResponse, v2::sign::SignResponse {
        url: Option<Url>,
        method: Option<Method>,
        headers: Option<List<Header>>,
        body_base64: Option<Body>,
    }
    v1::on_unauthorized::OnUnauthorizedResponse, v2::on_unauthorized::OnUnauthorizedResponse {
        decision: Label,
        signer_state: Json,
    }
    v1::observe::ObserveResponse, v2::observe::ObserveResponse {}
    v3::filter::FilterResponse {
        results: List<Judgement>,
    }
}

/// The decision of a filter about one candidate.
#[derive(arbitrary::Arbitrary)]
struct Judgement {
    upstream_id: UpstreamId,
    decision: Label,
    reason: Message,
}

impl Wire<v3::filter::PerCandidateReasonWire> for Judgement {
    fn to_wire(self) -> v3::filter::PerCandidateReasonWire {
        v3::filter::PerCandidateReasonWire {
            upstream_id: self.upstream_id.to_wire(),
            decision: self.decision.to_wire(),
            reason: self.reason.to_wire(),
        }
    }

    fn from_wire(wire: v3::filter::PerCandidateReasonWire) -> Self {
        Self {
            upstream_id: Wire::from_wire(wire.upstream_id),
            decision: Wire::from_wire(wire.decision),
            reason: Wire::from_wire(wire.reason),
        }
    }
}
