//! `build_signer`: creates the state that later calls of `sign` receive.

use cc_lb_plugin_wire::{v1, v2};

use super::common::{Upstream, wire_struct};
use super::convert::struct_wire;
use super::generates::{Carrier, generates};
use super::json::Json;

wire_struct! {
    /// The request of `build_signer`.
    BuildSigner {
        /// The upstream whose requests are signed.
        pub upstream: Upstream,
        /// The configuration of the signer factory: any JSON.
        pub factory_state: Json,
    }
}
struct_wire!(
    BuildSigner: v1::build_signer::BuildSignerRequest, v2::build_signer::BuildSignerRequest;
    { upstream, factory_state }
);
generates!(BuildSigner: v1::build_signer::BuildSignerFn, v2::build_signer::BuildSignerFn);

impl Carrier for BuildSigner {
    fn carry(&mut self, text: String) {
        self.factory_state.0 = text.into();
    }
}
