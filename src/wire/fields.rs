//! Access to the fields and parts of a request without a round trip through JSON, which takes
//! longer than a call of a plugin.
//!
//! Bugs in this module look like a field that never changes alone, or a part that nothing is ever
//! inserted into.

use std::any::Any;
use std::fmt::Debug;

use arbitrary::{Arbitrary, Unstructured};
use serde_json::{Map, Value};

use super::common::{ErrorCategory, Event, Header, Upstream};
use super::json::{Json, JsonObject};
use super::list::List;
use super::role::{FieldValue, Role};

/// A part of a request that can be changed to hold something a plugin looks for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Part<'a> {
    /// A text that is not a body, in lists and in JSON too.
    Text(&'a mut String),
    /// A message's body, in base64.
    Body(&'a mut String),
    /// The headers of a message.
    Headers(&'a mut Vec<Header>),
    /// Any list but headers.
    Items(&'a mut dyn Items),
    /// A field or a nested value that may be any JSON.
    Json(&'a mut Value),
    /// A JSON object with any fields; it must stay an object.
    Object(&'a mut Map<String, Value>),
}

/// A list with items of any type.
pub trait Items: Debug {
    /// Repeats the items until there are `count`, starting from the smallest item if the list is
    /// empty.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    fn repeat(&mut self, count: usize) -> arbitrary::Result<()>;
}

impl<T: Clone + Debug + for<'a> Arbitrary<'a>> Items for Vec<T> {
    fn repeat(&mut self, count: usize) -> arbitrary::Result<()> {
        if self.is_empty() {
            self.push(T::arbitrary(&mut Unstructured::new(&[]))?);
        }
        let items = std::mem::take(self);
        self.extend(items.iter().cycle().take(count).cloned());
        Ok(())
    }
}

/// A field, or a struct of fields.
pub(crate) trait Fields: Field {
    /// Calls `show` with each field, in order; a type that is not a struct is one field. A list
    /// counts as one field, as does an optional field.
    fn fields(&mut self, show: &mut dyn FnMut(&mut dyn Field))
    where
        Self: Sized,
    {
        show(self);
    }

    /// Calls `show` with each part, including those inside lists and JSON. By default there are
    /// none.
    fn parts(&mut self, _: &mut dyn FnMut(Part<'_>)) {}

    /// Calls `show` with each value that may be unusual and its role, including those in lists. By
    /// default there are none. `path` is the JSON pointer of this field.
    fn values(&self, path: &str, show: &mut dyn FnMut(FieldValue)) {
        let _ = (path, show);
    }
}

/// A field that changes as a whole.
pub(crate) trait Field {
    /// Replaces the field with an arbitrary value.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    fn renew(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()>;
}

impl<T: for<'a> Arbitrary<'a>> Field for T {
    fn renew(&mut self, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        *self = u.arbitrary()?;
        Ok(())
    }
}

impl Fields for bool {}

impl Fields for ErrorCategory {}

/// `Upstream` has a single value, so it has no field to change.
impl Fields for Upstream {
    fn fields(&mut self, _: &mut dyn FnMut(&mut dyn Field)) {}
}

impl<T: Fields + for<'a> Arbitrary<'a>> Fields for Option<T> {
    fn parts(&mut self, show: &mut dyn FnMut(Part<'_>)) {
        if let Some(value) = self {
            value.parts(show);
        }
    }

    fn values(&self, path: &str, show: &mut dyn FnMut(FieldValue)) {
        if let Some(value) = self {
            value.values(path, show);
        }
    }
}

impl<T: Fields + Clone + Debug + for<'a> Arbitrary<'a> + 'static> Fields for List<T> {
    fn parts(&mut self, show: &mut dyn FnMut(Part<'_>)) {
        let items: &mut dyn Any = &mut self.0;
        match items.downcast_mut() {
            Some(headers) => show(Part::Headers(headers)),
            None => show(Part::Items(&mut self.0)),
        }
        self.0.iter_mut().for_each(|item| item.parts(show));
    }

    fn values(&self, path: &str, show: &mut dyn FnMut(FieldValue)) {
        for (index, item) in self.0.iter().enumerate() {
            item.values(&format!("{path}/{index}"), show);
        }
    }
}

impl Fields for Json {
    fn parts(&mut self, show: &mut dyn FnMut(Part<'_>)) {
        parts_of(&mut self.0, show);
    }

    fn values(&self, path: &str, show: &mut dyn FnMut(FieldValue)) {
        show(FieldValue {
            path: path.to_owned(),
            // Only states are arbitrary JSON.
            role: Role::State,
            value: self.0.clone(),
        });
    }
}

impl Fields for JsonObject {
    fn parts(&mut self, show: &mut dyn FnMut(Part<'_>)) {
        show(Part::Object(&mut self.0));
        parts_of_fields(&mut self.0, show);
    }

    fn values(&self, path: &str, show: &mut dyn FnMut(FieldValue)) {
        show(FieldValue {
            path: path.to_owned(),
            role: Role::Json,
            value: self.0.clone().into(),
        });
    }
}

/// Shows the fields sorted by name, regardless of the order that the object keeps.
fn parts_of_fields(fields: &mut Map<String, Value>, show: &mut dyn FnMut(Part<'_>)) {
    let mut fields: Vec<_> = fields.iter_mut().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields
        .into_iter()
        .for_each(|(_, value)| parts_of(value, show));
}

fn parts_of(json: &mut Value, show: &mut dyn FnMut(Part<'_>)) {
    show(Part::Json(json));
    match json {
        Value::String(text) => show(Part::Text(text)),
        Value::Array(items) => items.iter_mut().for_each(|value| parts_of(value, show)),
        Value::Object(fields) => parts_of_fields(fields, show),
        _ => {}
    }
}

impl Fields for Event {
    fn parts(&mut self, show: &mut dyn FnMut(Part<'_>)) {
        match self {
            Self::RequestStarted {
                request_id,
                downstream_user_agent,
            } => {
                request_id.parts(show);
                downstream_user_agent.parts(show);
            }
            Self::AuthnComplete {
                principal_id,
                principal_kind,
            } => {
                principal_id.parts(show);
                principal_kind.parts(show);
            }
            Self::Error {
                code,
                message,
                source,
            } => {
                code.parts(show);
                message.parts(show);
                source.parts(show);
            }
            Self::UpstreamChosen { .. } | Self::Chunk { .. } | Self::RequestFinished { .. } => {}
        }
    }

    fn values(&self, path: &str, show: &mut dyn FnMut(FieldValue)) {
        match self {
            Self::RequestStarted {
                request_id,
                downstream_user_agent,
            } => {
                let path = format!("{path}/request_started");
                request_id.values(&format!("{path}/request_id"), show);
                downstream_user_agent.values(&format!("{path}/downstream_user_agent"), show);
            }
            Self::AuthnComplete {
                principal_id,
                principal_kind,
            } => {
                let path = format!("{path}/authn_complete");
                principal_id.values(&format!("{path}/principal_id"), show);
                principal_kind.values(&format!("{path}/principal_kind"), show);
            }
            Self::Error {
                code,
                message,
                source,
            } => {
                let path = format!("{path}/error");
                code.values(&format!("{path}/code"), show);
                message.values(&format!("{path}/message"), show);
                source.values(&format!("{path}/source"), show);
            }
            Self::UpstreamChosen { .. } | Self::Chunk { .. } | Self::RequestFinished { .. } => {}
        }
    }
}

/// Returns the request with up to `fields` of its fields renewed; a field may be drawn twice.
///
/// # Errors
/// Returns the errors of `arbitrary`.
pub(super) fn with_some_renewed<T: Fields>(
    mut request: T,
    fields: usize,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<T> {
    let mut all = 0;
    request.fields(&mut |_| all += 1);
    for _ in 0..fields.min(all) {
        let chosen = u.choose_index(all)?;
        let (mut at, mut renewed) = (0, Ok(()));
        request.fields(&mut |field| {
            if at == chosen {
                renewed = field.renew(u);
            }
            at += 1;
        });
        renewed?;
    }
    Ok(request)
}
