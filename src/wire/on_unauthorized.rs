//! `on_unauthorized`: decides what follows when an upstream refused the credentials.

use cc_lb_plugin_wire::{v1, v2};

use super::common::{UpstreamError, wire_struct};
use super::convert::struct_wire;
use super::json::Json;
use super::{Carrier, generates};

wire_struct! {
    /// The request of `on_unauthorized`.
    OnUnauthorized {
        /// The upstream's error.
        pub error: UpstreamError,
        /// The state that `build_signer` made.
        pub signer_state: Json,
    }
}
struct_wire!(
    OnUnauthorized: v1::on_unauthorized::OnUnauthorizedRequest, v2::on_unauthorized::OnUnauthorizedRequest;
    { error, signer_state }
);
generates!(OnUnauthorized: v1::on_unauthorized::OnUnauthorizedFn, v2::on_unauthorized::OnUnauthorizedFn);

impl Carrier for OnUnauthorized {
    fn carry(&mut self, text: String) {
        self.signer_state.0 = text.into();
    }
}
