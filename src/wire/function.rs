//! A description of each implementation of a wire function.

use std::fmt::Debug;

use arbitrary::Unstructured;
use cc_lb_plugin_wire::wire_function::{FallbackPolicy, WireFunction};
use serde_json::{Map, Value};

use super::generates::{Generates, VERSION_KEY};
use super::role::{self, FieldValue, Unusual, whole};

/// One implementation of a wire function: its names, its fallback policy, and its request and
/// response types as functions over JSON.
#[derive(Clone, Copy)]
pub struct Function {
    /// The name in cases and reports, such as `shape_v2`; unique in a vocabulary.
    pub label: &'static str,
    /// The name of the export, such as `shape`.
    pub name: &'static str,
    /// The policy that every failing call must result in.
    pub fallback: FallbackPolicy,
    decode: fn(Map<String, Value>) -> Result<Value, serde_json::Error>,
    dry_run_response: fn() -> Result<Value, serde_json::Error>,
    /// Returns the values of a request's fields, or `None` if the JSON is not such a request.
    values: fn(Map<String, Value>) -> Option<Vec<FieldValue>>,
    dry_run_request: fn() -> Result<Value, serde_json::Error>,
    /// Returns an arbitrary response, or `None` if its type cannot generate one.
    response: fn(&mut Unstructured<'_>) -> arbitrary::Result<Option<Value>>,
}

impl Function {
    /// Describes `F`, whose requests count as one field of JSON and whose responses are not
    /// generated.
    pub const fn new<F: WireFunction>(label: &'static str) -> Self {
        Self {
            label,
            name: F::NAME,
            fallback: F::FALLBACK,
            decode: |object| {
                serde_json::to_value(serde_json::from_value::<F::Response>(object.into())?)
            },
            dry_run_response: || serde_json::to_value(F::dry_run_response()),
            values: |request| Some(vec![whole(request.into())]),
            dry_run_request: || serde_json::to_value(F::dry_run_request()),
            response: |_| Ok(None),
        }
    }

    /// Takes the roles of request fields and the arbitrary responses from the generated form `G`.
    #[must_use]
    pub const fn with_roles<F: WireFunction, G: Generates<F>>(self) -> Self {
        Self {
            values: |request| {
                let request = serde_json::from_value(request.into()).ok()?;
                let mut all = Vec::new();
                G::values(request, &mut |value| all.push(value));
                Some(all)
            },
            response: |u| Ok(G::response(u)?.and_then(|it| serde_json::to_value(it).ok())),
            ..self
        }
    }

    /// Returns the values of a guest's input that no host sends. Values that equal those of the
    /// dry-run sample are usual. `is_returned` says whether the plugin has returned a given state.
    pub(crate) fn unusual(
        &self,
        input: &[u8],
        is_returned: &dyn Fn(&Value) -> bool,
    ) -> Vec<Unusual> {
        let Ok(Value::Object(mut request)) = serde_json::from_slice(input) else {
            return vec![role::unreadable()];
        };
        request.remove(VERSION_KEY);
        let sample = match (self.dry_run_request)() {
            Ok(Value::Object(sample)) => (self.values)(sample).unwrap_or_default(),
            _ => Vec::new(),
        };
        let values = (self.values)(request.clone());
        // A request that does not deserialize, for example a float that is null in JSON, is judged
        // as one value.
        let values = values.unwrap_or_else(|| vec![whole(request.into())]);
        let others = values.iter().filter(|value| !sample.contains(value));
        others
            .filter_map(|value| value.unusual(is_returned))
            .collect()
    }

    /// Deserializes a JSON object without `_v` as the function's response and serializes it again.
    ///
    /// # Errors
    /// Returns the error of `serde_json` if it is not such a response.
    pub fn decode(&self, answer: Map<String, Value>) -> Result<Value, serde_json::Error> {
        (self.decode)(answer)
    }

    /// Returns the function's dry-run response as JSON, without `_v`.
    ///
    /// # Errors
    /// Returns the error of `serde_json` if it does not serialize.
    pub fn dry_run_response(&self) -> Result<Value, serde_json::Error> {
        (self.dry_run_response)()
    }

    /// Returns an arbitrary response of the function as JSON, without `_v`, or the dry-run response
    /// if its type cannot generate one.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    pub(crate) fn response(&self, u: &mut Unstructured<'_>) -> arbitrary::Result<Value> {
        let drawn = (self.response)(u)?;
        Ok(drawn
            .or_else(|| self.dry_run_response().ok())
            .unwrap_or_default())
    }
}

impl Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.label == other.label
    }
}
