//! The fields and parts of a request, to change one and leave the others: without the way through JSON, which takes
//! longer than the call of a plugin.
//!
//! A discrepancy here is a field that never changes alone, or a part that nothing is ever put into.

use std::any::Any;

use arbitrary::{Arbitrary, Unstructured};
use serde_json::{Map, Value};

use super::{ErrorCategory, Event, FieldValue, Header, Json, JsonObject, List, Role, Upstream};

/// A part of a request into which something may be put that a plugin looks for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Part<'a> {
    /// A text that is no body, in lists and in JSON too.
    Text(&'a mut String),
    /// A message's body, in base64.
    Body(&'a mut String),
    /// The headers of a message.
    Headers(&'a mut Vec<Header>),
    /// What may be any JSON.
    Json(&'a mut Value),
    /// An object that may have any fields, and nothing else may be in its place.
    Object(&'a mut Map<String, Value>),
}

/// A field, or a struct of fields.
pub(crate) trait Fields: Field {
    /// Shows each field, in order: itself, where it is no struct. A list is one field, as is what may be absent.
    fn fields(&mut self, show: &mut dyn FnMut(&mut dyn Field))
    where
        Self: Sized,
    {
        show(self);
    }

    /// Shows each part, those inside of lists and of JSON too; it has none, unless it says so.
    fn parts(&mut self, _: &mut dyn FnMut(Part<'_>)) {}

    /// Shows each value that may be unusual, with its role, those of lists too; there is none, unless it says so. `path` is
    /// where it is, as a JSON pointer.
    fn values(&self, path: &str, show: &mut dyn FnMut(FieldValue)) {
        let _ = (path, show);
    }
}

/// What changes as a whole.
pub(crate) trait Field {
    /// Becomes an arbitrary value.
    ///
    /// # Errors
    /// Those of `arbitrary`.
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

/// It has one value, and never changes.
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

impl<T: Fields + for<'a> Arbitrary<'a> + 'static> Fields for List<T> {
    fn parts(&mut self, show: &mut dyn FnMut(Part<'_>)) {
        let items: &mut dyn Any = &mut self.0;
        if let Some(headers) = items.downcast_mut() {
            show(Part::Headers(headers));
        }
        self.0.iter_mut().for_each(|item| item.parts(show));
    }

    fn values(&self, path: &str, show: &mut dyn FnMut(FieldValue)) {
        for (place, item) in self.0.iter().enumerate() {
            item.values(&format!("{path}/{place}"), show);
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
            // No other field is any JSON.
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

/// In the order of their names, whatever order the object keeps.
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

/// The request with so many of its fields renewed, or fewer where one is drawn twice.
///
/// # Errors
/// Those of `arbitrary`.
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
