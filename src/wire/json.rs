//! JSON fields: claims and the states of signers.
//!
//! In a case file such a field is the JSON itself, with two exceptions. JSON that is nested too
//! deep for a parser, or that contains `$json` as a key at its top or `$repeat` as a key anywhere,
//! is written as `{"$json": "<text>"}`. JSON with long runs of the same few characters is written
//! as `{"$json": <JSON>}`, in which a text may be `{"$repeat": ["a", 1024]}`. Without any such text
//! inside, `{"$json": <JSON>}` is an ordinary object with the field `$json`.

use std::sync::LazyLock;

use arbitrary::Unstructured;
use proptest::prelude::*;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::convert::Wire;
use super::domain::{FieldDomain, generated};
use super::text::{self, Repeat};

/// The deepest nesting, in levels, that is written as plain JSON. `serde_json` parses 128 levels,
/// and the surrounding case takes some of them.
const PLAIN_DEPTH: usize = 96;

/// The deepest nesting that a case may hold, in levels.
const MAX_DEPTH: usize = 512;

/// The most values that the JSON in one field may have; parsing one takes up to 640 bytes.
const MAX_VALUES: usize = 1 << 20;

const TEXT_KEY: &str = "$json";

const REPEAT_KEY: &str = "$repeat";

/// Nesting depths around the limit of `serde_json`, which is 128 levels. The request around the
/// field adds one or two levels.
const DEPTHS: [usize; 6] = [64, 125, 126, 127, 128, 200];

/// A field that may be any JSON value.
#[derive(Clone, Debug, PartialEq)]
pub struct Json(pub Value);

/// A field that may be any JSON object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Json", into = "Json")]
pub struct JsonObject(pub Map<String, Value>);

impl TryFrom<Json> for JsonObject {
    type Error = &'static str;

    fn try_from(json: Json) -> Result<Self, Self::Error> {
        match json.0 {
            Value::Object(object) => Ok(Self(object)),
            _ => Err("claims are a JSON object"),
        }
    }
}

impl From<JsonObject> for Json {
    fn from(object: JsonObject) -> Self {
        Self(Value::Object(object.0))
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if !s.is_human_readable() {
            return text_of(&self.0).serialize(s);
        }
        let ambiguous = self.0.get(TEXT_KEY).is_some() || has_key(&self.0, REPEAT_KEY);
        if ambiguous || depth(&self.0) > PLAIN_DEPTH {
            json!({ TEXT_KEY: text_of(&self.0) }).serialize(s)
        } else if has_text(&self.0, &|text| Repeat::detect(text).is_some()) {
            json!({ TEXT_KEY: sorted(shortened(&self.0)) }).serialize(s)
        } else {
            sorted(self.0.clone()).serialize(s)
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return parse(&String::deserialize(d)?).map_err(D::Error::custom);
        }
        let value = Value::deserialize(d)?;
        match value.get(TEXT_KEY) {
            Some(Value::String(text)) => parse(text).map_err(D::Error::custom),
            _ => match short(&value) {
                Some(short) => expanded(short).map(Self).map_err(D::Error::custom),
                None => Ok(Self(value)),
            },
        }
    }
}

/// Returns the value with its fields sorted by name. The value is equal, and its text is the same
/// in a build in which another crate enables `preserve_order` of `serde_json`.
fn sorted(mut value: Value) -> Value {
    value.sort_all_objects();
    value
}

fn text_of(value: &Value) -> String {
    sorted(value.clone()).to_string()
}

/// Returns the compact form that this value is, if it is one. Only objects qualify: serde would
/// deserialize a list by position, too.
fn repeat_in(value: &Value) -> Option<Repeat> {
    value.as_object()?;
    Repeat::deserialize(value).ok()
}

/// Returns the inner JSON of an object with the single field `$json`, if a compact text is in it.
fn short(value: &Value) -> Option<&Value> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    let inner = fields.get(TEXT_KEY)?;
    let is_repeat = |value: &Value| repeat_in(value).is_some();
    holds(inner, &is_repeat).then_some(inner)
}

/// Returns whether the predicate holds for the value or anything inside it.
fn holds(value: &Value, is: &dyn Fn(&Value) -> bool) -> bool {
    is(value)
        || match value {
            Value::Array(items) => items.iter().any(|value| holds(value, is)),
            Value::Object(fields) => fields.values().any(|value| holds(value, is)),
            _ => false,
        }
}

fn has_key(value: &Value, key: &str) -> bool {
    holds(value, &|value| value.get(key).is_some())
}

fn has_text(value: &Value, is: &dyn Fn(&str) -> bool) -> bool {
    holds(value, &|value| value.as_str().is_some_and(is))
}

