//! A worker as its parent sees it: a lab that starts again when it died.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::living::{End, Living, NO_SESSION, NoAnswer};
use super::protocol::{Answer, Opened, Order, Place};
use super::{HostKind, Workers};
use crate::campaign::{
    Block, CampaignError, Interrupt, Lab, Limit, Plan, Stopped, confirm_all, of_negotiated,
};
use crate::case::{Case, ShrinkLimits};
use crate::finding::Finding;
use crate::host::guard::OPTIMIZE;
use crate::host::{Agreed, Site};
use crate::observation::{CaseRecord, StepSeen, Subject};
use crate::oracle::{CHECKS, Oracle, Violation, WithinMemory, check_all};
use crate::wire::Request;

mod look;

/// What is wrong with a worker that the plugin has spoiled, or that is none.
const UNASKED: &str = "it answered what it was not asked";

/// How one ends that answers what it is not asked.
const NONSENSE: &str = "nonsense";

/// How often a worker may be killed from outside at the same work, or not come up again, before that counts.
const KILLS: u32 = 4;

/// A worker process, started when it is needed and again when it died.
pub struct Worker {
    workers: Workers,
    /// Ends what it is at.
    interrupt: Interrupt,
    living: Option<Living>,
    /// Whether one has opened the plugin before, so that another one can.
    opened: bool,
}

impl Worker {
    pub(super) fn new(workers: Workers) -> Self {
        Self {
            interrupt: workers.interrupt.clone(),
            workers,
            living: None,
            opened: false,
        }
    }

