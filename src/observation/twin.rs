//! The same steps on the published host.

use super::runner::react;
use super::{CaseRecord, Outcome};
use crate::case::Case;
use crate::host::{HandshakeError, Host, ReferenceHost, ReferenceSession};
use crate::puppet::Ending;
use crate::wire::Vocabulary;

/// Cases that share a session.
const CASES_PER_SESSION: u32 = 64;

/// What the guard lets a call allocate, in bytes. The published host lets it allocate more.
const ALLOCATES_MAX: u64 = 1 << 20;

/// The published host, and a session of it.
pub(super) struct Twin {
    host: ReferenceHost,
    session: Option<ReferenceSession>,
    cases: u32,
}

impl Twin {
    pub(super) fn new(host: ReferenceHost) -> Self {
        Self {
            host,
            session: None,
            cases: 0,
        }
    }

    /// What the steps of a record come to. A case with a step that is not foretold, or that took the clock or all
    /// of the fuel, is not run: such a step may kill the host, or come to something else for good reasons.
    pub(super) fn run<R: Vocabulary>(
        &mut self,
        case: &Case<R>,
        record: &CaseRecord,
    ) -> Result<Vec<Option<Outcome>>, HandshakeError> {
        let is_foretold = |prediction: &crate::puppet::Prediction| {
            let ending = &prediction.ending;
            !matches!(
                ending,
                Ending::Unknown | Ending::OutOfFuel | Ending::Timeout
            ) && prediction.allocates <= ALLOCATES_MAX
        };
        let steps = &record.steps;
        let predictions = steps.iter().map(|step| step.prediction.as_ref());
        if !predictions.into_iter().all(|p| p.is_some_and(is_foretold)) {
            return Ok(Vec::new());
        }
        self.cases += 1;
        let session = match &mut self.session {
            Some(session) if !self.cases.is_multiple_of(CASES_PER_SESSION) => session,
            session => session.insert(self.host.open()?),
        };
        let outcome = |place: usize| {
            let seen = react(case.steps[place].told(), session);
            seen.reaction.outcome().cloned()
        };
        Ok(steps.iter().map(|step| step.place).map(outcome).collect())
    }
}
