//! A worker as its parent sees it: an executor that restarts its process after a crash.

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Workers;
use super::bounds::KILLS_MAX;
use super::process::{End, NO_SESSION, NoAnswer, WorkerProcess};
use super::protocol::{Answer, Heartbeat, Opened, Order};
use super::setup::HostKind;
use crate::campaign::{Block, BlockExecutor, CampaignError, Interrupt};
use crate::case::Case;
use crate::check::{CHECKS, CheckRef, Nature, Violation, check_all};
use crate::execute::Executor;
use crate::generate::Plan;
use crate::generate::negotiated::of_negotiated;
use crate::host::guard::OPTIMIZE;
use crate::host::{NegotiatedTerms, Site};
use crate::limits::Limit;
use crate::record::{CaseRecord, Subject};
use crate::wire::Request;

mod ask_error;
mod attribute_crash;
mod inspect;
mod replay;

use ask_error::AskError;
pub use inspect::Inspected;
pub use replay::Replay;

/// The error of a worker that gives an unexpected answer: the plugin has corrupted it, or it is not
/// a worker.
const UNASKED: &str = "it answered what it was not asked";

/// The manner of death of a worker that gives an unexpected answer.
const NONSENSE: &str = "nonsense";

/// A worker process, started when needed, and again after it died.
pub struct Worker {
    workers: Workers,
    /// Ends the current work.
    interrupt: Interrupt,
    process: Option<WorkerProcess>,
    /// Whether a process has opened the plugin, so that another one can too.
    opened: bool,
}

impl Worker {
    pub(crate) fn new(workers: Workers) -> Self {
        Self {
            interrupt: workers.interrupt.clone(),
            workers,
            process: None,
            opened: false,
        }
    }

    /// Returns the worker, with another interrupt that ends waiting for it.
    pub(crate) fn interrupted_by(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    /// Returns the id of the process, if it is alive.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(WorkerProcess::id)
    }

    /// Returns the indices of the functions that the plugin negotiated; `None` if the worker dies
    /// while it opens the plugin.
    ///
    /// # Errors
    /// Returns a [`CampaignError`] if the worker cannot be started or cannot open a session.
    pub fn negotiated(&mut self) -> Result<Option<Vec<usize>>, CampaignError> {
        Ok(self.opened()?.map(|opened| opened.negotiated))
    }

    /// Finds the limits of those of these functions, given by index, that the plugin negotiated:
    /// see [`limits`](crate::limits::limits()). From then on the first interrupt ends waiting for
    /// the worker.
    ///
    /// # Errors
    /// Returns the errors of [`Worker::inspect`], and an error if the plugin negotiated none of the
    /// functions.
    pub fn limits(&mut self, functions: &[usize]) -> Result<Vec<Limit>, CampaignError> {
        self.interrupt = self.interrupt.at_once();
        let negotiated = match self.running_process() {
            Ok(process) => &process.opened.negotiated,
            Err(failure) => return Err(self.end_of_load(failure.into_end()?)),
        };
        let functions = of_negotiated::<Request>(functions, negotiated)?;
        let end = match self.ask(&Order::Limits { functions }) {
            Ok(Answer::Limits(limits)) => return Ok(limits),
            Ok(_) => self.nonsense(),
            Err(failure) => failure.into_end()?,
        };
        Err(self.died(end))
    }

    /// Returns what the worker learned by opening the plugin; `None` if it dies while it opens it.
    pub(crate) fn opened(&mut self) -> Result<Option<Opened>, CampaignError> {
        let end = match self.running_process() {
            Ok(process) => return Ok(Some(process.opened.clone())),
            Err(failure) => failure.into_end()?,
        };
        // Such an end says nothing about the plugin.
        if end.from_outside {
            return Err(self.died(end));
        }
        Ok(None)
    }

    /// Runs a case alone and returns the features that it reaches: see
    /// [`features`](crate::record::features). The death of the worker in a call is a feature.
    ///
    /// # Errors
    /// Returns the errors of [`Worker::replay`], and an error if the worker dies while it opens the
    /// plugin, which says nothing about the case.
    pub fn reach(&mut self, case: &Case) -> Result<BTreeSet<String>, CampaignError> {
        let case = self.encode(case)?;
        let end = match self.ask(&Order::Reach { case }) {
            Ok(Answer::Reached(features)) => return Ok(features),
            Ok(_) => self.nonsense(),
            Err(failure) => failure.into_end()?,
        };
        let manner = &end.death.manner;
        let is_of_the_case = !end.from_outside && ![NO_SESSION, NONSENSE].contains(&&manner[..]);
        match &end.death.function {
            Some(function) if is_of_the_case => {
                Ok(BTreeSet::from([format!("{function}: {manner}")]))
            }
            _ => Err(self.died(end)),
        }
    }

