//! The coordinator of a campaign: its state, and the only code that changes it.
//!
//! It runs on the caller's thread. It hands out jobs to executors, on this thread or on others, and
//! receives their outcomes. The events that it emits depend on the order of the cases, not on which
//! executor ran which of them, or when.
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
use super::job::{BlockJob, BlockOutcome, ConfirmViolation, Job, Outcome};
use super::locating_turns::LocatingTurns;
use super::recorder::{Current, Recorder, Task, Unfinished};
use super::reported::Reported;
use super::statistics::{FunctionStats, Summary};
use super::unexamined::{UnexaminedViolations, is_certain};
use crate::case::{Case, MAX_STEPS, ShrinkLimits};
use crate::check::Violation;
use crate::finding::history::joined;
use crate::finding::{Confirmation, Finding, Origin};
use crate::generate::Cases;
use crate::record::Subject;
use crate::wire::Vocabulary;

/// The violations of measuring checks are examined once in this many blocks.
const MEASURED_ONCE_IN: u64 = 256;

/// Returns the finding for a violation that was not examined.
fn unexamined_finding<R>(violation: Violation, case: Case<R>, certain: bool) -> Finding<R> {
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
    /// The subject that answers the requests.
    subject: Subject,
    clock: Clock,
    summary: Summary,
    /// The first case that was not handed out.
    next: u64,
    recorder: Recorder<R>,
    unexamined: UnexaminedViolations,
    locating: LocatingTurns,
    reported: Reported,
    /// The reason why no more jobs are handed out.
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
            unexamined: UnexaminedViolations::default(),
            locating: LocatingTurns::default(),
            reported: Reported::default(),
            failure: None,
            emit,
        }
    }

    /// Skips the cases before this one, in whole blocks.
    pub(crate) fn begin_at(&mut self, case: u64) {
        self.next = self.cases.plan().session_of(case).start;
        self.recorder = Recorder::new(self.next);
        self.summary.from = self.next;
        self.summary.done = self.next;
        self.summary.resume_at = self.next;
    }

    /// Starts the campaign's time: what ran before the plan does not count.
    pub(crate) fn start_clock(&mut self) {
        self.clock.restart();
    }

    /// Returns the interrupt that ends the campaign early or when its time is over.
    pub(crate) fn interrupt(&self) -> Interrupt {
        self.clock.interrupt().clone()
    }

    /// Returns the limits for shrinking one violation; `None` if the time is over.
    pub(crate) fn time_to_shrink(&self, measured: bool) -> Option<ShrinkLimits> {
        self.clock.time_to_shrink(measured)
    }

    /// Ends the campaign with an error: no more jobs are handed out. Any other error replaces an
    /// interrupt, which explains least.
    pub(crate) fn fail(&mut self, error: CampaignError) {
        if matches!(self.failure, None | Some(CampaignError::Interrupted)) {
            self.failure = Some(error);
        }
    }

    /// Returns the next job for an idle executor. If there is none, there may be one after another
    /// executor finishes its job. If no executor has a job, the campaign is done.
    pub(crate) fn next_job(&mut self) -> Option<Job<R>> {
        if self.failure.is_some() {
            return None;
        }
        // Findings are reported before more cases run.
        if let Some(job) = self.next_confirmation() {
            return Some(Job::Confirm(Box::new(job)));
        }
        if let Some(job) = self.next_block() {
            return Some(Job::Run(job));
        }
        if self.recorder.recorded() < self.next {
            return None;
        }
        // Only the violations of measuring checks are left.
        self.recorder.examine_measured();
        let job = self.next_confirmation()?;
        Some(Job::Confirm(Box::new(job)))
    }

    /// Returns the next block to run.
    fn next_block(&mut self) -> Option<BlockJob<R>> {
        let last = self.clock.case_limit();
        let last = last.min(self.cases.count().unwrap_or(u64::MAX));
        let end = last.min(self.cases.plan().session_of(self.next).end);
        if self.clock.is_ending() || self.next >= end {
            return None;
        }
        let range = self.next..end;
        self.next = end;
        Some(BlockJob {
            cases: Arc::clone(&self.cases),
            range,
            deadline: self.clock.deadline(),
        })
    }

    /// Returns the next violation to confirm. Everything before it that needs no executor is
    /// recorded.
    fn next_confirmation(&mut self) -> Option<ConfirmViolation<R>> {
        loop {
            match self.recorder.take_current() {
                Current::Nothing => {
                    let task = self.recorder.next_task()?;
                    self.start_task(task);
                }
                Current::Examining(examination) => {
                    if let Some(job) = self.examine(examination) {
                        return Some(job);
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
                let blocks = self.blocks_recorded();
                if blocks % MEASURED_ONCE_IN == MEASURED_ONCE_IN - 1 {
                    self.recorder.examine_measured();
                }
            }
            Task::ExamineMeasured(session) => {
                self.recorder.current = Current::Examining(Examination::new(session, true));
            }
            Task::FinishBlock => self.finish_block(),
        }
    }

    /// Records what ran on a session, and begins to examine how it ended.
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
            // The deadline cut off the rest.
            None if ran_to < part.end => self.unexamined.leave_from(part.from),
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

    /// Returns the next new violation of a session to confirm, or finishes the session if there is
    /// none.
    fn examine(&mut self, mut examination: Examination<R>) -> Option<ConfirmViolation<R>> {
        while let Some(violation) = examination.next_violation() {
            let session = &examination.session;
            if self.reported.has(&violation) || !self.take_examination_turn(&violation, session) {
                continue;
            }
            let Some(limits) = self.clock.time_to_shrink(examination.measured) else {
                self.leave_violation_unexamined(session, &violation);
                continue;
            };
            let job = ConfirmViolation {
                violation: violation.clone(),
                flaky: session.stopped.flaky,
                history: examination.history(&self.cases),
                known: self.reported.known(&violation),
                limits,
                interrupt: self.clock.interrupt().clone(),
            };
            self.recorder.current = Current::Confirming {
                examination,
                violation,
            };
            return Some(job);
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

    /// Returns whether to examine a violation now. One that can be located is examined only in its
    /// turn, which this takes; any other is always examined.
    fn take_examination_turn(&mut self, violation: &Violation, session: &EndedSession) -> bool {
        if !violation.can_be_located() {
            return true;
        }
        let case = self.cases.nth(session.stopped.case);
        let blocks = self.blocks_recorded();
        self.locating.take(violation, &case, blocks)
    }

    fn blocks_recorded(&self) -> u64 {
        let plan = self.cases.plan();
        plan.sessions_before(self.recorder.recorded())
    }

    fn finish_block(&mut self) {
        self.recorder.finish_block(self.cases.plan());
        let done = self.recorder.recorded().min(self.next);
        self.summary.done = done;
        self.update_resume_point();
        self.summary.elapsed = self.clock.elapsed();
        self.summary.phase = Some(self.cases.phase_to_show(done));
        (self.emit)(Event::Progress(&self.summary));
    }

    /// Receives the outcome of a job.
    pub(crate) fn receive(&mut self, outcome: Outcome<R>) {
        match outcome {
            Outcome::Ran(outcome) => self.receive_block(outcome),
            Outcome::Confirmed(confirmed) => self.receive_confirmation(confirmed),
        }
    }

    fn receive_block(&mut self, outcome: BlockOutcome) {
        self.recorder.receive(outcome.first, outcome.parts);
        if let Err(error) = outcome.ended {
            self.fail(error);
        }
    }

    fn receive_confirmation(&mut self, confirmed: Result<Confirmation<R>, CampaignError>) {
        let (mut examination, violation) = match self.recorder.take_current() {
            Current::Confirming {
                examination,
                violation,
            } => (examination, violation),
            // No confirmation was requested.
            other => {
                self.recorder.current = other;
                return;
            }
        };
        match confirmed {
            Ok(confirmed) => {
                let not_reproduced = matches!(confirmed, Confirmation::NotReproduced);
                // With the puppet, other operations of the same case may show the violation again,
                // so it stays unmarked.
                if self.subject == Subject::Plugin || not_reproduced {
                    examination.mark_examined(&violation);
                }
                if not_reproduced {
                    self.locating.forget(&violation);
                }
                self.record_finding(confirmed);
            }
            // The violation goes back into the examination, and so is left unexamined at the end.
            Err(error) => {
                examination.put_back();
                self.fail(error);
            }
        }
        self.recorder.current = Current::Examining(examination);
    }

    /// Records the result of a confirmation, and emits the finding if it is new.
    pub(crate) fn record_finding(&mut self, confirmed: Confirmation<R>) {
        let finding = match confirmed {
            Confirmation::Finding(finding) => finding,
            Confirmation::Duplicate => return,
            Confirmation::NotReproduced => {
                self.summary.unconfirmed += 1;
                return;
            }
        };
        let Some(finding) = self.reported.insert(*finding) else {
            return;
        };
        if finding.violation.is_limit() {
            self.summary.limits += 1;
        } else {
            self.summary.findings += 1;
        }
        (self.emit)(Event::Finding(&finding));
    }

    /// Leaves these violations of an ended session unexamined, except those that were reported.
    fn leave_unexamined(&mut self, session: &EndedSession, is_left: impl Fn(&Violation) -> bool) {
        let violations = session.stopped.violations.iter();
        for violation in violations.filter(|violation| is_left(violation)) {
            if !self.reported.has(violation) {
                self.leave_violation_unexamined(session, violation);
            }
        }
    }

    /// Leaves a violation unexamined for lack of time.
    fn leave_violation_unexamined(&mut self, session: &EndedSession, violation: &Violation) {
        let certain = self.unexamined.leave(session, violation);
        self.count_unexamined(certain);
        self.update_resume_point();
    }

    /// Emits the violations of a stored case that could not be examined. The resume point does not
    /// change, because stored cases always run.
    pub(crate) fn leave_stored_unexamined(
        &mut self,
        case: &Case<R>,
        violations: Vec<Violation>,
        flaky: bool,
    ) {
        let mut seen = HashSet::new();
        for violation in violations {
            if self.reported.has(&violation) || !seen.insert(violation.key()) {
                continue;
            }
            let certain = is_certain(&violation, flaky);
            self.count_unexamined(certain);
            let finding = unexamined_finding(violation, case.clone(), certain);
            (self.emit)(Event::Finding(&finding));
        }
    }

    /// Counts a violation that was not examined.
    fn count_unexamined(&mut self, certain: bool) {
        self.summary.unexamined += 1;
        self.summary.unexamined_certain += u64::from(certain);
    }

    /// Updates the resume point. Resume at the first block with a case that has not run or a
    /// violation that was not examined.
    fn update_resume_point(&mut self) {
        // Violations of measuring checks wait for a while.
        let waiting = self.recorder.first_measured();
        let left = waiting.into_iter().chain(self.unexamined.left()).min();
        let block_start = |case: u64| self.cases.plan().session_of(case).start;
        let at_most = left.map_or(self.summary.done, block_start);
        self.summary.resume_at = self.summary.done.min(at_most);
    }

    /// Ends the campaign, and emits the violations that were not examined.
    ///
    /// # Errors
    /// Returns [`CampaignError::Ended`], with the summary, if the campaign [failed](Self::fail).
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
                        self.leave_unexamined(&session, |_| true);
                    }
                }
                Unfinished::Session { session, measured } => {
                    let is_left = |violation: &Violation| violation.measured || !measured;
                    self.leave_unexamined(&session, is_left);
                }
            }
        }
        self.emit_unexamined();
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

    /// Emits the violations that were left unexamined, except those that were found again and
    /// confirmed.
    fn emit_unexamined(&mut self) {
        for left in self.unexamined.take() {
            if self.reported.has(&left.violation) {
                continue;
            }
            let case = joined(&history(&self.cases, left.from, left.case), MAX_STEPS);
            let finding = unexamined_finding(left.violation, case, left.certain);
            (self.emit)(Event::Finding(&finding));
        }
    }
}

#[cfg(test)]
mod tests;
