//! What a campaign has told, each once.

use std::collections::BTreeSet;

use crate::check::{CheckRef, Violation};
use crate::finding::{Finding, Known, KnownFindings};

/// The effects that a finding is known for, with its check and class.
struct KnownEffects {
    check: CheckRef,
    class: String,
    effects: BTreeSet<&'static str>,
}

/// What was told.
#[derive(Default)]
pub(super) struct Told {
    findings: KnownFindings,
    effects: Vec<KnownEffects>,
}

impl Told {
    /// Whether a violation is known without a look at its case.
    pub(super) fn has(&self, violation: &Violation) -> bool {
        self.findings.has(violation)
    }

    /// What is known when a violation is looked into.
    pub(super) fn known(&self, violation: &Violation) -> Known {
        let of_it = self
            .effects
            .iter()
            .filter(|known| known.check == violation.check && known.class == violation.class);
        Known {
            findings: self.findings.clone(),
            effects: of_it.map(|known| known.effects.clone()).collect(),
        }
    }

    /// The finding to tell, if it is new.
    pub(super) fn insert<R>(&mut self, finding: Finding<R>) -> Option<Finding<R>> {
        let finding = self.findings.insert(finding)?;
        let Violation { check, class, .. } = &finding.violation;
        self.effects.push(KnownEffects {
            check: *check,
            class: class.clone(),
            effects: finding.effects(),
        });
        Some(finding)
    }
}
