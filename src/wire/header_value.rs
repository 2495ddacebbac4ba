//! Values of headers, in base64.

use super::base64::{arbitrary_strategy, arbitrary_value, edges, encode};
use super::text::string_field;

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

string_field! {
    /// A header's value in base64, up to 8 KiB before encoding.
    HeaderValue {
        realistic: HEADER_VALUES.into_iter().map(encode),
        boundary: edges(&[1, 8_192]),
        arbitrary_value: arbitrary_value,
        strategy: arbitrary_strategy,
        part: Text,
        role: HeaderValue,
    }
}