/// Returns the JSON with each value replaced for which `other` returns a replacement.
fn replaced<E>(
    value: &Value,
    other: &dyn Fn(&Value) -> Option<Result<Value, E>>,
) -> Result<Value, E> {
    match (other(value), value) {
        (Some(other), _) => other,
        (None, Value::Array(items)) => items.iter().map(|item| replaced(item, other)).collect(),
        (None, Value::Object(fields)) => fields
            .iter()
            .map(|(name, value)| Ok((name.clone(), replaced(value, other)?)))
            .collect(),
        (None, value) => Ok(value.clone()),
    }
}

/// Returns the JSON with its long texts in compact form.
fn shortened(value: &Value) -> Value {
    let short = |value: &Value| {
        let repeat = Repeat::detect(value.as_str()?)?;
        serde_json::to_value(repeat).ok().map(Ok)
    };
    let Ok(short) = replaced::<std::convert::Infallible>(value, &short);
    short
}

/// Returns the JSON with its compact texts expanded.
fn expanded(value: &Value) -> Result<Value, String> {
    replaced(value, &|value| {
        let repeat = repeat_in(value)?;
        Some(repeat.text().map(Value::from))
    })
}

/// Expands all compact texts of a request, or of a part of it, as it stands in a case file. The
/// result deserializes to the same request, but is not what serializing writes.
pub(crate) fn in_full(value: &Value) -> Value {
    let whole = replaced(value, &|value| match short(value) {
        Some(short) => Some(expanded(short)),
        None => {
            let repeat = repeat_in(value)?;
            Some(repeat.text().map(Value::from))
        }
    });
    whole.unwrap_or_else(|_| value.clone())
}

/// Unwraps `{"$json": …}` for people to read; its texts stay in compact form.
pub(crate) fn in_short(value: &Value) -> Value {
    let short = replaced::<std::convert::Infallible>(value, &|value| short(value).cloned().map(Ok));
    let Ok(short) = short;
    short
}

/// Returns the number of levels of lists and objects.
pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Parses JSON of up to [`MAX_DEPTH`] levels, which is deeper than the default limit of
/// `serde_json`.
fn parse(text: &str) -> Result<Json, String> {
    if nesting(text.as_bytes()) > MAX_DEPTH {
        return Err(format!("JSON nested deeper than {MAX_DEPTH} levels"));
    }
    if values(text.as_bytes()) > MAX_VALUES {
        return Err(format!("JSON of more than {MAX_VALUES} values"));
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    parser.disable_recursion_limit();
    let value = Value::deserialize(&mut parser).map_err(|error| error.to_string())?;
    parser.end().map_err(|error| error.to_string())?;
    Ok(Json(value))
}

/// Returns the nesting depth of a JSON text. For invalid JSON it is an upper bound of the depth at
/// which a parser gives up.
pub(crate) fn nesting(json: &[u8]) -> usize {
    let (mut open, mut most) = (0usize, 0);
    for byte in outside_of_texts(json) {
        match byte {
            b'[' | b'{' => {
                open += 1;
                most = most.max(open);
            }
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Returns an upper bound of the number of values in a JSON text, nested ones included. For invalid
/// JSON it bounds what a parser reads before it gives up.
pub(crate) fn values(json: &[u8]) -> usize {
    // One at the start, one after each comma, and one in each list and object.
    1 + outside_of_texts(json)
        .filter(|byte| b",[{".contains(byte))
        .count()
}

/// Returns the bytes of a JSON text that are not part of a string.
fn outside_of_texts(json: &[u8]) -> impl Iterator<Item = u8> {
    let (mut in_text, mut escaped) = (false, false);
    json.iter().copied().filter(move |byte| {
        let is_outside = !in_text && *byte != b'"';
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ => {}
        }
        is_outside
    })
}

fn nested(levels: usize) -> impl Iterator<Item = Value> {
    let array = (1..levels).fold(json!([]), |inner, _| json!([inner]));
    let object = (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }));
    [array, object].into_iter()
}

fn arbitrary_value(u: &mut Unstructured<'_>, levels: usize) -> arbitrary::Result<Value> {
    let highest = if levels == 0 { 4 } else { 6 };
    Ok(match u.int_in_range(0..=highest)? {
        0 => Value::from(u.arbitrary::<i64>()?),
        1 => number(u.arbitrary()?),
        2 => Value::from(text::arbitrary_value(u)?),
        3 => Value::Bool(u.arbitrary()?),
        4 => Value::Null,
        5 => {
            let length = u.int_in_range(0..=3)?;
            let items = (0..length).map(|_| arbitrary_value(u, levels - 1));
            Value::Array(items.collect::<arbitrary::Result<_>>()?)
        }
        _ => Value::Object(arbitrary_object(u, levels - 1)?),
    })
}

/// Returns a number that is the same after writing and parsing. The parser may be off by one bit,
/// and may be off again when it parses that result.
fn number(mut x: f64) -> Value {
    for _ in 0..4 {
        match serde_json::from_str(&Value::from(x).to_string()) {
            Ok(Some(back)) if back == x => return Value::from(x),
            Ok(Some(back)) => x = back,
            // Not finite, so it is null in JSON.
            Ok(None) | Err(_) => break,
        }
    }
    Value::from(0.5)
}

fn arbitrary_object(
    u: &mut Unstructured<'_>,
    levels: usize,
) -> arbitrary::Result<Map<String, Value>> {
    let length = u.int_in_range(0..=3)?;
    let fields = (0..length).map(|_| Ok((text::arbitrary_value(u)?, arbitrary_value(u, levels)?)));
    let mut object: Map<String, Value> = fields.collect::<arbitrary::Result<_>>()?;
    object.sort_keys();
    Ok(object)
}

fn arbitrary_strategy() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(number),
        ".{0,12}".prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..=3).prop_map(Value::from),
            object_strategy(inner).prop_map(Value::Object),
        ]
    })
}

