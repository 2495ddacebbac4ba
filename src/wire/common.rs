//! The parts that several requests share.

use cc_lb_plugin_wire::{v1, v2};
use serde::{Deserialize, Serialize};

use super::body::{Body, HeaderValue};
use super::convert::{enum_wire, struct_wire};
use super::json::JsonObject;
use super::list::List;
use super::number::{Confidence, Count, Share, SmallCount, Status};
use super::text::{
    HeaderName, Label, Message, Method, Path, PrincipalId, PrincipalKind, Query, RequestId,
    Timestamp, UpstreamId, Url, UserAgent,
};

/// The derives of every generated type.
macro_rules! wire_struct {
    ($(#[$doc:meta])* $name:ident { $($fields:tt)* }) => {
        $(#[$doc])*
        #[derive(
            Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize,
            arbitrary::Arbitrary, proptest_derive::Arbitrary,
        )]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($fields)* }
    };
}
pub(super) use wire_struct;

wire_struct! {
    /// A header.
    Header {
        /// Its name.
        pub name: HeaderName,
        /// Its value.
        pub value_base64: HeaderValue,
    }
}
struct_wire!(Header: v1::common::HeaderWire, v2::common::HeaderWire; { name, value_base64 });

wire_struct! {
    /// Who sent the request.
    Principal {
        /// Its id.
        pub id: PrincipalId,
        /// How it proved itself.
        pub kind: PrincipalKind,
        /// What is claimed of it.
        pub claims: JsonObject,
    }
}
struct_wire!(Principal: v1::common::Principal, v2::common::Principal; { id, kind, claims });

wire_struct! {
    /// The request that a client sent.
    ClientRequest {
        /// Its id.
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
    }
}
struct_wire!(ClientRequest: v1::common::RequestWire, v2::common::RequestWire; {
    request_id, headers, method, path, query, body_base64,
});

wire_struct! {
    /// The request in the shape that the upstream expects.
    ShapedRequest {
        /// Where it goes.
        pub url: Url,
        /// Its method.
        pub method: Method,
        /// Its headers.
        pub headers: List<Header>,
        /// Its body.
        pub body_base64: Body,
    }
}
struct_wire!(ShapedRequest: v1::common::ShapedRequestWire, v2::common::ShapedRequestWire; {
    url, method, headers, body_base64,
});

/// Where a request goes.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    arbitrary::Arbitrary,
    proptest_derive::Arbitrary,
)]
#[serde(rename_all = "snake_case")]
pub enum Upstream {
    /// Anthropic's own API.
    AnthropicDirect,
}

/// What an upstream's error means.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    arbitrary::Arbitrary,
    proptest_derive::Arbitrary,
)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCategory {
    /// The credentials were refused.
    Unauthorized,
    /// Worth another try.
    Retryable,
    /// Not worth another try.
    Failed,
}

wire_struct! {
    /// An upstream's error.
    UpstreamError {
        /// Its status.
        pub status: Status,
        /// Its body.
        pub body_base64: Option<Body>,
        /// What it means.
        pub category: ErrorCategory,
    }
}
struct_wire!(UpstreamError: v1::common::UpstreamErrorWire, v2::common::UpstreamErrorWire; {
    status, body_base64, category,
});

wire_struct! {
    /// A rate limit as an upstream told it.
    RateLimit {
        /// What is limited.
        pub kind: Label,
        /// Over which time.
        pub window: Label,
        /// How much is allowed.
        pub limit: Option<Count>,
        /// How much is left.
        pub remaining: Option<Count>,
        /// When it starts again.
        pub reset: Option<Timestamp>,
    }
}
struct_wire!(RateLimit: v2::common::RateLimitObservationWire; { kind, window, limit, remaining, reset });

wire_struct! {
    /// A subscription's quota.
    Quota {
        /// Over which time.
        pub window: Label,
        /// Where it was seen.
        pub source: Label,
        /// How fresh it is.
        pub data_state: Label,
        /// The used share.
        pub utilization: Option<Share>,
        /// What the upstream says of it.
        pub status: Option<Label>,
        /// When it starts again.
        pub resets_at_unix_secs: Option<Count>,
        /// Whether a threshold was passed.
        pub surpassed_threshold: Option<bool>,
        /// The claim it was read for.
        pub representative_claim: Option<Label>,
        /// Why it is off.
        pub disabled_reason: Option<Message>,
        /// When it was seen.
        pub observed_at_unix_millis: Option<Count>,
        /// How old it is.
        pub age_secs: Option<Count>,
    }
}
struct_wire!(Quota: v2::common::SubscriptionQuotaCandidateSnapshotWire; {
    window, source, data_state, utilization, status, resets_at_unix_secs, surpassed_threshold,
    representative_claim, disabled_reason, observed_at_unix_millis, age_secs,
});

