//! `no_panic`: a dispatch never unwinds. A violation takes down whoever called the session.

use super::{Oracle, Violation};
use crate::observation::{CaseRecord, Reaction};

/// Holds when no dispatch unwound.
#[derive(Debug)]
pub struct NoPanic;

impl Oracle for NoPanic {
    fn name(&self) -> &'static str {
        "no_panic"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let steps = record.steps.iter().map(|s| (s.function, &s.reaction));
        let probes = record.probes.iter().map(|p| (p.function, &p.reaction));
        let panics = steps
            .chain(probes)
            .filter_map(|(function, reaction)| match reaction {
                Reaction::Panic(text) => Some((function, text)),
                Reaction::Outcome(_) => None,
            });
        panics
            .map(|(function, text)| {
                Violation::new(self, function, format!("dispatch panicked: {text}"))
            })
            .collect()
    }
}
