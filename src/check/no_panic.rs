//! `no_panic`: a dispatch never unwinds. A violation takes down the caller of the session.

use super::{Check, Violation};
use crate::case::Depth;
use crate::record::{CaseRecord, StepResult};

/// Holds when no dispatch unwound.
#[derive(Debug)]
pub struct NoPanic;

impl Check for NoPanic {
    fn name(&self) -> &'static str {
        "no_panic"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let steps = record.steps.iter().map(|s| (s.function, &s.result));
        let probes = record.probes.iter().map(|p| (p.function, &p.result));
        let panics = steps
            .chain(probes)
            .filter_map(|(function, result)| match result {
                StepResult::Panic(text) => Some((function, text)),
                StepResult::Outcome(_) => None,
            });
        panics
            .map(|(function, text)| {
                Violation::new(&NoPanic, function, format!("dispatch panicked: {text}"))
            })
            .collect()
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }
}