    fn encode(&self, case: &Case) -> Result<Vec<u8>, CampaignError> {
        case.to_postcard()
            .map_err(|error| self.error(error.to_string()))
    }

    /// Returns the running process, started if there is none. If the plugin was opened before, or
    /// something else killed the process, it is restarted, because the machine may be busy.
    fn running_process(&mut self) -> Result<&mut WorkerProcess, AskError> {
        let mut tries = KILLS_MAX;
        while self.process.is_none() {
            tries -= 1;
            match self.start() {
                Ok(process) => {
                    self.process = Some(process);
                    self.opened = true;
                }
                Err(AskError::Ended(end)) if !self.opened && (tries == 0 || !end.from_outside) => {
                    return Err(end.into());
                }
                Err(AskError::Ended(end)) if tries == 0 => {
                    let manner = &end.death.manner;
                    let reason = format!("it does not open the plugin again: {manner}");
                    return Err(self.error(reason).into());
                }
                Err(AskError::Campaign(CampaignError::Interrupted)) => {
                    return Err(CampaignError::Interrupted.into());
                }
                Err(AskError::Campaign(error)) if tries == 0 || !self.opened => {
                    return Err(error.into());
                }
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
        let none = self.error("it is gone".to_owned());
        self.process.as_mut().ok_or(AskError::Campaign(none))
    }

    /// Starts a process. On a host that caches compiled modules, the first process is replaced:
    /// compiling took memory that later processes do not take, and the results of cases may depend
    /// on memory.
    fn start(&self) -> Result<WorkerProcess, AskError> {
        let first = self.start_one()?;
        let keeps = self.workers.setup.host_kind() == Some(HostKind::Reference);
        if keeps && !self.workers.compiled.swap(true, Ordering::Relaxed) {
            return self.start_one();
        }
        Ok(first)
    }

    fn start_one(&self) -> Result<WorkerProcess, AskError> {
        let mut process = self.spawn(false)?;
        if let Err(failure) = self.wait_until_loaded(&mut process) {
            let end = failure.into_end()?;
            return Err(match self.over_budget(&end) {
                Some(reason) => CampaignError::Refused { reason }.into(),
                None => end.into(),
            });
        }
        match self.wait_for_answer(&mut process)? {
            Answer::Opened(opened) => {
                process.opened = opened;
                Ok(process)
            }
            _ => Err(self.error(UNASKED.to_owned()).into()),
        }
    }

    /// Spawns a process that loads the plugin.
    fn spawn(&self, inspects: bool) -> Result<WorkerProcess, CampaignError> {
        let process = WorkerProcess::spawn(&self.workers, inspects);
        process.map_err(|error| self.error(error.to_string()))
    }

    /// Waits until the process has loaded the plugin, and returns what was negotiated.
    fn wait_until_loaded(
        &self,
        process: &mut WorkerProcess,
    ) -> Result<Option<NegotiatedTerms>, AskError> {
        match self.wait_for_answer(process)? {
            Answer::Loaded(agreed) => Ok(agreed),
            _ => Err(self.error(UNASKED.to_owned()).into()),
        }
    }

    /// Waits for an answer of a process that opens the plugin.
    fn wait_for_answer(&self, process: &mut WorkerProcess) -> Result<Answer, AskError> {
        match process.wait_for_answer(self.workers.timeouts.opening, &self.interrupt) {
            Ok(Answer::Refused(reason)) => Err(CampaignError::Refused { reason }.into()),
            Ok(answer) => Ok(answer),
            Err(NoAnswer::Died(end)) => Err(end.into()),
            Err(NoAnswer::Interrupted) => Err(CampaignError::Interrupted.into()),
        }
    }

    /// Returns why the plugin is refused if its worker died while loading it only because the
    /// plugin is too large. The published host refuses no plugin: there, the death is a finding.
    fn over_budget(&self, end: &End) -> Option<String> {
        let setup = &self.workers.setup;
        let is_guarded = setup.host_kind() == Some(HostKind::Guarded);
        let is_refused = is_guarded && setup.subject == Subject::Plugin;
        let cost = end.cost().filter(|_| is_refused)?;
        Some(format!("it takes {cost} to compile and start: {OPTIMIZE}"))
    }

    /// Sends an order and waits for the answer. If something else killed the process, it is
    /// restarted.
    fn ask(&mut self, order: &Order) -> Result<Answer, AskError> {
        let silence = match order {
            // A copy of the plugin is compiled first.
            Order::Locate { .. } => self.workers.timeouts.opening,
            _ => self.workers.timeouts.dispatch,
        };
        let interrupt = self.interrupt.clone();
        let mut kills = 0;
        loop {
            // Starting it includes retries, so their last failure is final.
            let process = self.running_process()?;
            let end = match process.ask(order, silence, &interrupt) {
                // It has opened sessions before, so the plugin left it no memory for another one.
                Ok(Answer::Refused(reason)) => End::new(NO_SESSION, reason, process.heartbeat()),
                Ok(answer) => return Ok(answer),
                Err(NoAnswer::Died(end)) => end,
                Err(NoAnswer::Interrupted) => {
                    // Its late answer would be taken for the answer to the next order.
                    self.process = None;
                    return Err(CampaignError::Interrupted.into());
                }
            };
            self.process = None;
            kills += 1;
            if !end.from_outside || kills > KILLS_MAX {
                return Err(end.into());
            }
        }
    }

    /// Returns the error for the end of a process that says nothing about a case. If something else
    /// or a limit of the system ended it, it was restarted before.
    fn died(&self, end: End) -> CampaignError {
        if end.from_outside {
            self.error("it is killed again and again".to_owned())
        } else {
            CampaignError::Died(end.death)
        }
    }

    fn error(&self, reason: String) -> CampaignError {
        CampaignError::Worker {
            program: self.workers.program.clone(),
            reason,
        }
    }

    /// Ends a worker that gives an unexpected answer, because the plugin has corrupted it.
    fn nonsense(&mut self) -> End {
        let heartbeat = self.process.take().map(|process| process.heartbeat());
        End::new(
            NONSENSE,
            String::new(),
            heartbeat.unwrap_or(Heartbeat::OPENING),
        )
    }

    fn violations_of(&self, end: &End) -> Vec<Violation> {
        let mut record = CaseRecord::new(self.workers.setup.subject);
        record.death = Some(end.death.clone());
        check_all(CHECKS, &record)
    }

    /// Discards a process in which something was found if the plugin may have corrupted it, or if
    /// it took much memory, because the peak never falls.
    fn retire_after(&mut self, found: &[Violation]) {
        let is_memory = |violation: &Violation| violation.nature() == Nature::PeakMemory;
        if found.iter().any(is_memory) || (self.is_spoiled_by_violations() && !found.is_empty()) {
            self.process = None;
        }
    }

    /// Returns whether a violation may mean that the process is unusable. Faults of a plugin behind
    /// the guard do not harm it, and opening a large plugin again takes long.
    fn is_spoiled_by_violations(&self) -> bool {
        let setup = &self.workers.setup;
        setup.subject == Subject::Puppet || setup.host_kind() != Some(HostKind::Guarded)
    }
}

impl BlockExecutor<Request> for Worker {
    fn run(
        &mut self,
        plan: &Plan,
        cases: Range<u64>,
        deadline: Option<Instant>,
    ) -> Result<Block, CampaignError> {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        let order = Order::Run {
            plan: plan.clone(),
            cases: cases.clone(),
            time: deadline.map(left),
        };
        let end = match self.ask(&order) {
            Ok(Answer::Block(block)) if block.is_of(plan, &cases) => {
                if let Some(stopped) = &block.stopped {
                    self.retire_after(&stopped.violations);
                }
                return Ok(block);
            }
            Ok(_) => self.nonsense(),
            Err(failure) => failure.into_end()?,
        };
        // No case has run.
        if end.from_outside && !self.opened {
            return Err(self.died(end));
        }
        Ok(self.attribute_crash(plan, cases, &end))
    }

    /// Turns a panic into an error, because the results of other workers must not be lost.
    fn attempt<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, CampaignError>,
    ) -> Result<T, CampaignError> {
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        done.unwrap_or_else(|_| Err(self.workers.panicked()))
    }
}

impl Executor<Request> for Worker {
    type Error = CampaignError;

