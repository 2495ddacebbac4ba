//! How large a request may be before a plugin does not answer it any more: the largest body, the longest list, the
//! deepest JSON, each found by bisection on the dry-run request.
//!
//! A discrepancy here is a limit that a smaller request already passes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::case::tree;
use crate::host::{DispatchOutcome, HandshakeError, Host};
use crate::observation::dispatch;
use crate::wire::{Function, Vocabulary};

/// The largest text that is tried, in characters of base64: near the largest input of a guest.
const TEXT_MAX: u64 = 1_000_000;

/// The longest list that is tried.
const ITEMS_MAX: u64 = 16_384;

/// The deepest JSON that is tried.
const DEPTH_MAX: u64 = 500;

/// How far one field of a function's request can grow.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The function.
    pub function: &'static Function,
    /// The field: names with dots between them.
    pub field: String,
    /// What grows.
    pub growth: Growth,
    /// The largest size that the plugin answers; `None` where it does not answer the smallest.
    pub largest: Option<u64>,
    /// What the next size comes to; `None` where nothing larger was tried.
    pub beyond: Option<String>,
    /// What the sizes on the way took, each twice the one before.
    pub curve: Vec<Point>,
}

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// A text in base64, in bytes before encoding.
    Bytes,
    /// A list, in items.
    Items,
    /// JSON, in levels.
    Levels,
}

impl Growth {
    /// What is counted.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Items => "items",
            Self::Levels => "levels",
        }
    }

    fn most(self) -> u64 {
        match self {
            Self::Bytes => TEXT_MAX / 4 * 3,
            Self::Items => ITEMS_MAX,
            Self::Levels => DEPTH_MAX,
        }
    }
}

/// What a request of a size took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The size, in the growth's unit.
    pub size: u64,
    /// The guest's input, in bytes.
    pub input_bytes: Option<usize>,
    /// The fuel of the call.
    pub fuel: Option<u64>,
    /// The time of the call.
    pub time: Duration,
}

/// Finds the limits of every function that the plugin negotiated.
///
/// # Errors
/// [`HandshakeError`] where the host opens no session.
pub fn limits<H: Host, R: Vocabulary>(host: &H) -> Result<Vec<Limit>, HandshakeError> {
    let mut found = Vec::new();
    for (place, function) in R::functions().iter().enumerate() {
        if host.negotiated(function.name).is_none() {
            continue;
        }
        let Ok(sample) = serde_json::to_value(R::dry_run(place)) else {
            continue;
        };
        for (path, growth) in fields::<R>(&sample) {
            let field = Field::<R> {
                sample: &sample,
                path: &path,
                growth,
                item: item::<R>(place, &path),
                _request: std::marker::PhantomData,
            };
            found.push(field.limit(host, function)?);
        }
    }
    Ok(found)
}

/// The fields that can grow, as JSON pointers.
fn fields<R: Vocabulary>(sample: &Value) -> Vec<(String, Growth)> {
    let mut fields = Vec::new();
    let paths = tree::paths(sample, |value| !value.is_null());
    // Of a list that grows, its items need not.
    let in_a_list = |path: &String| path.split('/').any(|key| key.parse::<usize>().is_ok());
    for path in paths.into_iter().filter(|path| !in_a_list(path)) {
        match sample.pointer(&path) {
            Some(Value::String(_)) if path.ends_with("base64") => {
                fields.push((path, Growth::Bytes));
            }
            Some(Value::Array(_)) => fields.push((path, Growth::Items)),
            Some(Value::Object(_)) if takes_any_field::<R>(sample, &path) => {
                fields.push((path, Growth::Levels));
            }
            _ => {}
        }
    }
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

/// Whether the object is JSON of whoever sends it.
fn takes_any_field<R: Vocabulary>(sample: &Value, path: &str) -> bool {
    let mut root = sample.clone();
    if let Some(Value::Object(object)) = root.pointer_mut(path) {
        object.insert("any".to_owned(), Value::Null);
    }
    serde_json::from_value::<R>(root).is_ok()
}

/// An item of the list at this path, from an arbitrary request that has one.
fn item<R: Vocabulary>(place: usize, path: &str) -> Option<Value> {
    (0..64).find_map(|donor| {
        let request = super::boundaries::donor::<R>(place, donor)?;
        request.pointer(path)?.get(0).cloned()
    })
}

/// A field that grows.
struct Field<'a, R> {
    sample: &'a Value,
    path: &'a str,
    growth: Growth,
    item: Option<Value>,
    _request: std::marker::PhantomData<fn() -> R>,
}

impl<R: Vocabulary> Field<'_, R> {
    /// The request with the field at this size.
    fn request(&self, size: u64) -> Option<R> {
        let size = usize::try_from(size).ok()?;
        let grown = match self.growth {
            Growth::Bytes => json!({ "$repeat": ["A", size.div_ceil(3) * 4] }),
            Growth::Items => Value::Array(vec![self.item.clone()?; size]),
            Growth::Levels => {
                let inner =
                    "[".repeat(size.saturating_sub(1)) + &"]".repeat(size.saturating_sub(1));
                let inner = if inner.is_empty() {
                    "0".to_owned()
                } else {
                    inner
                };
                json!({ "$json": format!("{{\"a\":{inner}}}") })
            }
        };
        let mut root = self.sample.clone();
        *root.pointer_mut(self.path)? = grown;
        serde_json::from_value(root).ok()
    }

    fn limit<H: Host>(
        &self,
        host: &H,
        function: &'static Function,
    ) -> Result<Limit, HandshakeError> {
        let (mut curve, mut answered, mut beyond) = (Vec::new(), None, None);
        let mut size = 1;
        // Twice as large, until it is too large.
        let mut failing = loop {
            match self.try_on(host, size)? {
                Ok(point) => {
                    curve.push(point);
                    answered = Some(size);
                }
                Err(why) => {
                    beyond = Some(why);
                    break size;
                }
            }
            if size == self.growth.most() {
                break size + 1;
            }
            size = (2 * size).min(self.growth.most());
        };
        while let Some(last) = answered
            && failing - last > 1
        {
            let middle = last + (failing - last) / 2;
            match self.try_on(host, middle)? {
                Ok(_) => answered = Some(middle),
                Err(why) => {
                    beyond = Some(why);
                    failing = middle;
                }
            }
        }
        Ok(Limit {
            function,
            field: self
                .path
                .splitn(3, '/')
                .nth(2)
                .unwrap_or("")
                .replace('/', "."),
            growth: self.growth,
            largest: answered,
            beyond,
            curve,
        })
    }

    /// What a request of this size took on a fresh session, or why it was not answered.
    fn try_on<H: Host>(
        &self,
        host: &H,
        size: u64,
    ) -> Result<Result<Point, String>, HandshakeError> {
        let Some(request) = self.request(size) else {
            return Ok(Err("it cannot be said".to_owned()));
        };
        let observed = dispatch(request, &mut host.open()?);
        Ok(match observed.outcome {
            DispatchOutcome::Ok(_) => Ok(Point {
                size,
                input_bytes: observed.call.input_bytes,
                fuel: observed.call.fuel,
                time: observed.call.time,
            }),
            DispatchOutcome::Fallback(_) => Err(observed
                .call
                .cause
                .map_or_else(|| "a fallback".to_owned(), |cause| cause.to_string())),
        })
    }
}
