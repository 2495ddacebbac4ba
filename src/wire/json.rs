//! JSON fields: claims and the signers' states.
//!
//! In a case file such a field is the JSON itself. One that is nested deeper than a JSON parser follows, or in which one of
//! the keys below stands for itself, is written as `{"$json": "<text>"}`. One with long runs of the same few characters is
//! written as `{"$json": <JSON>}`, in which a text may be `{"$repeat": ["a", 1024]}`; without any such text that is an object
//! with the field `$json`.

use std::sync::LazyLock;

use arbitrary::Unstructured;
use proptest::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value, json};

use super::convert::Wire;
use super::domain::{Domain, generated};
use super::text::{self, Repeat};

/// The depth up to which a value is written as plain JSON: serde_json follows 128 levels, of which the
/// case around it takes some.
const PLAIN_DEPTH: usize = 96;

/// The deepest nesting that a case may hold.
const MAX_DEPTH: usize = 512;

/// How many values it may have: reading one takes up to 640 bytes.
const MAX_VALUES: usize = 1 << 20;

const TEXT_KEY: &str = "$json";

const REPEAT_KEY: &str = "$repeat";

/// Nesting depths around the limit of serde_json's parser, which is 128. The request around the field
/// adds one or two levels.
const DEPTHS: [usize; 6] = [64, 125, 126, 127, 128, 200];

/// Any JSON value.
#[derive(Clone, Debug, PartialEq)]
pub struct Json(pub Value);

/// Any JSON object.
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
        } else if has_text(&self.0, &|text| Repeat::of(text).is_some()) {
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

/// The value with fields in the order of their names: it is the same, and says the same to a plugin, in whose tree
/// `serde_json` has `preserve_order`.
fn sorted(mut value: Value) -> Value {
    value.sort_all_objects();
    value
}

fn text_of(value: &Value) -> String {
    sorted(value.clone()).to_string()
}

/// A text in short. A list would be read as one, too, by its place.
fn repeat_in(value: &Value) -> Option<Repeat> {
    value.as_object()?;
    Repeat::deserialize(value).ok()
}

/// The JSON that an object with the one field `$json` holds, where there is a text in it that is written in short.
fn short(value: &Value) -> Option<&Value> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    let inner = fields.get(TEXT_KEY)?;
    let is_repeat = |value: &Value| repeat_in(value).is_some();
    holds(inner, &is_repeat).then_some(inner)
}

/// Whether something in the JSON is such.
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

/// The JSON with another value in the place of each that has one.
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

/// The JSON with its long texts in short.
fn shortened(value: &Value) -> Value {
    let short = |value: &Value| {
        let repeat = Repeat::of(value.as_str()?)?;
        serde_json::to_value(repeat).ok().map(Ok)
    };
    let Ok(short) = replaced::<std::convert::Infallible>(value, &short);
    short
}

/// The JSON with whole texts in place of the short ones.
fn expanded(value: &Value) -> Result<Value, String> {
    replaced(value, &|value| {
        let repeat = repeat_in(value)?;
        Some(repeat.text().map(Value::from))
    })
}

/// A request, or a part of it, whose texts are whole: written as it reads back, though not as it is written.
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

/// A field for people: JSON whose texts are in short without what says so.
pub(crate) fn in_short(value: &Value) -> Value {
    let short = replaced::<std::convert::Infallible>(value, &|value| short(value).cloned().map(Ok));
    let Ok(short) = short;
    short
}

/// How many levels of lists and objects there are.
pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Parses JSON of up to [`MAX_DEPTH`] levels, deeper than serde_json does by itself.
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

/// How deep a JSON text is nested; of what is none, as deep as a parser follows it before it gives up, or more.
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

/// How many values a JSON text has, one inside of the other, at most; of what is none, as many as a parser reads before it gives
/// up, or more.
pub(crate) fn values(json: &[u8]) -> usize {
    // The first, those behind commas, and the first of each list and object.
    1 + outside_of_texts(json)
        .filter(|byte| b",[{".contains(byte))
        .count()
}

/// The bytes of a JSON text without those of the texts in it.
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

fn rubbish(u: &mut Unstructured<'_>, levels: usize) -> arbitrary::Result<Value> {
    let highest = if levels == 0 { 4 } else { 6 };
    Ok(match u.int_in_range(0..=highest)? {
        0 => Value::from(u.arbitrary::<i64>()?),
        1 => number(u.arbitrary()?),
        2 => Value::from(text::rubbish(u)?),
        3 => Value::Bool(u.arbitrary()?),
        4 => Value::Null,
        5 => {
            let length = u.int_in_range(0..=3)?;
            let items = (0..length).map(|_| rubbish(u, levels - 1));
            Value::Array(items.collect::<arbitrary::Result<_>>()?)
        }
        _ => Value::Object(rubbish_object(u, levels - 1)?),
    })
}

/// A number that is written and read as the same one: the parser may be off by one bit, and reading the
/// same text again may be off once more.
fn number(mut x: f64) -> Value {
    for _ in 0..4 {
        match serde_json::from_str(&Value::from(x).to_string()) {
            Ok(Some(back)) if back == x => return Value::from(x),
            Ok(Some(back)) => x = back,
            // Not finite, so null in JSON.
            Ok(None) | Err(_) => break,
        }
    }
    Value::from(0.5)
}

fn rubbish_object(
    u: &mut Unstructured<'_>,
    levels: usize,
) -> arbitrary::Result<Map<String, Value>> {
    let length = u.int_in_range(0..=3)?;
    let fields = (0..length).map(|_| Ok((text::rubbish(u)?, rubbish(u, levels)?)));
    let mut object: Map<String, Value> = fields.collect::<arbitrary::Result<_>>()?;
    object.sort_keys();
    Ok(object)
}

fn rubbish_strategy() -> impl Strategy<Value = Value> {
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

impl Domain for Json {
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
                json!({"\0": {"\u{202e}": []}}),
                json!(vec![0; 256]),
            ];
            values.extend(DEPTHS.into_iter().flat_map(nested));
            values.into_iter().map(Json).collect()
        });
        &VALUES
    }

    fn rubbish(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        rubbish(u, 4).map(Self)
    }

    fn rubbish_strategy() -> BoxedStrategy<Self> {
        rubbish_strategy().prop_map(Self).boxed()
    }
}

impl Domain for JsonObject {
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

    fn rubbish(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        rubbish_object(u, 3).map(Self)
    }

    fn rubbish_strategy() -> BoxedStrategy<Self> {
        object_strategy(rubbish_strategy()).prop_map(Self).boxed()
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
