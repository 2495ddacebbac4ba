//! The roles of fields: what a host sends in each of them, in one table at [`Role`].
//!
//! Bugs in this module look like a realistic value of a field's
//! [`FieldDomain`](crate::wire::domain::FieldDomain) that is reported as unusual.

use std::fmt::{self, Debug};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value};

use super::json::depth;

/// The number of unusual characters that a field may have and still be usual.
pub const FEW: usize = 64;

/// The deepest JSON that a host sends, in levels.
const LEVELS_MAX: usize = 32;

/// The least number of different bytes in binary data; data with fewer counts as made up.
const BINARY_BYTES_MIN: usize = 32;

/// The response fields in which a plugin returns a state.
const STATES: [&str; 2] = ["signer_state", "factory_state"];

/// The purpose of a field, which decides what a host sends there.
///
/// | role | fields | what a host sends |
/// |---|---|---|
/// | [`Token`](Role::Token) | methods, names of headers | the characters of tokens in HTTP, up to 1 KiB |
/// | [`Name`](Role::Name) | ids, kinds, names, points in time | printable text, up to 1 KiB |
/// | [`Target`](Role::Target) | paths, queries, URLs | visible ASCII, up to 8 KiB |
/// | [`Text`](Role::Text) | messages, user agents | printable text, up to 8 KiB |
/// | [`HeaderValue`](Role::HeaderValue) | values of headers | base64 of what HTTP allows there, up to 8 KiB |
/// | [`Body`](Role::Body) | bodies of messages | base64 of text such as JSON, HTML or events, or of binary data |
/// | [`State`](Role::State) | the states of signers and their factories | what the plugin returned in this session, or the dry-run sample's |
/// | [`Json`](Role::Json) | claims; a request whose fields have no roles | JSON of up to 32 levels, whose texts are printable, up to 8 KiB |
///
/// Printable text has no control characters but tabs and line ends, and at most a quarter of its
/// characters are outside ASCII; a body may be in any language. Up to [`FEW`] characters that break
/// these rules are allowed: a host passes on what it does not inspect, and so few cost nothing.
/// Headers, lists and JSON may have as many items as fit into a request. Numbers and absent values
/// are always usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A token of HTTP, such as a method.
    Token,
    /// An identifier or a name.
    Name,
    /// The target of a request: a path, a query or a URL.
    Target,
    /// Text for people.
    Text,
    /// The value of a header, in base64.
    HeaderValue,
    /// The body of a message, in base64.
    Body,
    /// A state that the plugin returned and the host stores.
    State,
    /// JSON from any sender.
    Json,
}

/// The value of one field of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldValue {
    /// The field, as a JSON pointer into the generated form of the request; empty for the whole
    /// request.
    pub path: String,
    /// The purpose of the field.
    pub role: Role,
    /// The value, as JSON.
    pub value: Value,
}

/// A value that no host sends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unusual {
    /// The field, as in [`FieldValue`].
    pub(crate) path: String,
    /// The purpose of the field.
    pub(crate) role: Role,
    why: String,
    /// A usual value of the same size; `None` if there is none.
    pub(crate) instead: Option<Value>,
}

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.trim_start_matches('/') {
            "" => write!(f, "the request {}", self.why),
            path => write!(f, "{} {}", path.replace('/', "."), self.why),
        }
    }
}

/// Returns the verdict on a request that is not JSON, or is nested too deep to parse.
pub(crate) fn unreadable() -> Unusual {
    Unusual {
        path: String::new(),
        role: Role::Json,
        why: "is nested too deep to be read".to_owned(),
        instead: None,
    }
}

impl FieldValue {
    /// Returns why no host sends this value, or `None` if a host may. `is_returned` says whether
    /// the plugin has returned a given state in this session.
    pub(crate) fn unusual(&self, is_returned: &dyn Fn(&Value) -> bool) -> Option<Unusual> {
        let why = match (self.role, &self.value) {
            (Role::State, state) if is_returned(state) => None,
            (Role::State, _) => Some("is a state that the plugin never returned".to_owned()),
            (Role::Json, value) => in_json(value),
            (role, Value::String(text)) => role.in_text(text),
            _ => None,
        }?;
        Some(Unusual {
            path: self.path.clone(),
            role: self.role,
            why,
            instead: self.role.instead(&self.value),
        })
    }
}

impl Role {
    /// Returns the length of the longest usual text, in bytes.
    fn longest(self) -> usize {
        match self {
            Self::Token | Self::Name => 1 << 10,
            Self::Body => usize::MAX,
            _ => 8 << 10,
        }
    }

