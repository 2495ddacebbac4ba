//! Byte strings in programs, readable in case files if they are text.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::wire::text_form;

/// Bytes that a program emits. In a case file they are a JSON string, or `{"$base64": "…"}` if they
/// are not UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Readable {
    Text(#[serde(with = "text_form")] String),
    Base64 {
        #[serde(rename = "$base64")]
        base64: String,
    },
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if !s.is_human_readable() {
            return s.serialize_bytes(&self.0);
        }
        match String::from_utf8(self.0.clone()) {
            Ok(text) => Readable::Text(text),
            Err(_) => Readable::Base64 {
                base64: BASE64_STANDARD.encode(&self.0),
            },
        }
        .serialize(s)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return <&[u8]>::deserialize(d).map(|bytes| Self(bytes.to_vec()));
        }
        match Readable::deserialize(d)? {
            Readable::Text(text) => Ok(Self(text.into_bytes())),
            Readable::Base64 { base64 } => BASE64_STANDARD
                .decode(base64)
                .map(Self)
                .map_err(D::Error::custom),
        }
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}