wire_struct! {
    /// What an upstream's prompt cache is expected to save.
    CacheScore {
        /// Tokens read from the cache.
        pub predicted_cache_read_tokens: SmallCount,
        /// Tokens written for five minutes.
        pub predicted_cache_creation_tokens_5m: SmallCount,
        /// Tokens written for an hour.
        pub predicted_cache_creation_tokens_1h: SmallCount,
        /// Tokens outside the cache.
        pub predicted_uncached_input_tokens: SmallCount,
        /// When the entry expires.
        #[serde(default)]
        pub predicted_expires_at_unix_secs: Option<Count>,
        /// The breakpoint that matched.
        #[serde(default)]
        pub matched_breakpoint_index: Option<SmallCount>,
        /// How sure the prediction is.
        pub confidence: Confidence,
        /// Why it is not.
        #[serde(default)]
        pub ambiguity_reason: Option<Message>,
    }
}
struct_wire!(CacheScore: v2::common::CacheScoreWire; {
    predicted_cache_read_tokens, predicted_cache_creation_tokens_5m, predicted_cache_creation_tokens_1h,
    predicted_uncached_input_tokens, predicted_expires_at_unix_secs, matched_breakpoint_index, confidence,
    ambiguity_reason,
});

wire_struct! {
    /// An upstream that a request could go to.
    Candidate {
        /// Its id.
        pub upstream_id: UpstreamId,
        /// Its name.
        pub name: Label,
        /// Its kind.
        pub kind: Label,
        /// Its rate limits.
        pub observed_rate_limits: List<RateLimit>,
        /// Its quotas.
        pub subscription_quotas: List<Quota>,
        /// When it was seen.
        pub observed_at_unix_secs: Count,
        /// What its cache would save.
        #[serde(default)]
        pub cache_score: Option<CacheScore>,
    }
}
struct_wire!(Candidate: v2::common::CandidateWire; {
    upstream_id, name, kind, observed_rate_limits, subscription_quotas, observed_at_unix_secs, cache_score,
});

/// Something that happened to a request.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Serialize,
    Deserialize,
    arbitrary::Arbitrary,
    proptest_derive::Arbitrary,
)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields are those of the wire type")]
pub enum Event {
    /// It began.
    RequestStarted {
        request_id: RequestId,
        downstream_user_agent: Option<UserAgent>,
    },
    /// Its sender is known.
    AuthnComplete {
        principal_id: PrincipalId,
        principal_kind: PrincipalKind,
    },
    /// Its upstream is known.
    UpstreamChosen { upstream: Upstream },
    /// A part of the answer passed.
    Chunk {
        batch_index: Count,
        event_count: Count,
        total_bytes: Count,
    },
    /// It ended.
    RequestFinished {
        status: Status,
        input_tokens: Option<Count>,
        output_tokens: Option<Count>,
        cache_creation_input_tokens: Option<Count>,
        cache_read_input_tokens: Option<Count>,
        duration_ms: Count,
    },
    /// It failed.
    Error {
        code: Message,
        message: Message,
        source: Message,
    },
}

enum_wire!(Upstream: v1::common::UpstreamWire, v2::common::UpstreamWire; { AnthropicDirect {} });
enum_wire!(ErrorCategory: v1::common::UpstreamErrorCategory, v2::common::UpstreamErrorCategory; {
    Unauthorized {}, Retryable {}, Failed {},
});
enum_wire!(Event: v1::common::ObserveEventWire, v2::common::ObserveEventWire; {
    RequestStarted { request_id, downstream_user_agent },
    AuthnComplete { principal_id, principal_kind },
    UpstreamChosen { upstream },
    Chunk { batch_index, event_count, total_bytes },
    RequestFinished {
        status, input_tokens, output_tokens, cache_creation_input_tokens, cache_read_input_tokens, duration_ms,
    },
    Error { code, message, source },
});
