//! The case as a host would send it, with each value that no host sends replaced by a usual one. If
//! such a case has the same finding, the unusual value did not cause it.

use serde_json::Value;

use super::{Case, Step, tree};
use crate::wire::{Role, Vocabulary};

/// The replacement of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Instead {
    /// A usual value that takes as many bytes.
    AsLong,
    /// The value of the dry-run sample.
    Sample,
}

impl<R: Vocabulary> Case<R> {
    /// Returns the case with usual values only, in each way to replace the others. Whether the
    /// plugin returns the states in it is not known before it runs: two of the ways keep them and
    /// two replace them.
    pub(crate) fn as_hosts_send(&self) -> Vec<Self> {
        let mut cases: Vec<Self> = Vec::new();
        for (instead, keeps_states) in [
            (Instead::AsLong, true),
            (Instead::Sample, true),
            (Instead::AsLong, false),
            (Instead::Sample, false),
        ] {
            let steps = self.steps.iter();
            let case = Self {
                steps: steps
                    .map(|step| usual(step, instead, keeps_states))
                    .collect(),
            };
            if case != *self && !cases.contains(&case) {
                cases.push(case);
            }
        }
        cases
    }
}

fn usual<R: Vocabulary>(step: &Step<R>, instead: Instead, keeps_states: bool) -> Step<R> {
    change(step, instead, keeps_states).unwrap_or_else(|| step.clone())
}

/// Returns the step with usual values, or `None` if the request does not deserialize then.
fn change<R: Vocabulary>(step: &Step<R>, instead: Instead, keeps_states: bool) -> Option<Step<R>> {
    let function = step.request.function();
    let input = serde_json::to_vec(&step.request.to_json().ok()?).ok()?;
    let sample = serde_json::to_value(R::dry_run(step.request.function_index())).ok()?;
    let mut root = serde_json::to_value(&step.request).ok()?;
    for unusual in function.unusual(&input, &|_: &Value| false) {
        if unusual.role == Role::State && keeps_states {
            continue;
        }
        let path = format!("/{}{}", function.label, unusual.path);
        let of_sample = sample.pointer(&path).cloned();
        let value = match instead {
            Instead::AsLong => unusual.instead.or(of_sample),
            // The sample lacks items of lists.
            Instead::Sample => of_sample.or(unusual.instead),
        };
        tree::replace(&mut root, &path, value?);
    }
    Some(Step {
        request: serde_json::from_value(root).ok()?,
        program: step.program.clone(),
        times: step.times,
    })
}
