//! `normalize_error`: converts an upstream's error into the one that the client gets.

use cc_lb_plugin_wire::{v1, v2};

use super::body::Body;
use super::common::wire_struct;
use super::convert::struct_wire;
use super::generates::{Carrier, generates};
use super::number::Status;

wire_struct! {
    /// The request of `normalize_error`.
    NormalizeError {
        /// The HTTP status of the upstream's response.
        pub status: Status,
        /// The body of the upstream's response, in base64.
        pub body_base64: Body,
    }
}
struct_wire!(
    NormalizeError: v1::normalize_error::NormalizeErrorRequest, v2::normalize_error::NormalizeErrorRequest;
    { status, body_base64 }
);
generates!(NormalizeError: v1::normalize_error::NormalizeErrorFn, v2::normalize_error::NormalizeErrorFn);

impl Carrier for NormalizeError {
    fn carry(&mut self, text: String) {
        self.body_base64.0 = text;
    }
}
