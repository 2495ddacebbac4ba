//! `agrees_with_reference`: the published host returns the same, where it survives. A violation
//! means that the host tested here behaves differently from the published one.

use std::sync::Arc;

use super::{Check, Violation, quote};
use crate::case::Depth;
use crate::record::{CaseRecord, Outcome, StepResult};

/// Holds when each step has the same outcome on a fresh session and on a session of the published
/// host.
///
/// Some of the puppet's cases are not compared, because the hosts may differ for good reasons:
/// cases that call Extism's functions directly, allocate more than the guard allows, or run out of
/// fuel or time, of which the guard takes a little.
#[derive(Debug)]
pub struct AgreesWithReference;

impl Check for AgreesWithReference {
    fn name(&self) -> &'static str {
        "agrees_with_reference"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let Some(fresh) = record
            .fresh_session
            .first()
            .filter(|_| !record.hit_time_limit())
        else {
            return Vec::new();
        };
        let steps = record.steps.iter().zip(fresh.iter().zip(&record.reference));
        let differing = steps.filter_map(|(step, (fresh, reference))| {
            let (here, there) = (fresh.outcome()?, reference.as_ref()?);
            (here != there).then(|| {
                let text =
                    |outcome: &Outcome| quote(&StepResult::Outcome(Arc::new(outcome.clone())));
                let (here, there) = (text(here), text(there));
                let detail = format!("returned {here}, on the published host {there}");
                Violation::new(&AgreesWithReference, step.function, detail)
            })
        });
        differing.collect()
    }

    fn depth(&self) -> Depth {
        Depth::Thorough
    }
}
