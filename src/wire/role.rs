//! What a host sends in a field: the roles that fields have, in one table, at [`Role`].
//!
//! Bugs in this module look like a realistic value of a field's [`Domain`](super::Domain) that is told to be unusual.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value};

use super::json::depth;

/// So many characters that no host sends are a boundary and no more.
pub const FEW: usize = 64;

/// The deepest JSON that a host sends, in levels.
const LEVELS_MAX: usize = 32;

/// How many different bytes binary data has at least: what has fewer is made up.
const BINARY_BYTES_MIN: usize = 32;

/// The fields of answers in which a plugin returns a state.
const STATES: [&str; 2] = ["signer_state", "factory_state"];

/// What a field is for, and with it what a host sends there.
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
/// Printable text has no control characters but tabs and ends of lines, and outside of ASCII no more than a quarter of its
/// characters; a body may be in any language. Up to [`FEW`] characters that no host sends are a boundary: a host passes on
/// what it did not look at, and that little costs nothing. A header, a list and JSON may have as many items as fit into a
/// request. Numbers and what is absent are always usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A word of HTTP.
    Token,
    /// What people and programs call something.
    Name,
    /// Where a request goes.
    Target,
    /// What people read.
    Text,
    /// The value of a header, in base64.
    HeaderValue,
    /// The body of a message, in base64.
    Body,
    /// What a plugin keeps at its host.
    State,
    /// JSON of whoever sends it.
    Json,
}

/// What a field says.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldValue {
    /// The field, as a JSON pointer into the generated form of the request; empty for the whole request.
    pub path: String,
    /// What the field is for.
    pub role: Role,
    /// What it says.
    pub value: Value,
}

/// What no host sends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unusual {
    /// The field, as in [`FieldValue`].
    pub(crate) path: String,
    /// What the field is for.
    pub(crate) role: Role,
    why: String,
    /// What a host does send, of the same size; `None` where there is no such thing.
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

/// A request that is no JSON, or nested deeper than a parser follows.
pub(super) fn unreadable() -> Unusual {
    Unusual {
        path: String::new(),
        role: Role::Json,
        why: "is nested too deep to be read".to_owned(),
        instead: None,
    }
}

impl FieldValue {
    /// Why no host sends this, if none does. `is_returned` says whether the plugin returned a state.
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
    /// The longest text, in bytes.
    fn longest(self) -> usize {
        match self {
            Self::Token | Self::Name => 1 << 10,
            Self::Body => usize::MAX,
            _ => 8 << 10,
        }
    }

    /// Why no host sends this text.
    fn in_text(self, text: &str) -> Option<String> {
        match self {
            Self::HeaderValue | Self::Body => match BASE64_STANDARD.decode(text) {
                Ok(bytes) if self == Self::Body => in_body(&bytes),
                Ok(bytes) => self.in_chars(bytes.len(), &mut bytes.iter().map(|b| char::from(*b))),
                Err(_) if text.len() <= FEW => None,
                Err(_) => Some("is no base64".to_owned()),
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

    /// What a host sends that takes as many bytes in a request: letters in place of each text.
    fn instead(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::State, _) => None,
            (Self::HeaderValue | Self::Body, Value::String(text)) => {
                let bytes = (text.len() / 4 * 3).min(self.longest());
                Some(BASE64_STANDARD.encode("a".repeat(bytes)).into())
            }
            (_, Value::String(_)) => {
                // As it is escaped, without the quotes around it.
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

/// The characters of tokens: RFC 9110, 5.6.2; HTTP/2 has a colon before the names of its own.
fn is_of_tokens(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:".contains(c)
}

/// Why no host sends a body of these bytes.
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

/// Why no host sends this JSON.
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

/// Whether an answer returns this state.
pub(crate) fn returns_state(answer: &Value, state: &Value) -> bool {
    STATES.iter().any(|field| answer.get(field) == Some(state))
}

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

    /// Asserts that no realistic value is told to be unusual.
    fn is_usual<T: Domain + Fields>() {
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
