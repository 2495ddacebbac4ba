//! A case that runs alone, and what it shows.

use super::{Failure, Worker};
use crate::campaign::CampaignError;
use crate::case::{Case, ShrinkLimits};
use crate::check::Violation;
use crate::finding::{Finding, confirm_all};
use crate::record::StepSummary;
use crate::worker::protocol::{Answer, Order};

/// What a case came to when it ran alone.
#[derive(Clone, Debug)]
pub struct Replay {
    /// What was seen of its steps: nothing where the worker died.
    pub steps: Vec<StepSummary>,
    /// What the checks find.
    pub violations: Vec<Violation>,
    /// Whether chance had a say in it: the clock, or somebody else.
    pub flaky: bool,
}

impl Replay {
    /// Of a worker that died, which tells nothing else.
    fn of_death(violations: Vec<Violation>, flaky: bool) -> Self {
        Self {
            steps: Vec::new(),
            violations,
            flaky,
        }
    }
}

impl Worker {
    /// Runs a case alone and tells what was seen, and what the checks find.
    ///
    /// # Errors
    /// [`CampaignError`] where it cannot be started or opens no session.
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
                Err(Failure::Ended(end)) => end,
                // What was seen is told, whatever ends the second try.
                Err(Failure::Campaign(_)) if !deaths.is_empty() => {
                    return Ok(Replay::of_death(deaths, true));
                }
                Err(Failure::Campaign(error)) => return Err(error),
            };
            let is_first = deaths.is_empty();
            deaths = self.violations_of(&end);
            // What the case shows otherwise is seen when the machine does not stand still.
            if !is_first || !end.is_flaky() {
                return Ok(Replay::of_death(deaths, end.is_flaky()));
            }
        }
    }

    /// What a stored case shows, confirmed, and shrunk within these limits, one finding after the other as they are asked
    /// for.
    ///
    /// # Errors
    /// As [`Worker::replay`], now or in an item.
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