    /// The same, which is not waited for once this is over.
    pub(super) fn interrupted_by(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    /// The process, if it lives.
    pub fn id(&self) -> Option<u32> {
        self.living.as_ref().map(Living::id)
    }

    /// The places of the functions that the plugin negotiated; `None` where the worker dies while it opens it.
    ///
    /// # Errors
    /// [`CampaignError`] where it cannot be started or opens no session.
    pub fn negotiated(&mut self) -> Result<Option<Vec<usize>>, CampaignError> {
        Ok(self.opened()?.map(|opened| opened.negotiated))
    }

    /// Finds the limits of those of these functions, by their places, that the plugin negotiated: see
    /// [`limits`](crate::campaign::limits()). From then on the worker waits for nothing once an end was asked for.
    ///
    /// # Errors
    /// As [`Worker::inspect`], and where the plugin negotiated none of them.
    pub fn limits(&mut self, functions: &[usize]) -> Result<Vec<Limit>, CampaignError> {
        self.interrupt = self.interrupt.at_once();
        let negotiated = match self.live()? {
            Ok(living) => &living.opened.negotiated,
            Err(end) => return Err(self.end_of_load(end)),
        };
        let functions = of_negotiated::<Request>(functions, negotiated)?;
        let end = match self.ask(&Order::Limits { functions })? {
            Ok(Answer::Limits(limits)) => return Ok(limits),
            Ok(_) => self.nonsense(),
            Err(end) => end,
        };
        if end.from_outside {
            return Err(self.killed());
        }
        Err(CampaignError::Died(end.death))
    }

    /// What it learned of the plugin; `None` where it dies while it opens it.
    pub(super) fn opened(&mut self) -> Result<Option<Opened>, CampaignError> {
        match self.live()? {
            Ok(living) => Ok(Some(living.opened.clone())),
            // That says nothing of the plugin.
            Err(end) if end.from_outside => Err(self.killed()),
            Err(_) => Ok(None),
        }
    }

    /// Runs a case alone and tells what was seen, nothing where the worker died, and what the checks find.
    ///
    /// # Errors
    /// [`CampaignError`] where it cannot be started or opens no session.
    pub fn replay(
        &mut self,
        case: &Case,
    ) -> Result<(Vec<StepSeen>, Vec<Violation>), CampaignError> {
        let (seen, violations, _) = self.replay_or_end(case)?;
        Ok((seen, violations))
    }

    /// The same, and whether chance had a say in it: the clock, or somebody else.
    pub(super) fn replay_or_end(
        &mut self,
        case: &Case,
    ) -> Result<(Vec<StepSeen>, Vec<Violation>, bool), CampaignError> {
        let order = Order::Replay {
            case: self.encode(case)?,
        };
        let mut deaths = Vec::new();
        loop {
            let answer = match self.ask(&order) {
                // What was seen is told, whatever ends the second try.
                Err(_) if !deaths.is_empty() => return Ok((Vec::new(), deaths, true)),
                answer => answer?,
            };
            let end = match answer {
                Ok(Answer::Replayed(seen, violations)) => {
                    self.retire_if(&violations);
                    let all = [deaths, violations].concat();
                    let by_chance = all.iter().any(Violation::is_by_chance);
                    return Ok((seen, all, by_chance));
                }
                Ok(_) => self.nonsense(),
                Err(end) => end,
            };
            let is_first = deaths.is_empty();
            deaths = self.violations_of(&end);
            // What the case shows otherwise is seen when the machine does not stand still.
            if !is_first || !end.is_by_chance() {
                return Ok((Vec::new(), deaths, end.is_by_chance()));
            }
        }
    }

    /// Runs a case alone and tells which features it reaches: see [`features`](crate::observation::features). The death
    /// of the worker in a call is one.
    ///
    /// # Errors
    /// As [`Worker::replay`], and where it dies while it opens the plugin: that says nothing of the case.
    pub fn reach(&mut self, case: &Case) -> Result<BTreeSet<String>, CampaignError> {
        let case = self.encode(case)?;
        let end = match self.ask(&Order::Reach { case })? {
            Ok(Answer::Reached(features)) => return Ok(features),
            Ok(_) => self.nonsense(),
            Err(end) => end,
        };
        let manner = &end.death.manner;
        let is_of_the_case = !end.from_outside && ![NO_SESSION, NONSENSE].contains(&&manner[..]);
        match &end.death.function {
            Some(function) if is_of_the_case => {
                Ok(BTreeSet::from([format!("{function}: {manner}")]))
            }
            _ if end.from_outside => Err(self.killed()),
            _ => Err(CampaignError::Died(end.death)),
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
        let (_, violations, by_chance) = self.replay_or_end(case)?;
        let history = std::slice::from_ref(case);
        Ok(confirm_all(self, violations, history, by_chance, limits))
    }

    fn encode(&self, case: &Case) -> Result<Vec<u8>, CampaignError> {
        case.to_postcard()
            .map_err(|error| self.error(error.to_string()))
    }

    /// The living worker, started if there is none, or its end. Where the plugin was opened before, or somebody killed the
    /// process, it is tried again: the machine may be busy.
    fn live(&mut self) -> Result<Result<&mut Living, End>, CampaignError> {
        let mut tries = KILLS;
        while self.living.is_none() {
            tries -= 1;
            match self.start() {
                Ok(Ok(living)) => {
                    self.living = Some(living);
                    self.opened = true;
                }
                Ok(Err(end)) if !self.opened && (tries == 0 || !end.from_outside) => {
                    return Ok(Err(end));
                }
                Ok(Err(end)) if tries == 0 => {
                    return Err(self.error(format!(
                        "it does not open the plugin again: {}",
                        end.death.manner
                    )));
                }
                Err(CampaignError::Interrupted) => return Err(CampaignError::Interrupted),
                Err(error) if tries == 0 || !self.opened => return Err(error),
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
        let none = self.error("it is gone".to_owned());
        self.living.as_mut().map(Ok).ok_or(none)
    }

    /// The first to open the plugin on a host that keeps what it compiled is replaced: it took memory to compile that
    /// the others do not, and what a case comes to may depend on how much there is.
    fn start(&self) -> Result<Result<Living, End>, CampaignError> {
        let first = self.start_one()?;
        let keeps = self.workers.setup.host == HostKind::Reference.name();
        match first {
            Ok(_) if keeps && !self.workers.compiled.swap(true, Ordering::Relaxed) => {
                self.start_one()
            }
            first => Ok(first),
        }
    }

    fn start_one(&self) -> Result<Result<Living, End>, CampaignError> {
        let mut living = self.spawn(false)?;
        if let Err(end) = self.hear_loaded(&mut living)? {
            return match self.too_dear(&end) {
                Some(reason) => Err(CampaignError::Refused { reason }),
                None => Ok(Err(end)),
            };
        }
        match self.hear(&mut living)? {
            Ok(Answer::Opened(opened)) => {
                living.opened = opened;
                Ok(Ok(living))
            }
            Ok(_) => Err(self.error(UNASKED.to_owned())),
            Err(end) => Ok(Err(end)),
        }
    }

    /// A process that loads the plugin.
    fn spawn(&self, inspects: bool) -> Result<Living, CampaignError> {
        let living = Living::spawn(&self.workers, inspects);
        living.map_err(|error| self.error(error.to_string()))
    }

    /// What was agreed on, from a process that loads the plugin.
    fn hear_loaded(
        &self,
        living: &mut Living,
    ) -> Result<Result<Option<Agreed>, End>, CampaignError> {
        match self.hear(living)? {
            Ok(Answer::Loaded(agreed)) => Ok(Ok(agreed)),
            Ok(_) => Err(self.error(UNASKED.to_owned())),
            Err(end) => Ok(Err(end)),
        }
    }

    /// What a process says that opens the plugin, or its end.
    fn hear(&self, living: &mut Living) -> Result<Result<Answer, End>, CampaignError> {
        match living.hear(self.workers.patience.opening, &self.interrupt) {
            Ok(Answer::Refused(reason)) => Err(CampaignError::Refused { reason }),
            Ok(answer) => Ok(Ok(answer)),
            Err(NoAnswer::Died(end)) => Ok(Err(end)),
            Err(NoAnswer::Interrupted) => Err(CampaignError::Interrupted),
        }
    }

    /// What is said of a plugin whose worker died while it loaded it, where that says no more than that the plugin is too large.
    /// Of the published host, which refuses none, it is a finding.
    fn too_dear(&self, end: &End) -> Option<String> {
        let setup = &self.workers.setup;
        let is_refused = setup.host == HostKind::Guarded.name() && setup.subject == Subject::Plugin;
        let cost = end.cost().filter(|_| is_refused)?;
        Some(format!("it takes {cost} to compile and start: {OPTIMIZE}"))
    }

    /// Gives an order and waits for the answer or the end. What was killed from outside is tried again.
    fn ask(&mut self, order: &Order) -> Result<Result<Answer, End>, CampaignError> {
        let silence = match order {
            // A copy of the plugin is compiled first.
            Order::Locate { .. } => self.workers.patience.opening,
            _ => self.workers.patience.dispatch,
        };
        let interrupt = self.interrupt.clone();
        let mut kills = 0;
        loop {
            let answer = match self.live()? {
                Ok(living) => match living.ask(order, silence, &interrupt) {
                    // It has opened sessions before: the plugin left it no memory for one more.
                    Ok(Answer::Refused(reason)) => Err(End::of(NO_SESSION, reason, living.place())),
                    Ok(answer) => Ok(answer),
                    Err(NoAnswer::Died(end)) => Err(end),
                    Err(NoAnswer::Interrupted) => {
                        // Its answer would be taken for that to the next order.
                        self.living = None;
                        return Err(CampaignError::Interrupted);
                    }
                },
                // That was tried again and again.
                Err(end) => return Ok(Err(end)),
            };
            match answer {
                Ok(answer) => return Ok(Ok(answer)),
                Err(end) => {
                    self.living = None;
                    kills += 1;
                    if !end.from_outside || kills > KILLS {
                        return Ok(Err(end));
                    }
                }
            }
        }
    }

    /// Somebody else, or a limit of the system, ended its processes each time.
    fn killed(&self) -> CampaignError {
        self.error("it is killed again and again".to_owned())
    }

    fn error(&self, reason: String) -> CampaignError {
        CampaignError::Worker {
            program: self.workers.program.clone(),
            reason,
        }
    }

    /// The end of a worker that does not answer what it is asked: the plugin has spoiled it.
    fn nonsense(&mut self) -> End {
        let place = self.living.take().map(|living| living.place());
        End::of(NONSENSE, String::new(), place.unwrap_or(Place::OPENING))
    }

    fn violations_of(&self, end: &End) -> Vec<Violation> {
        let mut record = CaseRecord::new(self.workers.setup.subject);
        record.death = Some(end.death.clone());
        check_all(&CHECKS, &record)
    }

    /// A process in which something was found is not used again where the plugin may have spoiled it, nor where it took
    /// much memory: the most that it had stays what it was.
    fn retire_if(&mut self, found: &[Violation]) {
        let is_memory = |violation: &Violation| violation.check == WithinMemory.name();
        if found.iter().any(is_memory) || (self.is_spoiled_by_violations() && !found.is_empty()) {
            self.living = None;
        }
    }

    /// Whether a violation says that the process may be no use any more. A plugin behind the guard does no harm by its
    /// faults, and to open a large one again takes long.
    fn is_spoiled_by_violations(&self) -> bool {
        let setup = &self.workers.setup;
        setup.subject == Subject::Puppet || setup.host != HostKind::Guarded.name()
    }

    /// A block that ended with the death of the worker: the cases before it once more, for what they came to. Whatever
    /// becomes of these, the death is in the block.
    fn mourn(&mut self, plan: &Plan, cases: Range<u64>, end: &End) -> Block {
        // A plugin that was never opened has no cases worth trying.
        let case = if self.opened {
            end.place.case.clamp(cases.start, cases.end - 1)
        } else {
            cases.end - 1
        };
        let mut block = Block::of(plan);
        let mut violations = self.violations_of(end);
        let mut by_chance = end.is_by_chance();
        if self.opened && case > cases.start {
            // They are over soon, as they were before; without them only the counts are smaller.
            if let Ok(before) = self.run(plan, cases.start..case, None) {
                block.add(&before);
                // By chance it may stop before.
                if let Some(stopped) = before.stopped {
                    by_chance |= stopped.by_chance;
                    violations.splice(0..0, stopped.violations);
                }
            }
        }
        block.cases += 1;
        block.stopped = Some(Stopped {
            case,
            violations,
            by_chance,
        });
        block
    }
}

impl Lab<Request> for Worker {
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
        let end = match self.ask(&order)? {
            Ok(Answer::Block(block)) if block.is_of(plan, &cases) => {
                if let Some(stopped) = &block.stopped {
                    self.retire_if(&stopped.violations);
                }
                return Ok(block);
            }
            Ok(_) => self.nonsense(),
            // No case has run.
            Err(end) if end.from_outside && !self.opened => return Err(self.killed()),
            Err(end) => end,
        };
        Ok(self.mourn(plan, cases, &end))
    }

    fn judge(&mut self, case: &Case, check: &str) -> Result<Vec<Violation>, CampaignError> {
        let order = Order::Judge {
            case: self.encode(case)?,
            check: check.to_owned(),
        };
        let end = match self.ask(&order)? {
            Ok(Answer::Judged(violations)) => {
                self.retire_if(&violations);
                return Ok(violations);
            }
            Ok(_) => self.nonsense(),
            Err(end) => end,
        };
        Ok(self.violations_of(&end))
    }

    /// The worker may die of it, for it has no room for one more copy of the plugin, say: then it is not tried again.
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
        match self.ask(&order)? {
            Ok(Answer::Located(site)) => return Ok(site),
            Ok(_) => drop(self.nonsense()),
            // That says nothing of the plugin.
            Err(end) if end.from_outside => return Ok(None),
            Err(_) => {}
        }
        self.workers.cannot_locate.store(true, Ordering::Relaxed);
        Ok(None)
    }

    fn begin_afresh(&mut self) {
        if self.is_spoiled_by_violations() {
            self.living = None;
        }
    }

    fn subject(&self) -> Subject {
        self.workers.setup.subject
    }
}
