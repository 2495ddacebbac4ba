//! `build_signer`: makes the state that later calls of `sign` get.

use cc_lb_plugin_wire::{v1, v2};

use super::common::{Upstream, wire_struct};
use super::convert::struct_wire;
use super::json::Json;
use super::{Carrier, generates};

wire_struct! {
    /// The request of `build_signer`.
    BuildSigner {
        /// What is signed for.
        pub upstream: Upstream,
        /// What the factory was configured with.
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
