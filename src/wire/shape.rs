//! `shape`: converts a client's request into the one that the upstream gets.

use cc_lb_plugin_wire::{v1, v2};

use super::common::{ClientRequest, Principal, Upstream, wire_struct};
use super::convert::{Wire, struct_wire};
use super::generates::{Carrier, generates};
use super::text::Url;

wire_struct! {
    /// The request of `shape`. Version 1 lacks `upstream_base_url`.
    Shape {
        /// The request that the client sent.
        pub request: ClientRequest,
        /// The upstream that the request goes to.
        pub upstream: Upstream,
        /// The authenticated sender.
        pub principal: Principal,
        /// The base URL of the upstream, if not its default.
        #[serde(default)]
        pub upstream_base_url: Option<Url>,
    }
}
struct_wire!(Shape: v2::shape::ShapeRequest; { request, upstream, principal, upstream_base_url });

impl Wire<v1::shape::ShapeRequest> for Shape {
    fn to_wire(self) -> v1::shape::ShapeRequest {
        v1::shape::ShapeRequest {
            request: self.request.to_wire(),
            upstream: self.upstream.to_wire(),
            principal: self.principal.to_wire(),
        }
    }

    fn from_wire(wire: v1::shape::ShapeRequest) -> Self {
        Self {
            request: Wire::from_wire(wire.request),
            upstream: Wire::from_wire(wire.upstream),
            principal: Wire::from_wire(wire.principal),
            upstream_base_url: None,
        }
    }
}

generates!(Shape: v1::shape::ShapeFn, v2::shape::ShapeFn);

impl Carrier for Shape {
    fn carry(&mut self, text: String) {
        self.request.request_id.0 = text;
    }
}
