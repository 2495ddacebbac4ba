//! A case as a host would send it: what no host sends is replaced by what one does. What such a case shows as well is no
//! matter of the unusual value.

use serde_json::Value;

use super::{Case, Step, tree};
use crate::wire::{Role, Vocabulary};

/// What comes in the place of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Instead {
    /// A usual one that takes as many bytes.
    AsLong,
    /// That of the dry-run sample.
    Sample,
}

impl<R: Vocabulary> Case<R> {
    /// The case without what no host sends, in each way in which it may be told. Whether a plugin returns the states in it,
    /// nobody knows before it runs: they are as they are, or the sample's.
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

/// The step with what is usual; `None` where it does not read back.
fn change<R: Vocabulary>(step: &Step<R>, instead: Instead, keeps_states: bool) -> Option<Step<R>> {
    let function = step.request.function();
    let input = serde_json::to_vec(&step.request.to_json().ok()?).ok()?;
    let sample = serde_json::to_value(R::dry_run(step.request.place())).ok()?;
    let mut root = serde_json::to_value(&step.request).ok()?;
    for unusual in function.unusual(&input, &|_: &Value| false) {
        if unusual.role == Role::State && keeps_states {
            continue;
        }
        let path = format!("/{}{}", function.label, unusual.path);
        let of_sample = sample.pointer(&path).cloned();
        let value = match instead {
            Instead::AsLong => unusual.instead.or(of_sample),
            // An item of a list that the sample does not have.
            Instead::Sample => of_sample.or(unusual.instead),
        };
        tree::place(&mut root, &path, value?);
    }
    Some(Step {
        request: serde_json::from_value(root).ok()?,
        program: step.program.clone(),
        times: step.times,
    })
}