    fn judge(&mut self, case: &Case, check: CheckRef) -> Result<Vec<Violation>, CampaignError> {
        let order = Order::Judge {
            case: self.encode(case)?,
            check,
        };
        let end = match self.ask(&order) {
            Ok(Answer::Judged(violations)) => {
                self.retire_after(&violations);
                return Ok(violations);
            }
            Ok(_) => self.nonsense(),
            Err(failure) => failure.into_end()?,
        };
        Ok(self.violations_of(&end))
    }

    /// The worker may die, for example without memory for another copy of the plugin. Then nothing
    /// is located any more.
    fn locate(
        &mut self,
        case: &Case,
        violation: &Violation,
    ) -> Result<Option<Site>, CampaignError> {
        if self.workers.cannot_locate.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let order = Order::Locate {
            case: self.encode(case)?,
            violation: violation.clone(),
        };
        let end = match self.ask(&order) {
            Ok(Answer::Located(site)) => return Ok(site),
            Ok(_) => self.nonsense(),
            Err(failure) => failure.into_end()?,
        };
        // Such an end says nothing about the plugin.
        if end.from_outside {
            return Ok(None);
        }
        self.workers.cannot_locate.store(true, Ordering::Relaxed);
        Ok(None)
    }

    fn start_fresh(&mut self) {
        if self.is_spoiled_by_violations() {
            self.process = None;
        }
    }

    fn subject(&self) -> Subject {
        self.workers.setup.subject
    }
}
