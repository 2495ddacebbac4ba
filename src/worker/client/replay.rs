//! Replays single cases.

use super::{AskError, Worker};
use crate::campaign::CampaignError;
use crate::case::{Case, ShrinkLimits};
use crate::check::Violation;
use crate::finding::{Finding, confirm_all};
use crate::record::StepSummary;
use crate::worker::protocol::{Answer, Order};

/// The result of running a case alone.
#[derive(Clone, Debug)]
pub struct Replay {
    /// What was observed of its steps; empty if the worker died.
    pub steps: Vec<StepSummary>,
    /// The violations.
    pub violations: Vec<Violation>,
    /// Whether timing may be the cause: a time limit was hit, or something else killed the worker.
    pub flaky: bool,
}

impl Replay {
    /// Returns the result if the worker died, which leaves nothing else.
    fn of_death(violations: Vec<Violation>, flaky: bool) -> Self {
        Self {
            steps: Vec::new(),
            violations,
            flaky,
        }
    }
}

impl Worker {
    /// Runs a case alone, and returns what was observed and the violations.
    ///
    /// # Errors
    /// Returns a [`CampaignError`] if the worker cannot be started or cannot open a session.
    pub fn replay(&mut self, case: &Case) -> Result<Replay, CampaignError> {
        let order = Order::Replay {
            case: self.encode(case)?,
        };
        let mut deaths = Vec::new();
        loop {
            let end = match self.ask(&order) {
                Ok(Answer::Replayed(steps, violations)) => {
                    self.retire_after(&violations);
                    let violations = [deaths, violations].concat();
                    return Ok(Replay {
                        steps,
                        flaky: violations.iter().any(Violation::is_flaky),
                        violations,
                    });
                }
                Ok(_) => self.nonsense(),
                Err(AskError::Ended(end)) => end,
                // The first death is reported even if the second attempt fails in another way.
                Err(AskError::Campaign(_)) if !deaths.is_empty() => {
                    return Ok(Replay::of_death(deaths, true));
                }
                Err(AskError::Campaign(error)) => return Err(error),
            };
            let is_first = deaths.is_empty();
            deaths = self.violations_of(&end);
            // A second attempt shows what else the case does when the machine is not stalled.
            if !is_first || !end.is_flaky() {
                return Ok(Replay::of_death(deaths, end.is_flaky()));
            }
        }
    }

    /// Confirms the violations of a stored case, lazily, and shrinks it within the limits.
    ///
    /// # Errors
    /// Returns the errors of [`Worker::replay`], directly or as an item.
    pub fn findings<'a>(
        &'a mut self,
        case: &'a Case,
        limits: ShrinkLimits,
    ) -> Result<impl Iterator<Item = Result<Finding, CampaignError>> + 'a, CampaignError> {
        let Replay {
            violations, flaky, ..
        } = self.replay(case)?;
        let history = std::slice::from_ref(case);
        Ok(confirm_all(self, violations, history, flaky, limits))
    }
}
