//! The fields of a request, to change one and leave the others: without the way through JSON, which takes longer than
//! the call of a plugin.
//!
//! A discrepancy here is a field that never changes alone.

use arbitrary::{Arbitrary, Unstructured};
use serde_json::Value;

use super::{ErrorCategory, Event, Json, JsonObject, List, Upstream};

/// A field, or a struct of fields.
pub(crate) trait Fields: Field {
    /// Shows each field, in order: itself, where it is no struct. A list is one field, as is what may be absent.
    fn fields(&mut self, show: &mut dyn FnMut(&mut dyn Field))
    where
        Self: Sized,
    {
        show(self);
    }

    /// Shows each text, those inside of lists and of JSON too; it has none, unless it says so.
    fn texts(&mut self, _: &mut dyn FnMut(&mut String)) {}
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
    fn texts(&mut self, show: &mut dyn FnMut(&mut String)) {
        if let Some(value) = self {
            value.texts(show);
        }
    }
}

impl<T: Fields + for<'a> Arbitrary<'a>> Fields for List<T> {
    fn texts(&mut self, show: &mut dyn FnMut(&mut String)) {
        self.0.iter_mut().for_each(|item| item.texts(show));
    }
}

impl Fields for Json {
    fn texts(&mut self, show: &mut dyn FnMut(&mut String)) {
        texts_of(&mut self.0, show);
    }
}

impl Fields for JsonObject {
    fn texts(&mut self, show: &mut dyn FnMut(&mut String)) {
        self.0.values_mut().for_each(|value| texts_of(value, show));
    }
}

fn texts_of(json: &mut Value, show: &mut dyn FnMut(&mut String)) {
    match json {
        Value::String(text) => show(text),
        Value::Array(items) => items.iter_mut().for_each(|value| texts_of(value, show)),
        Value::Object(fields) => fields.values_mut().for_each(|value| texts_of(value, show)),
        _ => {}
    }
}

impl Fields for Event {
    fn texts(&mut self, show: &mut dyn FnMut(&mut String)) {
        match self {
            Self::RequestStarted {
                request_id,
                downstream_user_agent,
            } => {
                request_id.texts(show);
                downstream_user_agent.texts(show);
            }
            Self::AuthnComplete {
                principal_id,
                principal_kind,
            } => {
                principal_id.texts(show);
                principal_kind.texts(show);
            }
            Self::Error {
                code,
                message,
                source,
            } => {
                code.texts(show);
                message.texts(show);
                source.texts(show);
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
