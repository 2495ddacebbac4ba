//! Labs: where cases run.

use std::ops::Range;
use std::time::Instant;

use super::block::{Block, run_block};
use super::{CampaignError, Plan};
use crate::case::Case;
use crate::host::{HandshakeError, Host};
use crate::observation::{CaseRecord, Depth, Runner, Subject};
use crate::oracle::{CHECKS, Oracle, Violation, WithinMemory, check_all};
use crate::wire::Vocabulary;

/// How often a violation of a check that measures must show, on fresh sessions, to count.
pub(super) const MEASURED_REPEATS: usize = 3;

/// Where cases run: in this process ([`Runner`]), or in a [worker](super::Workers).
pub trait Lab<R> {
    /// Runs cases that share a session: see [`run_block`]. What kills the lab is a violation like any other.
    ///
    /// # Errors
    /// [`CampaignError`] where no session can be opened, or no worker be started.
    fn run(
        &mut self,
        plan: &Plan,
        cases: Range<u64>,
        deadline: Option<Instant>,
    ) -> Result<Block, CampaignError>;

    /// Runs a case alone on a fresh session, as deep as a check needs it, and returns what the checks find. Measured
    /// once: what the clock says may be otherwise the next time.
    ///
    /// # Errors
    /// [`CampaignError`] where no session can be opened, or no worker be started.
    fn judge(&mut self, case: &Case<R>, check: &str) -> Result<Vec<Violation>, CampaignError>;

    /// Who answers the requests.
    fn subject(&self) -> Subject;
}

impl<H: Host, R: Vocabulary> Lab<R> for Runner<'_, H, R> {
    fn run(
        &mut self,
        plan: &Plan,
        cases: Range<u64>,
        deadline: Option<Instant>,
    ) -> Result<Block, CampaignError> {
        Ok(run_block(self, plan, cases, deadline, |_| ())?)
    }

    fn judge(&mut self, case: &Case<R>, check: &str) -> Result<Vec<Violation>, CampaignError> {
        let record = self.run_alone(case, depth_of(check))?;
        Ok(check_all(&CHECKS, &record))
    }

    fn subject(&self) -> Subject {
        Runner::subject(self)
    }
}

/// How deep a case must be looked into for a check to find something.
pub(super) fn depth_of(check: &str) -> Depth {
    match check {
        "no_leak" => Depth::Soak,
        "no_poison" | "deterministic" | "agrees_with_reference" => Depth::Thorough,
        _ => Depth::Light,
    }
}

/// Runs a case alone on a fresh session and returns what was seen and what the checks find in it. What a check
/// that measures finds is there only if it shows every time.
///
/// # Errors
/// [`HandshakeError`] where the host opens no session.
pub fn judge_alone<H: Host, R: Vocabulary>(
    runner: &mut Runner<'_, H, R>,
    case: &Case<R>,
    depth: Depth,
) -> Result<(CaseRecord, Vec<Violation>), HandshakeError> {
    let record = runner.run_alone(case, depth)?;
    let mut found = check_all(&CHECKS, &record);
    for _ in 1..MEASURED_REPEATS {
        if !found.iter().any(is_measured) {
            break;
        }
        let again = check_all(&CHECKS, &runner.run_alone(case, depth)?);
        found.retain(|violation| {
            // The most memory that a process had shows once.
            !is_measured(violation)
                || violation.check == WithinMemory.name()
                || again.iter().any(|other| other.key() == violation.key())
        });
    }
    Ok((record, found))
}

/// Whether the violation is of a check that measures.
pub(super) fn is_measured(violation: &Violation) -> bool {
    let check = CHECKS.iter().find(|check| check.name() == violation.check);
    check.is_some_and(|check: &&dyn Oracle| check.is_measurement())
}
