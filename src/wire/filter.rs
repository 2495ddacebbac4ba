//! `filter`: decides which upstreams a request may go to.

use cc_lb_plugin_wire::v3;

use super::body::Body;
use super::common::{Candidate, Header, Principal, wire_struct};
use super::convert::struct_wire;
use super::generates::{Carrier, generates};
use super::list::List;
use super::text::{Method, Path, Query, RequestId};

wire_struct! {
    /// The request of `filter`.
    Filter {
        /// The id of the client's request.
        pub request_id: RequestId,
        /// The headers of the client's request.
        pub headers: List<Header>,
        /// The HTTP method.
        pub method: Method,
        /// The path, without the query.
        pub path: Path,
        /// The query, without its question mark.
        pub query: Option<Query>,
        /// The body, in base64.
        pub body_base64: Body,
        /// The authenticated sender.
        pub principal: Principal,
        /// The upstreams to choose from.
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
