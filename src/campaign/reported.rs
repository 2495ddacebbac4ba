//! The findings that a campaign has reported, each once.

use std::collections::BTreeSet;

use crate::check::{CheckRef, Violation};
use crate::finding::{Finding, Known, KnownFindings};

/// The effects of a reported finding, with its check and class.
struct KnownEffects {
    check: CheckRef,
    class: String,
    effects: BTreeSet<&'static str>,
}

/// The findings that were reported.
#[derive(Default)]
pub(super) struct Reported {
    findings: KnownFindings,
    effects: Vec<KnownEffects>,
}

impl Reported {
    /// Returns whether a violation is known without examining its case.
    pub(super) fn has(&self, violation: &Violation) -> bool {
        self.findings.has(violation)
    }

    /// Returns what is known that may help to confirm this violation.
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

    /// Returns the finding to report, if it is new.
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
