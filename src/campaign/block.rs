//! Blocks: ranges of cases that are planned to share a session. After a violation, the rest of a
//! block runs on a fresh session.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::error::CampaignError;
use super::statistics::Counts;
use crate::case::Depth;
use crate::check::Violation;
use crate::execute::{Executor, InProcessExecutor};
use crate::generate::Plan;
use crate::host::cause::PANIC;
use crate::host::{DispatchOutcome, HandshakeError, Host};
use crate::record::{CaseRecord, StepRecord};
use crate::wire::Vocabulary;

/// The results of the cases of a block that ran on one session.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Block {
    /// The number of cases that ran.
    pub cases: u64,
    /// The counts for each function of the plan.
    pub counts: Vec<Counts>,
    /// The duration of the longest dispatch.
    pub slowest: Duration,
    /// The peak resident memory in bytes, if it was measured.
    pub memory: Option<u64>,
    /// The early end of the session, if a violation ended it.
    pub stopped: Option<Stopped>,
}

/// The end of a session by a violation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stopped {
    /// The index of the case that showed it.
    pub case: u64,
    /// The violations in that case.
    pub violations: Vec<Violation>,
    /// Whether timing may be the cause: a time limit was hit, or something else killed the worker.
    pub flaky: bool,
}

impl Block {
    /// Returns an empty block.
    pub fn new(plan: &Plan) -> Self {
        Self {
            counts: vec![Counts::default(); plan.generator.functions.len()],
            ..Self::default()
        }
    }

    /// Adds the results of another block.
    pub fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        for (counts, other) in self.counts.iter_mut().zip(&other.counts) {
            counts.add(other);
        }
        self.slowest = self.slowest.max(other.slowest);
        self.memory = self.memory.max(other.memory);
    }

    /// Returns whether the block can be a result of these cases: a process that a plugin has
    /// corrupted may answer anything.
    pub(crate) fn is_of(&self, plan: &Plan, cases: &Range<u64>) -> bool {
        let stopped = self.stopped.as_ref();
        self.cases <= cases.end - cases.start
            && self.counts.len() == plan.generator.functions.len()
            && stopped.is_none_or(|stopped| cases.contains(&stopped.case))
    }

    fn count<R: Vocabulary>(&mut self, plan: &Plan, record: &CaseRecord) {
        self.cases += 1;
        self.slowest = self.slowest.max(record.slowest);
        self.memory = self.memory.max(record.memory.map(|memory| memory.peak));
        for step in &record.steps {
            let mut functions = plan.generator.functions.iter();
            let index = functions.position(|index| &R::functions()[*index] == step.function);
            if let Some(index) = index {
                count_step(&mut self.counts[index], step);
            }
        }
    }
}

impl<H: Host, R: Vocabulary> InProcessExecutor<'_, H, R> {
    /// Runs cases on one session, up to the deadline or the first case with a violation. `begins`
    /// is called with the index of each case.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] if the host cannot open a session.
    pub fn run_block(
        &mut self,
        plan: &Plan,
        cases: Range<u64>,
        deadline: Option<Instant>,
        mut begins: impl FnMut(u64),
    ) -> Result<Block, HandshakeError> {
        let mut block = Block::new(plan);
        self.runner.renew()?;
        let (range, cases) = (cases, self.cases.get(plan));
        for case in range {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            begins(case);
            let record = match cases.depth(case) {
                Depth::Light => self.runner.run_light(cases.nth(case))?,
                deeper => self.runner.run(&cases.nth(case), deeper)?,
            };
            block.count::<R>(plan, &record);
            let violations = self.check(&record);
            if !violations.is_empty() {
                let flaky = record.hit_time_limit();
                block.stopped = Some(Stopped {
                    case,
                    violations,
                    flaky,
                });
                break;
            }
        }
        Ok(block)
    }
}

/// Runs blocks of cases, and judges single cases: in this process, or in a
/// [worker](crate::worker::Workers).
pub trait BlockExecutor<R>: Executor<R, Error: Into<CampaignError>> {
    /// Runs cases that share a session: see [`InProcessExecutor::run_block`]. A crash of the
    /// process that runs them is a violation like any other.
    ///
    /// # Errors
    /// Returns a [`CampaignError`] if no session can be opened, or no worker can be started.
    fn run(
        &mut self,
        plan: &Plan,
        cases: Range<u64>,
        deadline: Option<Instant>,
    ) -> Result<Block, CampaignError>;

    /// Does a part of a campaign's work on this executor. A panic in it either goes on to the
    /// caller, or becomes an error, which ends the campaign without losing what was seen.
    ///
    /// # Errors
    /// Returns the errors of the work.
    fn attempt<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, CampaignError>,
    ) -> Result<T, CampaignError>
    where
        Self: Sized,
    {
        work(self)
    }
}

impl<H: Host, R: Vocabulary> BlockExecutor<R> for InProcessExecutor<'_, H, R> {
    fn run(
        &mut self,
        plan: &Plan,
        cases: Range<u64>,
        deadline: Option<Instant>,
    ) -> Result<Block, CampaignError> {
        Ok(self.run_block(plan, cases, deadline, |_| ())?)
    }
}

fn count_step(counts: &mut Counts, step: &StepRecord) {
    counts.dispatches += 1;
    counts.time += step.elapsed;
    let microseconds = step.elapsed.as_micros();
    counts
        .latency_us
        .record(u64::try_from(microseconds).unwrap_or(u64::MAX));
    if let Some(fuel) = step.call.fuel {
        counts.fuel.record(fuel);
    }
    let kind = match step.result.outcome() {
        Some(DispatchOutcome::Ok(_)) => {
            counts.ok += 1;
            return;
        }
        Some(DispatchOutcome::Fallback(_)) => {
            let cause = step.call.cause.as_ref();
            cause.map_or("unknown", |cause| cause.kind())
        }
        None => PANIC,
    };
    match counts.fallbacks.get_mut(kind) {
        Some(count) => *count += 1,
        None => {
            counts.fallbacks.insert(kind.to_owned(), 1);
        }
    }
}

/// The part of a block that ran on one session: up to its end, or to the first case with a
/// violation.
pub(super) struct SessionPart {
    /// The index of the first case, and the end of the block.
    pub(crate) from: u64,
    pub(crate) end: u64,
    pub(super) block: Block,
}
