//! Types that several requests share.

use cc_lb_plugin_wire::{v1, v2};
use serde::{Deserialize, Serialize};

use super::body::Body;
use super::convert::{enum_wire, struct_wire};
use super::header_value::HeaderValue;
use super::json::JsonObject;
use super::list::List;
use super::number::{Confidence, Count, Share, SmallCount, Status};
use super::text::{
    HeaderName, Label, Message, Method, Path, PrincipalId, PrincipalKind, Query, RequestId,
    Timestamp, UpstreamId, Url, UserAgent,
};

/// Declares a generated struct with the derives that all of them have.
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
    /// An HTTP header.
    Header {
        /// The name, such as `content-type`.
        pub name: HeaderName,
        /// The value, in base64.
        pub value_base64: HeaderValue,
    }
}
struct_wire!(Header: v1::common::HeaderWire, v2::common::HeaderWire; { name, value_base64 });

wire_struct! {
    /// The authenticated sender of a request.
    Principal {
        /// The id of the principal.
        pub id: PrincipalId,
        /// The way of authentication, such as `api_key`.
        pub kind: PrincipalKind,
        /// The claims about the principal.
        pub claims: JsonObject,
    }
}
struct_wire!(Principal: v1::common::Principal, v2::common::Principal; { id, kind, claims });

wire_struct! {
    /// The request that a client sent.
    ClientRequest {
        /// The id of the request.
        pub request_id: RequestId,
        /// The headers, in order.
        pub headers: List<Header>,
        /// The HTTP method.
        pub method: Method,
        /// The path, without the query.
        pub path: Path,
        /// The query, without its question mark.
        pub query: Option<Query>,
        /// The body, in base64.
        pub body_base64: Body,
    }
}
struct_wire!(ClientRequest: v1::common::RequestWire, v2::common::RequestWire; {
    request_id, headers, method, path, query, body_base64,
});

wire_struct! {
    /// The request in the shape that the upstream expects.
    ShapedRequest {
        /// The URL that the request goes to.
        pub url: Url,
        /// The HTTP method.
        pub method: Method,
        /// The headers, in order.
        pub headers: List<Header>,
        /// The body, in base64.
        pub body_base64: Body,
    }
}
struct_wire!(ShapedRequest: v1::common::ShapedRequestWire, v2::common::ShapedRequestWire; {
    url, method, headers, body_base64,
});

/// The kind of an upstream.
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

/// The category of an upstream's error.
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
    /// Another attempt may succeed.
    Retryable,
    /// Another attempt is pointless.
    Failed,
}

wire_struct! {
    /// An upstream's error.
    UpstreamError {
        /// The HTTP status.
        pub status: Status,
        /// The body, in base64, if there was one.
        pub body_base64: Option<Body>,
        /// The category of the error.
        pub category: ErrorCategory,
    }
}
struct_wire!(UpstreamError: v1::common::UpstreamErrorWire, v2::common::UpstreamErrorWire; {
    status, body_base64, category,
});

wire_struct! {
    /// A rate limit as an upstream reported it.
    RateLimit {
        /// The limited resource, such as `requests`.
        pub kind: Label,
        /// The time window, such as `5h`.
        pub window: Label,
        /// The allowed amount in a window.
        pub limit: Option<Count>,
        /// The remaining amount.
        pub remaining: Option<Count>,
        /// The time at which the window starts again.
        pub reset: Option<Timestamp>,
    }
}
struct_wire!(RateLimit: v2::common::RateLimitObservationWire; { kind, window, limit, remaining, reset });

wire_struct! {
    /// A snapshot of a subscription's quota.
    Quota {
        /// The time window, such as `5h`.
        pub window: Label,
        /// The source of the snapshot.
        pub source: Label,
        /// The freshness of the data, such as `fresh` or `missing`.
        pub data_state: Label,
        /// The used share; 1 is all of it.
        pub utilization: Option<Share>,
        /// The status that the upstream reported, such as `allowed_warning`.
        pub status: Option<Label>,
        /// The time at which the window starts again, in Unix seconds.
        pub resets_at_unix_secs: Option<Count>,
        /// Whether a threshold was passed.
        pub surpassed_threshold: Option<bool>,
        /// The claim that the quota was read for.
        pub representative_claim: Option<Label>,
        /// The reason why the quota is disabled.
        pub disabled_reason: Option<Message>,
        /// The time of the observation, in Unix milliseconds.
        pub observed_at_unix_millis: Option<Count>,
        /// The age of the observation, in seconds.
        pub age_secs: Option<Count>,
    }
}
struct_wire!(Quota: v2::common::SubscriptionQuotaCandidateSnapshotWire; {
    window, source, data_state, utilization, status, resets_at_unix_secs, surpassed_threshold,
    representative_claim, disabled_reason, observed_at_unix_millis, age_secs,
});

wire_struct! {
    /// The predicted savings of an upstream's prompt cache, in tokens.
    CacheScore {
        /// Tokens read from the cache.
        pub predicted_cache_read_tokens: SmallCount,
        /// Tokens written to the cache for five minutes.
        pub predicted_cache_creation_tokens_5m: SmallCount,
        /// Tokens written to the cache for an hour.
        pub predicted_cache_creation_tokens_1h: SmallCount,
        /// Tokens that bypass the cache.
        pub predicted_uncached_input_tokens: SmallCount,
        /// The time at which the cache entry expires, in Unix seconds.
        #[serde(default)]
        pub predicted_expires_at_unix_secs: Option<Count>,
        /// The index of the cache breakpoint that matched.
        #[serde(default)]
        pub matched_breakpoint_index: Option<SmallCount>,
        /// The confidence of the prediction; realistic values are between 0 and 1.
        pub confidence: Confidence,
        /// The reason why the prediction is uncertain.
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
        /// The id of the upstream.
        pub upstream_id: UpstreamId,
        /// The configured name of the upstream.
        pub name: Label,
        /// The kind of the upstream, such as `anthropic_api_key`.
        pub kind: Label,
        /// The rate limits that the upstream reported.
        pub observed_rate_limits: List<RateLimit>,
        /// The quotas of the upstream's subscriptions.
        pub subscription_quotas: List<Quota>,
        /// The time of the observation, in Unix seconds.
        pub observed_at_unix_secs: Count,
        /// The predicted savings of the prompt cache.
        #[serde(default)]
        pub cache_score: Option<CacheScore>,
    }
}
struct_wire!(Candidate: v2::common::CandidateWire; {
    upstream_id, name, kind, observed_rate_limits, subscription_quotas, observed_at_unix_secs, cache_score,
});

/// An event in the life of a request.
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
    /// The request began.
    RequestStarted {
        request_id: RequestId,
        downstream_user_agent: Option<UserAgent>,
    },
    /// The sender was authenticated.
    AuthnComplete {
        principal_id: PrincipalId,
        principal_kind: PrincipalKind,
    },
    /// The upstream was chosen.
    UpstreamChosen { upstream: Upstream },
    /// A part of the response was forwarded.
    Chunk {
        batch_index: Count,
        event_count: Count,
        total_bytes: Count,
    },
    /// The request ended.
    RequestFinished {
        status: Status,
        input_tokens: Option<Count>,
        output_tokens: Option<Count>,
        cache_creation_input_tokens: Option<Count>,
        cache_read_input_tokens: Option<Count>,
        duration_ms: Count,
    },
    /// The request failed.
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
