//! Base64 fields: message bodies and header values.

use super::text::string_field;
use arbitrary::Unstructured;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use proptest::prelude::*;

/// Bodies as the Messages API sends and answers them.
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

/// Values of headers.
const HEADER_VALUES: [&str; 8] = [
    "application/json",
    "sk-ant-api03-AAAAAAAA",
    "Bearer sk-ant-oat01-AAAAAAAA",
    "2023-06-01",
    "prompt-caching-2024-07-31,token-counting-2024-11-01",
    "gzip, deflate, br",
    "claude-cli/2.0.14 (external, cli)",
    "0",
];

/// Texts that are no base64, or only almost.
const BROKEN: [&str; 10] = [
    "=",
    "====",
    "A",
    "A===",
    "YQ",
    "YQ=",
    "YR==",
    "YQ==\n",
    "-_-_",
    "no base64!",
];

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The edges of base64 fields; `sizes` are those of the large contents, in bytes.
fn edges(sizes: &[usize]) -> impl Iterator<Item = String> {
    let mut edges = vec![
        String::new(),
        encode([0]),
        encode([0xff, 0xfe, 0x00]),
        encode("null"),
        encode("[".repeat(1000)),
        encode("\u{feff}{}"),
        encode("a\r\nx-injected: 1"),
    ];
    edges.extend(BROKEN.map(str::to_owned));
    edges.extend(sizes.iter().map(|&size| encode(vec![b'a'; size])));
    edges.into_iter()
}

fn rubbish(u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    let length = u.int_in_range(0..=48)?;
    let bytes = u.bytes(length.min(u.len()))?;
    Ok(if u.ratio(1, 2)? {
        encode(bytes)
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    })
}

fn rubbish_strategy() -> impl Strategy<Value = String> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..=48);
    prop_oneof![bytes.prop_map(encode), ".{0,48}"]
}

string_field! {
    /// A message body in base64, up to 48 KiB before encoding.
    Body {
        realistic: BODIES.into_iter().map(encode),
        boundary: edges(&[1, 1023, 1024, 49_152]),
        rubbish: rubbish,
        strategy: rubbish_strategy,
        part: Body,
        role: Body,
    }
}

string_field! {
    /// A header's value in base64, up to 8 KiB before encoding.
    HeaderValue {
        realistic: HEADER_VALUES.into_iter().map(encode),
        boundary: edges(&[1, 8_192]),
        rubbish: rubbish,
        strategy: rubbish_strategy,
        part: Text,
        role: HeaderValue,
    }
}
