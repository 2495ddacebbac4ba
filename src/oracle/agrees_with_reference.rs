//! `agrees_with_reference`: the published host comes to the same, where it survives. A violation means that what
//! was tested here is not what runs there.

use std::sync::Arc;

use super::{Oracle, Violation, quote};
use crate::observation::{CaseRecord, Outcome, Reaction};

/// Holds when each step came to the same on a fresh session as on one of the published host.
///
/// Of the puppet, cases with steps that differ for good reasons are not compared: those that call Extism's functions by
/// themselves, that allocate more than the guard allows, and that run out of fuel or time, of which the guard takes a
/// little.
#[derive(Debug)]
pub struct AgreesWithReference;

impl Oracle for AgreesWithReference {
    fn name(&self) -> &'static str {
        "agrees_with_reference"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let Some(fresh) = record.fresh.first().filter(|_| !record.met_the_wall()) else {
            return Vec::new();
        };
        let steps = record.steps.iter().zip(fresh.iter().zip(&record.reference));
        let differing = steps.filter_map(|(step, (fresh, reference))| {
            let (here, there) = (fresh.outcome()?, reference.as_ref()?);
            (here != there).then(|| {
                let text = |outcome: &Outcome| quote(&Reaction::Outcome(Arc::new(outcome.clone())));
                let (here, there) = (text(here), text(there));
                let detail = format!("came to {here}, on the published host to {there}");
                Violation::new(self, step.function, detail)
            })
        });
        differing.collect()
    }
}