    /// Returns why no host sends this text, or `None`.
    fn in_text(self, text: &str) -> Option<String> {
        match self {
            Self::HeaderValue | Self::Body => match BASE64_STANDARD.decode(text) {
                Ok(bytes) if self == Self::Body => in_body(&bytes),
                Ok(bytes) => self.in_chars(bytes.len(), &mut bytes.iter().map(|b| char::from(*b))),
                Err(_) if text.len() <= FEW => None,
                Err(_) => Some("is not base64".to_owned()),
            },
            _ => self.in_chars(text.len(), &mut text.chars()),
        }
    }

    fn in_chars(self, bytes: usize, chars: &mut dyn Iterator<Item = char>) -> Option<String> {
        if bytes > self.longest() {
            return Some(format!("is longer than {} bytes", self.longest()));
        }
        let (mut all, mut control, mut foreign) = (0, 0, 0);
        for c in chars {
            all += 1;
            match c {
                '\t' => {}
                '\n' | '\r' if matches!(self, Self::Text | Self::Json) => {}
                c if c.is_ascii_control() => control += 1,
                c if !c.is_ascii() => foreign += 1,
                c if self == Self::Token && !is_of_tokens(c) => control += 1,
                ' ' if self == Self::Target => control += 1,
                _ => {}
            }
        }
        let foreign_max = match self {
            Self::Token | Self::Target => FEW,
            _ => FEW.max(all / 4),
        };
        if control > FEW {
            Some(format!(
                "has {control} control or other characters that do not belong there"
            ))
        } else if foreign > foreign_max {
            Some(format!(
                "has {foreign} of {all} characters outside of ASCII"
            ))
        } else {
            None
        }
    }

    /// Returns a usual value that takes as many bytes in a request: each text is replaced with
    /// letters. `None` for a state.
    fn instead(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::State, _) => None,
            (Self::HeaderValue | Self::Body, Value::String(text)) => {
                let bytes = (text.len() / 4 * 3).min(self.longest());
                Some(BASE64_STANDARD.encode("a".repeat(bytes)).into())
            }
            (_, Value::String(_)) => {
                // The length when escaped, without the surrounding quotes.
                let bytes = value.to_string().len() - 2;
                Some("a".repeat(bytes.min(self.longest())).into())
            }
            (_, Value::Array(items)) => items.iter().map(|item| self.instead(item)).collect(),
            (_, Value::Object(fields)) => {
                let fields = fields.iter();
                let fields = fields.map(|(name, value)| Some((name.clone(), self.instead(value)?)));
                fields.collect::<Option<Map<_, _>>>().map(Value::Object)
            }
            (_, value) => Some(value.clone()),
        }
    }
}

/// Returns whether HTTP allows the character in a token (RFC 9110, 5.6.2). The colon is for the
/// pseudo-headers of HTTP/2.
fn is_of_tokens(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:".contains(c)
}

/// Returns why no host sends a body of these bytes, or `None`.
fn in_body(bytes: &[u8]) -> Option<String> {
    let is_control = |c: &char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    let control = match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().filter(is_control).count(),
        Err(_) => bytes.len(),
    };
    if control <= FEW {
        return None;
    }
    let mut counts = [0usize; 256];
    bytes
        .iter()
        .for_each(|byte| counts[usize::from(*byte)] += 1);
    let different = counts.iter().filter(|count| **count > 0).count();
    let most = counts.iter().max().copied().unwrap_or(0);
    let is_binary = different >= BINARY_BYTES_MIN && 2 * most <= bytes.len();
    (!is_binary).then(|| {
        let bytes = bytes.len();
        format!("is neither text nor usual binary data: {different} different bytes in {bytes}")
    })
}

/// Returns why no host sends this JSON, or `None`.
fn in_json(value: &Value) -> Option<String> {
    let levels = depth(value);
    if levels > LEVELS_MAX {
        return Some(format!("is nested {levels} levels deep"));
    }
    match value {
        Value::String(text) => Role::Json.in_text(text),
        Value::Array(items) => items.iter().find_map(in_json),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(name, value)| Role::Name.in_text(name).or_else(|| in_json(value))),
        _ => None,
    }
}

/// Returns whether an answer contains this state in one of the fields for states.
pub(crate) fn returns_state(answer: &Value, state: &Value) -> bool {
    STATES.iter().any(|field| answer.get(field) == Some(state))
}

/// Returns the value as one field: for a request whose fields have no roles.
pub(crate) fn whole(value: Value) -> FieldValue {
    FieldValue {
        path: String::new(),
        role: Role::Json,
        value,
    }
}

