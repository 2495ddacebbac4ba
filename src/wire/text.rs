//! Text fields: one type for each meaning of a string in the protocol.
//!
//! In a case file a text is a JSON string. A text that only repeats a few characters is written as
//! `{"$repeat": ["a", 1024]}`.

use arbitrary::Unstructured;
use proptest::prelude::*;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The longest text that `$repeat` may stand for, in bytes.
const REPEAT_MAX_BYTES: usize = 1 << 20;

/// The fewest characters of a text that is written as `$repeat`.
const REPEAT_MIN_CHARS: usize = 64;

/// The longest unit of `$repeat`, in characters.
const REPEAT_UNIT_MAX_CHARS: usize = 8;

/// The boundary values that all text fields share.
const EDGES: [&str; 17] = [
    "",
    "\0",
    "a\0b",
    " ",
    "é",
    "日本語e\u{301}\u{200b}",
    "🦀",
    "\u{feff}a",
    "\u{202e}a",
    "\u{ffff}",
    "\u{10ffff}",
    "\"",
    "\\",
    "\\u0000\\n\\\"${HOME}",
    "a\r\n\tb",
    "\u{1}\u{1f}\u{7f}",
    // Almost the mark of a puppet program.
    "puppet",
];

/// The lengths of the long boundary values, in characters.
const LONG: [usize; 3] = [255, 256, 1024];

fn edges(own: &[&str]) -> impl Iterator<Item = String> {
    let long = LONG.iter().map(|&length| "a".repeat(length));
    let all = own.iter().chain(&EDGES).map(|&text| text.to_owned());
    all.chain(long)
}

pub(super) fn arbitrary_value(u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    let length = u.int_in_range(0..=24)?;
    (0..length)
        .map(|_| match u.int_in_range(0..=2u8)? {
            0 | 1 => u.int_in_range(b' '..=b'~').map(char::from),
            _ => u.arbitrary(),
        })
        .collect()
}

fn arbitrary_strategy() -> impl Strategy<Value = String> {
    let character = prop_oneof![2 => proptest::char::range(' ', '~'), 1 => any::<char>()];
    proptest::collection::vec(character, 0..=24).prop_map(String::from_iter)
}

/// The compact form of a repetitive text: `{"$repeat": [unit, times]}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Repeat {
    #[serde(rename = "$repeat")]
    repeat: (String, usize),
}

impl Repeat {
    /// Returns the compact form of a text, if it has one.
    pub(crate) fn detect(text: &str) -> Option<Self> {
        // A character has up to four bytes, so this bound in bytes is no tighter than that in
        // characters.
        if !(REPEAT_MIN_CHARS..=REPEAT_MAX_BYTES).contains(&text.len()) {
            return None;
        }
        let bytes = text.as_bytes();
        let ends = text.char_indices().skip(1).take(REPEAT_UNIT_MAX_CHARS);
        let (chars, unit) = (1..).zip(ends).find_map(|(chars, (end, _))| {
            // A text that equals itself shifted by one unit is a repetition of that unit.
            let repeats =
                bytes.len().is_multiple_of(end) && bytes[end..] == bytes[..bytes.len() - end];
            repeats.then_some((chars, &text[..end]))
        })?;
        let times = text.len() / unit.len();
        (chars * times >= REPEAT_MIN_CHARS).then(|| Self {
            repeat: (unit.to_owned(), times),
        })
    }

    /// Returns the text, or an error if it is too long.
    pub(crate) fn text(&self) -> Result<String, String> {
        let (unit, times) = &self.repeat;
        match unit.len().checked_mul(*times) {
            Some(length) if length <= REPEAT_MAX_BYTES => Ok(unit.repeat(*times)),
            _ => Err(format!(
                "$repeat stands for more than {REPEAT_MAX_BYTES} bytes"
            )),
        }
    }
}