fn object_strategy(
    value: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Map<String, Value>> {
    let fields = proptest::collection::vec((".{0,8}", value), 0..=3);
    fields.prop_map(|fields| {
        let mut object = Map::from_iter(fields);
        object.sort_keys();
        object
    })
}

impl FieldDomain for Json {
    fn realistic() -> &'static [Self] {
        static VALUES: LazyLock<Vec<Json>> = LazyLock::new(|| {
            [
                Value::Null,
                json!({}),
                json!({"key_id": "sk-ant-01", "expires_at": 1_767_225_600}),
                json!({"access_token": "AAAA", "refresh_token": "BBBB", "scopes": ["user:inference"]}),
                json!("opaque-state"),
            ]
            .map(|value| Json(sorted(value)))
            .into()
        });
        &VALUES
    }

    fn boundary() -> &'static [Self] {
        static VALUES: LazyLock<Vec<Json>> = LazyLock::new(|| {
            let mut values = vec![
                json!(false),
                json!(0),
                json!(-1),
                json!(u64::MAX),
                json!(i64::MIN),
                json!((1u64 << 53) + 1),
                json!(1e308),
                json!(0.1),
                json!(""),
                json!("\0"),
                json!("é🦀"),
                json!("a".repeat(4096)),
                json!([]),
                json!({"": null}),
                json!({"_v": 2}),
                json!(-0.0),
                // Values that parsers and serializers of JSON confuse with something else.
                json!({
                    "__proto__": {"_v": 1, "a": null},
                    "dotted.key": [[1, 1], [2]],
                    "empty": ["", {}],
                    "float": [1.0, -0.0, 1e-7, 1e21],
                    "snake_case": "true",
                    "sub": "{\"a\":[]}",
                    "text": "${HOME}\r\n",
                }),
                json!({"\0": {"\u{202e}": []}}),
                json!(vec![0; 256]),
            ];
            values.extend(DEPTHS.into_iter().flat_map(nested));
            values.into_iter().map(Json).collect()
        });
        &VALUES
    }

    fn arbitrary_value(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        arbitrary_value(u, 4).map(Self)
    }

    fn arbitrary_strategy() -> BoxedStrategy<Self> {
        arbitrary_strategy().prop_map(Self).boxed()
    }
}

impl FieldDomain for JsonObject {
    fn realistic() -> &'static [Self] {
        static VALUES: LazyLock<Vec<JsonObject>> = LazyLock::new(|| {
            let claims = [
                json!({}),
                json!({"sub": "user_01", "scope": ["messages:write"], "exp": 1_767_225_600}),
                json!({"org": "org-4a1f", "roles": ["admin"], "limits": {"rpm": 50}}),
            ];
            claims.into_iter().map(sorted).filter_map(object).collect()
        });
        &VALUES
    }

    fn boundary() -> &'static [Self] {
        static VALUES: LazyLock<Vec<JsonObject>> = LazyLock::new(|| {
            Json::boundary()
                .iter()
                .cloned()
                .filter_map(|json| object(json.0))
                .collect()
        });
        &VALUES
    }

    fn arbitrary_value(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        arbitrary_object(u, 3).map(Self)
    }

    fn arbitrary_strategy() -> BoxedStrategy<Self> {
        object_strategy(arbitrary_strategy()).prop_map(Self).boxed()
    }
}

fn object(value: Value) -> Option<JsonObject> {
    JsonObject::try_from(Json(value)).ok()
}

generated!(Json);
generated!(JsonObject);

impl Wire<Value> for Json {
    fn to_wire(self) -> Value {
        sorted(self.0)
    }

    fn from_wire(wire: Value) -> Self {
        Self(wire)
    }
}

impl Wire<Map<String, Value>> for JsonObject {
    fn to_wire(self) -> Map<String, Value> {
        match sorted(Value::Object(self.0)) {
            Value::Object(object) => object,
            _ => Map::new(),
        }
    }

    fn from_wire(wire: Map<String, Value>) -> Self {
        Self(wire)
    }
}