/// The largest input, in bytes, on which a plugin must not run out of fuel or time.
///
/// A plugin that fails on a larger input has a limit, not a fault. Reading byte by byte, as the
/// cc-lb guest runtime does, costs 50 to 120 fuel a byte; parsing JSON of many small parts with
/// `serde_json` costs some hundreds more a byte.
pub const ORDINARY_INPUT_BYTES: usize = 16 * 1024;

/// The deepest nesting, in levels, at which the same holds.
///
/// `serde_json` computes the line and column of an error again on every level that the error
/// passes, each time from the beginning of the input. Beyond its own limit of 128 levels, that
/// costs as much as reading the input more than a hundred times.
pub const ORDINARY_DEPTH: usize = 64;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::fields::Fields;
    use crate::wire::*;

    fn unusual(role: Role, value: Value) -> Option<Unusual> {
        let path = String::new();
        FieldValue { path, role, value }.unusual(&|_| false)
    }

    /// Asserts that every realistic value is usual.
    fn is_usual<T: FieldDomain + Fields>() {
        for value in T::realistic() {
            value.values("", &mut |value| assert_eq!(value.unusual(&|_| true), None));
        }
    }

    #[test]
    fn what_is_drawn_as_realistic_is_what_hosts_send() {
        macro_rules! all {
            ($($field:ty),+ $(,)?) => {$( is_usual::<$field>(); )+};
        }
        all! {
            RequestId, HeaderName, Method, Path, Query, Url, PrincipalId, PrincipalKind, UpstreamId,
            Label, Timestamp, UserAgent, Message, Body, HeaderValue, Json, JsonObject,
        }
    }

    #[test]
    fn each_role_tells_what_hosts_send_from_what_they_do_not() {
        let base64 = |bytes: &[u8]| Value::from(BASE64_STANDARD.encode(bytes));
        let binary: Vec<u8> = (0..9_000u32).map(|n| (n * n / 7) as u8).collect();
        let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
        let usual = [
            (Role::Token, json!("x-request-id".repeat(40))),
            (Role::Token, json!("a\0 b")),
            (Role::Name, json!("日本語")),
            (Role::Name, json!("Zoë ".repeat(100))),
            (Role::Target, json!("/a/%2f".repeat(900))),
            (Role::Text, json!("a line\n".repeat(900))),
            (Role::HeaderValue, base64(&b"a, b;q=1 ".repeat(300))),
            (Role::HeaderValue, json!("no base64")),
            (Role::Body, base64("日本語で答えて".repeat(400).as_bytes())),
            (Role::Body, base64(&binary)),
            (Role::Body, base64(&[0, 1, 2])),
            (
                Role::Json,
                json!({"roles": vec!["admin"; 700], "note": "a".repeat(5_000)}),
            ),
        ];
        for (role, value) in usual {
            assert_eq!(unusual(role, value.clone()), None, "{role:?} {value}");
        }
        let others = [
            (Role::Token, json!("x a".repeat(90))),
            (Role::Name, json!("a".repeat(2_000))),
            (Role::Name, json!("€".repeat(90))),
            (Role::Target, json!("/é".repeat(90))),
            (Role::Text, json!("\u{1}a".repeat(90))),
            (Role::HeaderValue, base64(&b"a\r\n".repeat(90))),
            (Role::HeaderValue, json!("=".repeat(90))),
            (Role::Body, base64(&[0; 9_000])),
            (Role::Body, base64(&b"\x00\xff\x7f".repeat(900))),
            (Role::Body, json!("=".repeat(90))),
            (Role::Json, json!({"a": [1, "€".repeat(1_700)]})),
            (Role::Json, json!({"\u{1}".repeat(90): 1})),
            (Role::Json, deep),
            (Role::State, json!({})),
        ];
        for (role, value) in others {
            assert!(unusual(role, value.clone()).is_some(), "{role:?} {value}");
        }
    }

    #[test]
    fn what_comes_in_place_of_a_value_is_usual_and_takes_as_many_bytes() {
        for (role, value) in [
            (Role::Token, json!("\0".repeat(90))),
            (Role::Text, json!("€".repeat(900))),
            (Role::HeaderValue, json!("A".repeat(4_000))),
            (Role::Body, json!("A".repeat(12_000))),
            (Role::Json, json!({"a": ["€".repeat(900), 1]})),
        ] {
            let of_it = unusual(role, value.clone()).expect("it is unusual");
            let instead = of_it.instead.expect("there is something");
            assert_eq!(
                instead.to_string().len(),
                value.to_string().len(),
                "{role:?}"
            );
            assert_eq!(unusual(role, instead), None, "{role:?}");
        }
    }
}
