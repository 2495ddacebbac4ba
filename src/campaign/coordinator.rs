//! What a campaign knows: what was handed out, what came in, and what became of it.
//!
//! There is one owner of it, on the thread of the caller. It hands out jobs, to executors on this thread or on others, and is
//! told what came of them. What it emits depends on the order of the cases, and not on who was given which of them, or when.
//!
//! Bugs in this module look like a violation that was seen and is in no report.

use std::collections::HashSet;
use std::sync::Arc;

use super::block::{Block, SessionPart};
use super::clock::Clock;
use super::error::CampaignError;
use super::event::Event;
use super::examination::{EndedSession, Examination, history};
use super::interrupt::Interrupt;
use super::job::{ConfirmViolation, Job, Outcome, RanBlock, RunBlock};
use super::open::{OpenViolations, is_certain};
use super::places::PlaceTurns;
use super::recorder::{Current, Recorder, Task, Unfinished};
use super::statistics::{FunctionStats, Summary};
use super::told::Told;
use crate::case::{Case, MAX_STEPS, ShrinkLimits};
use crate::check::Violation;
use crate::finding::history::joined;
use crate::finding::{Confirmation, Finding, Origin};
use crate::generate::Cases;
use crate::record::Subject;
use crate::wire::Vocabulary;

/// Once in so many blocks it is looked into what checks that measure have found.
const MEASURED_ONCE_IN: u64 = 256;

/// The finding that a violation is which nobody has looked into.
fn unexamined<R>(violation: Violation, case: Case<R>, certain: bool) -> Finding<R> {
    Finding {
        violation,
        case,
        origin: Origin::Unexamined { certain },
        minimal: false,
    }
}

/// The state of a campaign.
pub(crate) struct Coordinator<R, E> {
    cases: Arc<Cases<R>>,
    /// Who answers the requests.
    subject: Subject,
    clock: Clock,
    summary: Summary,
    /// The first case that was not handed out.
    next: u64,
    recorder: Recorder<R>,
    open: OpenViolations,
    places: PlaceTurns,
    told: Told,
    /// Why nothing more is handed out.
    failure: Option<CampaignError>,
    emit: E,
}

