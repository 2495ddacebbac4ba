//! `filter`: decides which upstreams a request may go to.

use cc_lb_plugin_wire::v3;

use super::body::Body;
use super::common::{Candidate, Header, Principal, wire_struct};
use super::convert::struct_wire;
use super::list::List;
use super::text::{Method, Path, Query, RequestId};
use super::{Carrier, generates};

wire_struct! {
    /// The request of `filter`.
    Filter {
        /// The request's id.
        pub request_id: RequestId,
        /// Its headers.
        pub headers: List<Header>,
        /// Its method.
        pub method: Method,
        /// Its path.
        pub path: Path,
        /// Its query.
        pub query: Option<Query>,
        /// Its body.
        pub body_base64: Body,
        /// Who sent it.
        pub principal: Principal,
        /// Where it could go.
        pub candidates: List<Candidate>,
    }
}
struct_wire!(Filter: v3::filter::FilterRequest; {
    request_id, headers, method, path, query, body_base64, principal, candidates,
});
generates!(Filter: v3::filter::FilterFn);

impl Carrier for Filter {
    fn carry(&mut self, text: String) {
        self.request_id.0 = text;
    }
}
