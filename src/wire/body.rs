//! Message bodies, in base64.

use super::base64::{arbitrary_strategy, arbitrary_value, edges, encode};
use super::text::string_field;

/// Bodies of requests and responses of the Messages API.
const BODIES: [&str; 10] = [
    r#"{"model":"claude-sonnet-4-5","max_tokens":1024,"messages":[{"role":"user","content":"Hello"}]}"#,
    r#"{"model":"claude-haiku-4-5","max_tokens":1,"stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"Count to ten."}]}]}"#,
    r#"{"model":"claude-opus-4-1","max_tokens":4096,"system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello!"},{"role":"user","content":"And now?"}]}"#,
    r#"{"model":"claude-sonnet-4-5","max_tokens":512,"tools":[{"name":"get_weather","description":"Weather of a city","input_schema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}],"tool_choice":{"type":"auto"},"messages":[{"role":"user","content":"Weather in Paris?"}]}"#,
    r#"{"model":"claude-sonnet-4-5","max_tokens":256,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}},{"type":"text","text":"What is this?"}]}]}"#,
    r#"{"model":"claude-sonnet-4-5","max_tokens":2048,"temperature":0.0,"metadata":{"user_id":"u-1"},"stop_sequences":["\n\nHuman:"],"thinking":{"type":"enabled","budget_tokens":1024},"messages":[{"role":"user","content":"日本語で答えて"}]}"#,
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
    r#"{"type":"error","error":{"type":"rate_limit_error","message":"Number of request tokens has exceeded your per-minute rate limit"},"request_id":"req_011CSHoEeqs5C35K2UUqR7Fy"}"#,
    r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
    "event: message_start\ndata: {\"type\":\"message_start\"}\n\n",
];

string_field! {
    /// A message body in base64, up to 48 KiB before encoding.
    Body {
        realistic: BODIES.into_iter().map(encode),
        boundary: edges(&[1, 1023, 1024, 49_152]),
        arbitrary_value: arbitrary_value,
        strategy: arbitrary_strategy,
        part: Body,
        role: Body,
    }
}
