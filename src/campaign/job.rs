//! Jobs of a campaign for its executors, and their outcomes.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::block::{BlockExecutor, SessionPart};
use super::error::CampaignError;
use super::interrupt::{Interrupt, Interruptible};
use crate::case::{Case, ShrinkLimits};
use crate::check::Violation;
use crate::finding::{Confirmation, Known, Suspect, confirm};
use crate::generate::Cases;
use crate::wire::Vocabulary;

/// A job for an executor.
pub(crate) enum Job<R> {
    /// Run a block.
    Run(BlockJob<R>),
    /// Confirm and shrink a violation.
    Confirm(Box<ConfirmViolation<R>>),
}

/// A block to run.
pub(crate) struct BlockJob<R> {
    pub(super) cases: Arc<Cases<R>>,
    pub(super) range: Range<u64>,
    pub(super) deadline: Option<Instant>,
}

/// A violation to confirm and shrink.
pub(crate) struct ConfirmViolation<R> {
    pub(super) violation: Violation,
    /// The cases that its session had run, the one with the violation last.
    pub(super) history: Arc<[Case<R>]>,
    /// Whether timing may be the cause.
    pub(super) flaky: bool,
    pub(super) known: Known,
    pub(super) limits: ShrinkLimits,
    pub(super) interrupt: Interrupt,
}

/// The outcome of a job.
pub(crate) enum Outcome<R> {
    Ran(BlockOutcome),
    Confirmed(Result<Confirmation<R>, CampaignError>),
}

/// The outcome of running a block.
pub(crate) struct BlockOutcome {
    /// The index of the first case.
    pub(super) first: u64,
    /// The results of the cases that ran, even if an error followed.
    pub(super) parts: VecDeque<SessionPart>,
    /// An error if the executor did not finish the cases.
    pub(super) ended: Result<(), CampaignError>,
}

impl<R: Vocabulary> Job<R> {
    /// Does the job. An error becomes part of the outcome, so that earlier results are not lost.
    pub(crate) fn perform(self, executor: &mut impl BlockExecutor<R>) -> Outcome<R> {
        match self {
            Self::Run(job) => Outcome::Ran(job.run(executor)),
            Self::Confirm(job) => {
                Outcome::Confirmed(executor.attempt(|executor| job.confirm(executor)))
            }
        }
    }
}

impl<R: Vocabulary> BlockJob<R> {
    fn run(&self, executor: &mut impl BlockExecutor<R>) -> BlockOutcome {
        let mut parts = VecDeque::new();
        let ended = executor.attempt(|executor| self.run_sessions(executor, &mut parts));
        BlockOutcome {
            first: self.range.start,
            parts,
            ended,
        }
    }

    /// Runs the cases. After a violation they continue on a fresh session.
    fn run_sessions(
        &self,
        executor: &mut impl BlockExecutor<R>,
        parts: &mut VecDeque<SessionPart>,
    ) -> Result<(), CampaignError> {
        let Range { mut start, end } = self.range;
        while start < end {
            let block = executor.run(self.cases.plan(), start..end, self.deadline)?;
            let stopped = block.stopped.as_ref().map(|stopped| stopped.case);
            parts.push_back(SessionPart {
                from: start,
                end,
                block,
            });
            match stopped {
                Some(case) => start = case + 1,
                None => break,
            }
        }
        Ok(())
    }
}

impl<R: Vocabulary> ConfirmViolation<R> {
    fn confirm(
        &self,
        executor: &mut impl BlockExecutor<R>,
    ) -> Result<Confirmation<R>, CampaignError> {
        let mut executor = Interruptible {
            executor,
            interrupt: self.interrupt.clone(),
        };
        let suspect = Suspect {
            violation: &self.violation,
            history: &self.history,
            flaky: self.flaky,
        };
        confirm(&mut executor, &suspect, &self.known, self.limits)
    }
}
