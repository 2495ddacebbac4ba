//! `on_unauthorized`: decides what to do after an upstream refused the credentials.

use cc_lb_plugin_wire::{v1, v2};

use super::common::{UpstreamError, wire_struct};
use super::convert::struct_wire;
use super::generates::{Carrier, generates};
use super::json::Json;

wire_struct! {
    /// The request of `on_unauthorized`.
    OnUnauthorized {
        /// The upstream's error.
        pub error: UpstreamError,
        /// The state that `build_signer` returned.
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
