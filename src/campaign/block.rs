//! Blocks: the cases that share a session.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Bench, Counts, Plan, SOAK_ONE_IN, THOROUGH_ONE_IN};
use crate::host::{DispatchOutcome, HandshakeError, Host};
use crate::observation::{CaseRecord, Depth, StepRecord};
use crate::oracle::Violation;
use crate::wire::Vocabulary;

/// What the cases of a block came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Block {
    /// How many ran.
    pub cases: u64,
    /// For each function of the plan.
    pub counts: Vec<Counts>,
    /// The longest dispatch.
    pub slowest: Duration,
    /// The most memory that was resident, where that was measured, in bytes.
    pub memory: Option<u64>,
    /// Where the session ended before its time.
    pub stopped: Option<Stopped>,
}

/// The end of a session by a violation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stopped {
    /// The case that showed it.
    pub case: u64,
    /// What it showed.
    pub violations: Vec<Violation>,
    /// Whether chance had a say in it: the clock, or somebody else.
    pub by_chance: bool,
}

impl Block {
    /// An empty one.
    pub fn of(plan: &Plan) -> Self {
        Self {
            counts: vec![Counts::default(); plan.menu.functions.len()],
            ..Self::default()
        }
    }

    /// Adds what a further block came to.
    pub fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        for (counts, other) in self.counts.iter_mut().zip(&other.counts) {
            counts.add(other);
        }
        self.slowest = self.slowest.max(other.slowest);
        self.memory = self.memory.max(other.memory);
    }

    /// Whether it may be what these cases came to: a process that a plugin has spoiled may say anything.
    pub(super) fn is_of(&self, plan: &Plan, cases: &Range<u64>) -> bool {
        let stopped = self.stopped.as_ref();
        self.cases <= cases.end - cases.start
            && self.counts.len() == plan.menu.functions.len()
            && stopped.is_none_or(|stopped| cases.contains(&stopped.case))
    }

    fn count<R: Vocabulary>(&mut self, plan: &Plan, record: &CaseRecord) {
        self.cases += 1;
        self.slowest = self.slowest.max(record.slowest);
        self.memory = self.memory.max(record.memory.map(|memory| memory.peak));
        for step in &record.steps {
            let mut places = plan.menu.functions.iter();
            let place = places.position(|place| &R::functions()[*place] == step.function);
            if let Some(place) = place {
                count_step(&mut self.counts[place], step);
            }
        }
    }
}

impl<H: Host, R: Vocabulary> Bench<'_, H, R> {
    /// Runs cases on one session, up to the first that shows a violation or the deadline. `begins` is called with
    /// each case's index.
    ///
    /// # Errors
    /// [`HandshakeError`] where the host opens no session.
    pub fn run_block(
        &mut self,
        plan: &Plan,
        cases: Range<u64>,
        deadline: Option<Instant>,
        mut begins: impl FnMut(u64),
    ) -> Result<Block, HandshakeError> {
        let mut block = Block::of(plan);
        self.runner.renew()?;
        let (range, cases) = (cases, self.cases.of(plan));
        for case in range {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            begins(case);
            let record = match depth_at(case) {
                Depth::Light => self.runner.run_light(cases.nth(case))?,
                deeper => self.runner.run(&cases.nth(case), deeper)?,
            };
            block.count::<R>(plan, &record);
            let violations = self.check(&record);
            if !violations.is_empty() {
                let by_chance = record.met_the_wall();
                block.stopped = Some(Stopped {
                    case,
                    violations,
                    by_chance,
                });
                break;
            }
        }
        Ok(block)
    }
}

/// How deep the case of an index is looked into.
pub(super) fn depth_at(index: u64) -> Depth {
    match index {
        index if index % SOAK_ONE_IN == SOAK_ONE_IN - 1 => Depth::Soak,
        index if index % THOROUGH_ONE_IN == 0 => Depth::Thorough,
        _ => Depth::Light,
    }
}

fn count_step(counts: &mut Counts, step: &StepRecord) {
    counts.dispatches += 1;
    counts.time += step.elapsed;
    let microseconds = step.elapsed.as_micros();
    counts
        .latency_us
        .take(u64::try_from(microseconds).unwrap_or(u64::MAX));
    if let Some(fuel) = step.call.fuel {
        counts.fuel.take(fuel);
    }
    let kind = match step.reaction.outcome() {
        Some(DispatchOutcome::Ok(_)) => {
            counts.ok += 1;
            return;
        }
        Some(DispatchOutcome::Fallback(_)) => {
            let cause = step.call.cause.as_ref();
            cause.map_or("unknown", |cause| cause.kind())
        }
        None => "panic",
    };
    match counts.fallbacks.get_mut(kind) {
        Some(count) => *count += 1,
        None => {
            counts.fallbacks.insert(kind.to_owned(), 1);
        }
    }
}