impl<R: Vocabulary, E: FnMut(Event<'_, R>)> Coordinator<R, E> {
    pub(crate) fn new(
        cases: Arc<Cases<R>>,
        subject: Subject,
        interrupt: &Interrupt,
        emit: E,
    ) -> Self {
        let functions = cases.plan().generator.functions.iter();
        Self {
            summary: Summary {
                functions: functions
                    .map(|&place| FunctionStats {
                        function: &R::functions()[place],
                        counts: Default::default(),
                    })
                    .collect(),
                ..Summary::default()
            },
            clock: Clock::new(cases.plan().budget, interrupt),
            cases,
            subject,
            next: 0,
            recorder: Recorder::new(0),
            open: OpenViolations::default(),
            places: PlaceTurns::default(),
            told: Told::default(),
            failure: None,
            emit,
        }
    }

    /// Leaves out the first cases, up to this one: whole sessions only.
    pub(crate) fn begin_at(&mut self, case: u64) {
        self.next = self.cases.plan().session_of(case).start;
        self.recorder = Recorder::new(self.next);
        self.summary.from = self.next;
        self.summary.done = self.next;
        self.summary.resume_at = self.next;
    }

    /// From here on the time counts: what ran before a plan takes nothing of it.
    pub(crate) fn start_clock(&mut self) {
        self.clock.restart();
    }

    /// What ends the campaign early, or when its time is over.
    pub(crate) fn interrupt(&self) -> Interrupt {
        self.clock.interrupt().clone()
    }

    /// How far one violation may be shrunk; `None` where the time is over.
    pub(crate) fn time_to_shrink(&self, measured: bool) -> Option<ShrinkLimits> {
        self.clock.time_to_shrink(measured)
    }

    /// The campaign cannot go on: nothing more is handed out. An interrupt says least of why.
    pub(crate) fn fail(&mut self, error: CampaignError) {
        if matches!(self.failure, None | Some(CampaignError::Interrupted)) {
            self.failure = Some(error);
        }
    }

    /// What an executor is to do that has nothing to do. Where there is nothing, there may be once another one has done what
    /// it is at; and where none is at anything, the campaign is done.
    pub(crate) fn next_job(&mut self) -> Option<Job<R>> {
        if self.failure.is_some() {
            return None;
        }
        // What was found is told before more is looked for.
        if let Some(suspect) = self.next_confirmation() {
            return Some(Job::Confirm(Box::new(suspect)));
        }
        if let Some(block) = self.next_block() {
            return Some(Job::Run(block));
        }
        if self.recorder.recorded() < self.next {
            return None;
        }
        // All is taken down but what takes long.
        self.recorder.examine_measured();
        let suspect = self.next_confirmation()?;
        Some(Job::Confirm(Box::new(suspect)))
    }

    /// The next block: the cases of a session.
    fn next_block(&mut self) -> Option<RunBlock<R>> {
        let last = self.clock.case_limit();
        let last = last.min(self.cases.count().unwrap_or(u64::MAX));
        let end = last.min(self.cases.plan().session_of(self.next).end);
        if self.clock.is_ending() || self.next >= end {
            return None;
        }
        let range = self.next..end;
        self.next = end;
        Some(RunBlock {
            cases: Arc::clone(&self.cases),
            range,
            deadline: self.clock.deadline(),
        })
    }

    /// The next violation to confirm. What needs no executor is taken down on the way to it.
    fn next_confirmation(&mut self) -> Option<ConfirmViolation<R>> {
        loop {
            match self.recorder.take_current() {
                Current::Nothing => {
                    let task = self.recorder.next_task()?;
                    self.start_task(task);
                }
                Current::Examining(examination) => {
                    if let Some(suspect) = self.examine(examination) {
                        return Some(suspect);
                    }
                }
                confirming @ Current::Confirming { .. } => {
                    self.recorder.current = confirming;
                    return None;
                }
            }
        }
    }

    fn start_task(&mut self, task: Task) {
        match task {
            Task::Record(part) => self.record_part(part),
            Task::MeasuredIfDue => {
                let sessions = self.sessions_recorded();
                if sessions % MEASURED_ONCE_IN == MEASURED_ONCE_IN - 1 {
                    self.recorder.examine_measured();
                }
            }
            Task::ExamineMeasured(session) => {
                self.recorder.current = Current::Examining(Examination::new(session, true));
            }
            Task::FinishBlock => self.finish_block(),
        }
    }

    /// Takes down what ran of a session. How it ended is looked into.
    fn record_part(&mut self, part: SessionPart) {
        self.count(&part.block);
        let ran_to = part.from + part.block.cases;
        match part.block.stopped {
            Some(stopped) => {
                let session = EndedSession {
                    from: part.from,
                    stopped,
                };
                self.recorder.current = Current::Examining(Examination::new(session, false));
            }
            // The time cut the rest off.
            None if ran_to < part.end => self.open.leave_from(part.from),
            None => {}
        }
    }

    fn count(&mut self, block: &Block) {
        let summary = &mut self.summary;
        summary.cases += block.cases;
        summary.slowest = summary.slowest.max(block.slowest);
        summary.memory = summary.memory.max(block.memory);
        for (stats, counts) in summary.functions.iter_mut().zip(&block.counts) {
            stats.counts.add(counts);
        }
    }

    /// Looks for a violation of a session that is new and to be confirmed, and ends with the session where there is none.
    fn examine(&mut self, mut examination: Examination<R>) -> Option<ConfirmViolation<R>> {
        while let Some(violation) = examination.next_violation() {
            let session = &examination.session;
            if self.told.has(&violation) || !self.is_to_be_located(&violation, session) {
                continue;
            }
            let Some(limits) = self.clock.time_to_shrink(examination.measured) else {
                self.leave_violation_open(session, &violation);
                continue;
            };
            let suspect = ConfirmViolation {
                violation: violation.clone(),
                flaky: session.stopped.flaky,
                history: examination.history(&self.cases),
                known: self.told.known(&violation),
                limits,
                interrupt: self.clock.interrupt().clone(),
            };
            self.recorder.current = Current::Confirming {
                examination,
                violation,
            };
            return Some(suspect);
        }
        let Examination {
            session, measured, ..
        } = examination;
        if !measured
            && session
                .stopped
                .violations
                .iter()
                .any(|found| found.measured)
        {
            self.recorder.keep_measured(session);
        }
        None
    }

    /// Whether a violation whose place in the plugin can be found out is looked into: others are always.
    fn is_to_be_located(&mut self, violation: &Violation, session: &EndedSession) -> bool {
        if !violation.can_be_located() {
            return true;
        }
        let case = self.cases.nth(session.stopped.case);
        let sessions = self.sessions_recorded();
        self.places.take(violation, &case, sessions)
    }

    fn sessions_recorded(&self) -> u64 {
        let plan = self.cases.plan();
        plan.sessions_before(self.recorder.recorded())
    }

    fn finish_block(&mut self) {
        self.recorder.finish_block(self.cases.plan());
        let done = self.recorder.recorded().min(self.next);
        self.summary.done = done;
        self.update_resume_point();
        self.summary.elapsed = self.clock.elapsed();
        self.summary.phase = Some(self.cases.leading(done));
        (self.emit)(Event::Progress(&self.summary));
    }

    /// What came of a job.
    pub(crate) fn receive(&mut self, outcome: Outcome<R>) {
        match outcome {
            Outcome::Ran(block) => self.receive_block(block),
            Outcome::Confirmed(confirmed) => self.receive_confirmation(confirmed),
        }
    }

    fn receive_block(&mut self, block: RanBlock) {
        self.recorder.receive(block.first, block.parts);
        if let Err(error) = block.ended {
            self.fail(error);
        }
    }

    fn receive_confirmation(&mut self, confirmed: Result<Confirmation<R>, CampaignError>) {
        let (mut examination, violation) = match self.recorder.take_current() {
            Current::Confirming {
                examination,
                violation,
            } => (examination, violation),
            // Nobody was asked to confirm anything.
            other => {
                self.recorder.current = other;
                return;
            }
        };
        match confirmed {
            Ok(confirmed) => {
                let is_nothing = matches!(confirmed, Confirmation::NotReproduced);
                // The puppet's may show once more, by other operations.
                if self.subject == Subject::Plugin || is_nothing {
                    examination.see(&violation);
                }
                if is_nothing {
                    self.places.forget(&violation);
                }
                self.record_finding(confirmed);
            }
            // It stays in work, and so is left open in the end.
            Err(error) => self.fail(error),
        }
        self.recorder.current = Current::Examining(examination);
    }

    /// Tells what became of a violation.
    pub(crate) fn record_finding(&mut self, confirmed: Confirmation<R>) {
        let finding = match confirmed {
            Confirmation::Finding(finding) => finding,
            Confirmation::Duplicate => return,
            Confirmation::NotReproduced => {
                self.summary.unconfirmed += 1;
                return;
            }
        };
        let Some(finding) = self.told.insert(*finding) else {
            return;
        };
        if finding.violation.is_limit() {
            self.summary.limits += 1;
        } else {
            self.summary.findings += 1;
        }
        (self.emit)(Event::Finding(&finding));
    }

    /// Leaves those violations of the end of a session open that nobody has looked into.
    fn leave_open(&mut self, session: &EndedSession, is_open: impl Fn(&Violation) -> bool) {
        let violations = session.stopped.violations.iter();
        for violation in violations.filter(|found| is_open(found)) {
            if !self.told.has(violation) {
                self.leave_violation_open(session, violation);
            }
        }
    }

    /// A violation for which there was no time.
    fn leave_violation_open(&mut self, session: &EndedSession, violation: &Violation) {
        let certain = self.open.leave(session, violation);
        self.count_unexamined(certain);
        self.update_resume_point();
    }

    /// Emits what a stored case showed and nobody could look into. Where to resume is not moved: such cases always run.
    pub(crate) fn leave_stored_open(
        &mut self,
        case: &Case<R>,
        violations: Vec<Violation>,
        flaky: bool,
    ) {
        let mut seen = HashSet::new();
        for violation in violations {
            if self.told.has(&violation) || !seen.insert(violation.key()) {
                continue;
            }
            let certain = is_certain(&violation, flaky);
            self.count_unexamined(certain);
            let finding = unexamined(violation, case.clone(), certain);
            (self.emit)(Event::Finding(&finding));
        }
    }

    /// Counts a violation that nobody has looked into.
    fn count_unexamined(&mut self, certain: bool) {
        self.summary.unexamined += 1;
        self.summary.unexamined_certain += u64::from(certain);
    }

    /// Behind no case that has not run, and no violation that nobody has looked into: one of a check that measures waits for
    /// a while.
    fn update_resume_point(&mut self) {
        let waiting = self.recorder.first_measured();
        let left = waiting.into_iter().chain(self.open.left()).min();
        // Sessions are run whole.
        let session = |case: u64| self.cases.plan().session_of(case).start;
        let at_most = left.map_or(self.summary.done, session);
        self.summary.resume_at = self.summary.done.min(at_most);
    }

    /// The end of the campaign, however it came. What nobody has looked into is emitted.
    ///
    /// # Errors
    /// [`CampaignError::Ended`], with the summary, where it [failed](Self::fail).
    pub(crate) fn close(mut self) -> Result<Summary, CampaignError> {
        for unfinished in self.recorder.take_unfinished() {
            match unfinished {
                Unfinished::Part(part) => {
                    self.count(&part.block);
                    if let Some(stopped) = part.block.stopped {
                        let session = EndedSession {
                            from: part.from,
                            stopped,
                        };
                        self.leave_open(&session, |_| true);
                    }
                }
                Unfinished::Session { session, measured } => {
                    self.leave_open(&session, |found| found.measured || !measured);
                }
            }
        }
        self.emit_open();
        self.update_resume_point();
        let mut summary = self.summary;
        summary.elapsed = self.clock.elapsed();
        summary.interrupted = self.clock.interrupt().is_requested();
        match self.failure {
            None | Some(CampaignError::Interrupted) => Ok(summary),
            Some(error) => Err(CampaignError::Ended {
                summary: Box::new(Summary {
                    interrupted: true,
                    ..summary
                }),
                source: Box::new(error),
            }),
        }
    }

    /// Emits what was left open, but for what was found elsewhere meanwhile.
    fn emit_open(&mut self) {
        for open in self.open.take() {
            if self.told.has(&open.violation) {
                continue;
            }
            let case = joined(&history(&self.cases, open.from, open.case), MAX_STEPS);
            let finding = unexamined(open.violation, case, open.certain);
            (self.emit)(Event::Finding(&finding));
        }
    }
}

#[cfg(test)]
mod tests;
