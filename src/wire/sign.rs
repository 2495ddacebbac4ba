//! `sign`: signs a shaped request.

use cc_lb_plugin_wire::{v1, v2};

use super::common::{ShapedRequest, wire_struct};
use super::convert::struct_wire;
use super::generates::{Carrier, generates};
use super::json::Json;

wire_struct! {
    /// The request of `sign`.
    Sign {
        /// The request to sign, in the shape that the upstream expects.
        pub shaped: ShapedRequest,
        /// The state that `build_signer` returned.
        pub signer_state: Json,
    }
}
struct_wire!(Sign: v1::sign::SignRequest, v2::sign::SignRequest; { shaped, signer_state });
generates!(Sign: v1::sign::SignFn, v2::sign::SignFn);

impl Carrier for Sign {
    fn carry(&mut self, text: String) {
        self.shaped.url.0 = text;
    }
}
