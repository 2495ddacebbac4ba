//! What the harness knows of one implementation of a wire function.

use std::fmt::Debug;

use arbitrary::Unstructured;
use cc_lb_plugin_wire::wire_function::{FallbackPolicy, WireFunction};
use serde_json::{Map, Value};

use super::generates::{Generates, VERSION_KEY};
use super::role::{self, FieldValue, Unusual, whole};

/// What the harness knows of one implementation of a wire function.
#[derive(Clone, Copy)]
pub struct Function {
    /// Unique among the vocabulary's functions, such as `shape_v2`: its name in cases and reports.
    pub label: &'static str,
    /// The name of the export, such as `shape`.
    pub name: &'static str,
    /// The policy that every failing call must give.
    pub fallback: FallbackPolicy,
    decode: fn(Map<String, Value>) -> Result<Value, serde_json::Error>,
    dry_run_response: fn() -> Result<Value, serde_json::Error>,
    /// What a request says, read from JSON; `None` where it is none.
    values: fn(Map<String, Value>) -> Option<Vec<FieldValue>>,
    dry_run_request: fn() -> Result<Value, serde_json::Error>,
    /// An arbitrary response as JSON; `None` where its type does not know how.
    response: fn(&mut Unstructured<'_>) -> arbitrary::Result<Option<Value>>,
}

impl Function {
    /// Describes `F`.
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

    /// The same, whose requests have the roles, and whose responses are drawn, as their generated form says.
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

    /// What of a guest's input no host sends. What is as in the dry-run sample is usual. `is_returned` says whether the
    /// plugin returned a state.
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
        // What does not read back, such as a float that JSON does not have, is judged as a whole.
        let values = values.unwrap_or_else(|| vec![whole(request.into())]);
        let others = values.iter().filter(|value| !sample.contains(value));
        others
            .filter_map(|value| value.unusual(is_returned))
            .collect()
    }

    /// Reads a JSON object without `_v` as the function's response, and writes that as JSON again.
    ///
    /// # Errors
    /// Where it is no such response.
    pub fn decode(&self, answer: Map<String, Value>) -> Result<Value, serde_json::Error> {
        (self.decode)(answer)
    }

    /// The function's dry-run response as JSON, without `_v`.
    ///
    /// # Errors
    /// Where it does not serialize.
    pub fn dry_run_response(&self) -> Result<Value, serde_json::Error> {
        (self.dry_run_response)()
    }

    /// An arbitrary response of the function as JSON, without `_v`: the dry-run response, where there is no other.
    ///
    /// # Errors
    /// Those of `arbitrary`.
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