/// Returns how many bytes the compact texts in a case, or in a part of it, stand for.
pub(crate) fn repeated_bytes(value: &Value) -> usize {
    match value {
        Value::Object(fields) => match Repeat::deserialize(value) {
            Ok(Repeat {
                repeat: (unit, times),
            }) => {
                let bytes = unit.len().saturating_mul(times);
                // A longer one is not a text.
                if bytes <= REPEAT_MAX_BYTES { bytes } else { 0 }
            }
            Err(_) => fields.values().map(repeated_bytes).sum(),
        },
        Value::Array(items) => items.iter().map(repeated_bytes).sum(),
        _ => 0,
    }
}

/// The form of a text in case files.
pub(crate) mod form {
    use super::*;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Readable {
        Plain(String),
        Repeat(Repeat),
    }

    pub(crate) fn serialize<S: Serializer>(text: &str, s: S) -> Result<S::Ok, S::Error> {
        match Repeat::detect(text) {
            Some(repeat) if s.is_human_readable() => repeat.serialize(s),
            _ => text.serialize(s),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
        if !d.is_human_readable() {
            return String::deserialize(d);
        }
        match Readable::deserialize(d)? {
            Readable::Plain(text) => Ok(text),
            Readable::Repeat(repeat) => repeat.text().map_err(D::Error::custom),
        }
    }
}

/// Makes a field type that is a string, from its value lists and its generators.
macro_rules! string_field {
    ($(#[$doc:meta])* $name:ident {
        realistic: $real:expr, boundary: $edges:expr, arbitrary_value: $arbitrary_value:path, strategy: $strategy:path,
        part: $part:ident, role: $role:ident $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $name(#[serde(with = "crate::wire::text_form")] pub String);

        impl $crate::wire::FieldDomain for $name {
            fn realistic() -> &'static [Self] {
                static VALUES: std::sync::LazyLock<Vec<$name>> =
                    std::sync::LazyLock::new(|| $real.map($name).collect());
                &VALUES
            }

            fn boundary() -> &'static [Self] {
                static VALUES: std::sync::LazyLock<Vec<$name>> =
                    std::sync::LazyLock::new(|| $edges.map($name).collect());
                &VALUES
            }

            fn arbitrary_value(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Self> {
                $arbitrary_value(u).map(Self)
            }

            fn arbitrary_strategy() -> proptest::strategy::BoxedStrategy<Self> {
                use proptest::strategy::Strategy as _;
                $strategy().prop_map(Self).boxed()
            }
        }

        $crate::wire::domain::generated!($name);
        $crate::wire::convert::newtype_wire!($name(String));

        impl $crate::wire::fields::Fields for $name {
            fn parts(&mut self, show: &mut dyn FnMut($crate::wire::Part<'_>)) {
                show($crate::wire::Part::$part(&mut self.0));
            }

            fn values(&self, path: &str, show: &mut dyn FnMut($crate::wire::FieldValue)) {
                show($crate::wire::FieldValue {
                    path: path.to_owned(),
                    role: $crate::wire::Role::$role,
                    value: self.0.clone().into(),
                });
            }
        }
    };
}
pub(super) use string_field;

macro_rules! text_fields {
    ($($(#[$doc:meta])* $name:ident: $role:ident { realistic: [$($real:expr),+ $(,)?], boundary: [$($edge:expr),* $(,)?] $(,)? })+) => {$(
        string_field! {
            $(#[$doc])*
            $name {
                realistic: [$($real),+].into_iter().map(str::to_owned),
                boundary: edges(&[$($edge),*]),
                arbitrary_value: arbitrary_value,
                strategy: arbitrary_strategy,
                part: Text,
                role: $role,
            }
        }
    )+};
}

text_fields! {
    /// A request's id.
    RequestId: Name {
        realistic: [
            "dry-run-request",
            "req_011CSHoEeqs5C35K2UUqR7Fy",
            "7f9c24e8-3b12-4fef-91e0-5d1a2c6b8e47",
        ],
        boundary: ["00000000-0000-0000-0000-000000000000", "7F9C24E8-3B12-4FEF-91E0-5D1A2C6B8E47"],
    }

    /// A header's name.
    HeaderName: Token {
        realistic: [
            "content-type",
            "x-api-key",
            "authorization",
            "anthropic-version",
            "anthropic-beta",
            "user-agent",
            "accept-encoding",
            "x-stainless-lang",
            "x-request-id",
            "x-cc-lb-dry-run",
        ],
        boundary: [":authority", "Content-Type", "x api key", "x-a:", "transfer-encoding"],
    }

    /// An HTTP method.
    Method: Token {
        realistic: ["POST", "GET", "OPTIONS", "HEAD", "PUT", "PATCH", "DELETE"],
        boundary: ["post", "CONNECT", "TRACE", "P O", "PRI * HTTP/2.0"],
    }

    /// The path of a request.
    Path: Target {
        realistic: [
            "/v1/messages",
            "/v1/messages/count_tokens",
            "/v1/messages/batches",
            "/v1/models",
            "/v1/complete",
        ],
        boundary: ["/", "//", "*", "/v1/../admin", "/%00", "/%ff%fe", "v1/messages", "/v1/messages?"],
    }

    /// A query string, without its question mark.
    Query: Target {
        realistic: ["beta=true", "limit=20", "after_id=msg_01&limit=1000"],
        boundary: ["=", "&&", "a=1+2&a=%2B", "%zz", "?", "#fragment"],
    }

    /// A URL.
    Url: Target {
        realistic: ["https://api.anthropic.com/v1/messages", "https://api.anthropic.com"],
        boundary: [
            "http://",
            "https://user:pass@example.invalid:99999/",
            "file:///etc/passwd",
            "https://[::1]:0/",
            "HTTPS://API.Example.INVALID:443/%7Ea/./b#fragment",
            "https://example.invalid/\r\nx-injected: 1",
        ],
    }

    /// A principal's id.
    PrincipalId: Name {
        realistic: ["dry-run-principal", "user_01", "org-4a1f/team-7"],
        boundary: ["root", "*"],
    }

    /// A principal's kind.
    PrincipalKind: Name {
        realistic: ["api_key", "oauth", "service_account", "anonymous"],
        boundary: ["API_KEY", "api_key "],
    }

    /// An upstream's id; realistic values are UUIDs.
    UpstreamId: Name {
        realistic: [
            "00000000-0000-0000-0000-000000000000",
            "0b9d8a52-6c1e-4f0e-8a71-2f3f6f0f9a10",
            "c2a7e3d4-92b1-4c55-b0de-11aa22bb33cc",
        ],
        boundary: ["ffffffff-ffff-ffff-ffff-ffffffffffff", "0b9d8a52"],
    }

    /// A name given by people: of an upstream, a kind of rate limit, a window, a claim or a reason.
    Label: Name {
        realistic: [
            "dry-run-upstream",
            "requests",
            "input_tokens",
            "5h",
            "7d",
            "missing",
            "fresh",
            "anthropic_api_key",
            "subscription",
            "allowed_warning",
        ],
        boundary: ["0", "null", "true"],
    }

    /// A point in time as text.
    Timestamp: Name {
        realistic: ["2026-01-31T23:59:59Z", "2026-06-01T00:00:00.000Z"],
        boundary: ["1970-01-01T00:00:00Z", "2026-02-30T25:61:61Z", "99999-01-01T00:00:00Z", "0"],
    }

    /// A user agent.
    UserAgent: Text {
        realistic: ["claude-cli/2.0.14 (external, cli)", "anthropic-sdk-python/0.71.0"],
        boundary: ["-"],
    }

    /// An error's code or message.
    Message: Text {
        realistic: ["overloaded_error", "Overloaded", "upstream connect timed out", "proxy"],
        boundary: ["%s%n", "{}"],
    }
}
