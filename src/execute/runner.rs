//! The runner, which runs cases on a host and records what it observes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::call_counter::CallCounter;
#[cfg(feature = "reference")]
use super::differential::on_reference;
use super::dispatch::{
    EnvelopeEncoding, Execution, execute, execute_encoded, healthy_answer, healthy_input,
    healthy_result,
};
use super::machine_load::Watch;
use super::{leak_check, memory, response_dictionary};
use crate::case::{Case, Depth, Step};
#[cfg(feature = "reference")]
use crate::host::ReferenceHost;
use crate::host::{Call, Cause, HandshakeError, Host, Session as _};
use crate::puppet::{INPUT_MAX_BYTES, Program, predict};
use crate::record::{CaseRecord, Memory, StepRecord, StepResult, Subject};
use crate::wire::{Function, Request, Vocabulary};

mod healthy_calls;
mod locate_step;
mod steps;

/// The most steps of a case that are run on sessions of their own.
const ISOLATED_MAX: usize = 8;

/// The most attempts at something that may time out on a busy machine.
const TRIALS: usize = 3;

/// A runner of cases on a host, one after the other on one session.
pub struct Runner<'h, H: Host, R = Request> {
    host: &'h H,
    subject: Subject,
    session: H::Session,
    /// The bytes that the session's last call allocated: see [`predict`].
    carried: u64,
    /// Whether the puppet may have grown the session's memory.
    grown: bool,
    /// The number of dispatches in the session.
    calls: u32,
    healthy: Vec<Healthy<R>>,
    /// See [`CaseRecord::healthy`].
    healthy_results: Arc<[StepResult]>,
    call_counter: CallCounter,
    /// The watcher of the machine's load while a case runs alone, to tell the machine's delays from
    /// the host's.
    watch: Option<Watch>,
    /// The timing of the current case.
    clock: Clock,
    /// Called before each dispatch.
    heartbeat: Option<BeforeDispatch>,
    /// The peak memory before the first case and before the next one, if memory is measured.
    peaks: Option<(u64, u64)>,
    /// The most memory that the answers of a case took: see [`Memory::answers`].
    answers: u64,
    #[cfg(feature = "reference")]
    reference: Option<ReferenceHost>,
}

/// The least increase of the peak memory, in bytes, for which the answers of a case are measured.
const RAISED_MIN_BYTES: u64 = 1 << 20;

/// The timing of a case's dispatches.
#[derive(Default)]
struct Clock {
    slowest: Duration,
    ended_any: bool,
}

impl Clock {
    fn note(&mut self, seen: &Execution) {
        self.slowest = self.slowest.max(seen.elapsed);
        self.ended_any |= seen.call.cause == Some(Cause::Timeout);
    }

    fn write_to(&self, record: &mut CaseRecord) {
        record.slowest = self.slowest;
        record.ended_by_clock = self.ended_any;
    }
}

type BeforeDispatch = Box<dyn FnMut(&'static Function)>;

impl<'h, H: Host, R: Vocabulary> Runner<'h, H, R> {
    /// Opens a session and records the results of healthy calls.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] if the host cannot open a session.
    pub fn new(host: &'h H, subject: Subject) -> Result<Self, HandshakeError> {
        let mut runner = Self {
            host,
            subject,
            session: host.open()?,
            carried: 0,
            grown: false,
            calls: 0,
            healthy: Vec::new(),
            healthy_results: Arc::default(),
            call_counter: CallCounter::new(),
            watch: None,
            clock: Clock::default(),
            heartbeat: None,
            peaks: None,
            answers: 0,
            #[cfg(feature = "reference")]
            reference: None,
        };
        for (index, function) in R::functions().iter().enumerate() {
            let Some(version) = host.negotiated(function.name) else {
                continue;
            };
            let step = Step::healthy(index);
            let result = healthy_result(host, &step)?;
            runner.healthy.push(Healthy {
                index,
                function,
                version,
                input: healthy_input(&step, version),
                step,
                answer: healthy_answer(function, version),
                result,
            });
        }
        if subject == Subject::Puppet {
            runner.calibrate_call_counter()?;
        }
        if subject == Subject::Plugin {
            let healthy = runner.healthy.iter();
            runner.healthy_results = healthy.map(|healthy| healthy.result.clone()).collect();
        }
        Ok(runner)
    }

    /// Sets a function to call before each dispatch of a step or a healthy call, with the wire
    /// function.
    pub fn before_dispatches(&mut self, heartbeat: impl FnMut(&'static Function) + 'static) {
        self.heartbeat = Some(Box::new(heartbeat));
    }

    /// Starts to measure the memory of the process.
    pub fn measure_memory(&mut self) {
        self.peaks = memory::peak().map(|peak| (peak, peak));
    }

    /// Compares thorough cases with the published host, which runs the same plugin. Cases of the
    /// puppet that would kill that host are skipped; any other plugin must not kill it.
    #[cfg(feature = "reference")]
    pub fn compare_with(&mut self, reference: ReferenceHost) {
        self.reference = Some(reference);
    }

    /// Returns the indices of the functions that the plugin negotiated.
    pub fn negotiated(&self) -> Vec<usize> {
        self.healthy.iter().map(|healthy| healthy.index).collect()
    }

    /// Returns the JSON objects in the plugin's healthy answers as texts, such as the state of a
    /// signer: a host sends them back, or something similar. Returns none for the puppet.
    pub fn response_dictionary(&self) -> Vec<String> {
        match self.subject {
            Subject::Puppet => Vec::new(),
            Subject::Plugin => {
                let outcomes = self.healthy.iter().filter_map(|h| h.result.outcome());
                response_dictionary::response_dictionary(outcomes)
            }
        }
    }

    /// Returns the subject that answers.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// Replaces the session with a fresh one.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] if the host cannot open a session.
    pub fn renew(&mut self) -> Result<(), HandshakeError> {
        self.session = self.host.open()?;
        self.carried = 0;
        self.grown = false;
        self.calls = 0;
        Ok(())
    }

    /// Replaces the session with a fresh one if its memory may have grown: two sessions with the
    /// most memory must not be open at a time. This depends on predictions, not on measurements, so
    /// it is the same on every machine.
    fn make_room(&mut self) -> Result<(), HandshakeError> {
        if self.grown { self.renew() } else { Ok(()) }
    }

    /// Runs a case on the open session.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] if the host cannot open a session for comparison.
    pub fn run(&mut self, case: &Case<R>, depth: Depth) -> Result<CaseRecord, HandshakeError> {
        let case = &*self.resolve(case)?;
        let mut record = self.steps(case.dispatches(), case.steps.iter().map(Cow::Borrowed));
        if depth != Depth::Light {
            self.run_thorough(case, &mut record)?;
        }
        if depth == Depth::LeakCheck && self.peaks.is_some() {
            let host = self.host;
            record.leak_check = leak_check::leak_check(host, case, &record, &mut |function| {
                self.heartbeat(function)
            })?;
        }
        Ok(self.complete(record))
    }

    /// Runs a case on the open session as [`Depth::Light`], and consumes it, which saves copies.
    ///
    /// # Errors
    /// Returns the errors of [`Runner::run`].
    pub fn run_light(&mut self, mut case: Case<R>) -> Result<CaseRecord, HandshakeError> {
        if let Cow::Owned(resolved) = self.resolve(&case)? {
            case = resolved;
        }
        let dispatches = case.dispatches();
        let record = self.steps(dispatches, case.steps.into_iter().map(Cow::Owned));
        Ok(self.complete(record))
    }

    /// Completes the record of a case that has run.
    fn complete(&mut self, mut record: CaseRecord) -> CaseRecord {
        self.clock.write_to(&mut record);
        record.memory = self.memory(&record);
        record
    }

    /// Returns the memory of the case that just ran, if memory is measured.
    fn memory(&mut self, record: &CaseRecord) -> Option<Memory> {
        let (baseline, before) = self.peaks?;
        let peak = memory::peak()?;
        self.peaks = Some((baseline, peak));
        if peak.saturating_sub(before) > RAISED_MIN_BYTES {
            self.answers = self.answers.max(memory::of_answers(record) as u64);
        }
        Some(Memory {
            baseline,
            before,
            peak,
            answers: self.answers,
        })
    }

    /// Runs what a thorough case has besides its steps.
    fn run_thorough(
        &mut self,
        case: &Case<R>,
        record: &mut CaseRecord,
    ) -> Result<(), HandshakeError> {
        for index in 0..self.healthy.len() {
            record.probes.push(self.probe(index, record.steps.len()));
        }
        self.make_room()?;
        let fresh = self.on_fresh_session(case, record)?;
        record.fresh_session.push(fresh);
        let differs = |(step, fresh): (&StepRecord, &StepResult)| step.result != *fresh;
        if record
            .steps
            .iter()
            .zip(&record.fresh_session[0])
            .any(differs)
        {
            let again = self.on_fresh_session(case, record)?;
            record.fresh_session.push(again);
        }
        #[cfg(feature = "reference")]
        if let Some(reference) = self.reference.take() {
            let told = on_reference(&reference, case, record, &mut |f| self.heartbeat(f));
            self.reference = Some(reference);
            record.reference = told?;
        }
        Ok(())
    }

    /// Runs a case alone on a fresh session.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] if the host cannot open a session.
    pub fn run_alone(
        &mut self,
        case: &Case<R>,
        depth: Depth,
    ) -> Result<CaseRecord, HandshakeError> {
        self.renew()?;
        let case = &*self.resolve(case)?;
        self.watch = Some(Watch::start());
        let record = self.run(case, depth);
        self.watch = None;
        let mut record = record?;
        if depth != Depth::Light {
            for seen in record.steps.iter().rev().take(ISOLATED_MAX) {
                self.heartbeat(seen.function);
                let request = case.steps[seen.step_index].request_with_program();
                let seen = execute(request, &mut self.host.open()?);
                self.clock.note(&seen);
                record.isolated.push(seen.result);
            }
            self.clock.write_to(&mut record);
            // Sessions that share state also show here. Checking for it takes a call of each
            // function.
            if record
                .probes
                .iter()
                .any(|probe| probe.result != probe.fresh_session)
            {
                record.on_other_sessions = self.on_other_sessions()?;
            }
        }
        Ok(record)
    }

    /// Runs a case alone up to three times and returns the record with the fewest timeouts: on a
    /// busy machine any call may time out.
    ///
    /// # Errors
    /// Returns the errors of [`Runner::run_alone`].
    pub fn run_undisturbed(&mut self, case: &Case<R>) -> Result<CaseRecord, HandshakeError> {
        let mut record = self.run_alone(case, Depth::Light)?;
        for _ in 1..TRIALS {
            if record.calls_ended_by_clock() == 0 {
                break;
            }
            let again = self.run_alone(case, Depth::Light)?;
            if again.calls_ended_by_clock() < record.calls_ended_by_clock() {
                record = again;
            }
        }
        Ok(record)
    }

    /// Returns the case with each [`Op::BurnTo`](crate::puppet::Op::BurnTo) replaced, after a trial
    /// call that measures the fuel.
    fn resolve<'c>(&mut self, case: &'c Case<R>) -> Result<Cow<'c, Case<R>>, HandshakeError> {
        let mut case = Cow::Borrowed(case);
        for index in 0..case.steps.len() {
            let step = &case.steps[index];
            let Some(program) = step.program.as_ref().filter(|p| p.burns_to()) else {
                continue;
            };
            self.make_room()?;
            self.heartbeat(step.request.function());
            let mut trial = execute(step.request_with_program(), &mut self.host.open()?);
            // On a busy machine it may time out before it has used its fuel.
            for _ in 1..TRIALS {
                if trial.call.cause != Some(Cause::Timeout) {
                    break;
                }
                trial = execute(step.request_with_program(), &mut self.host.open()?);
            }
            let burning = program.burning(trial.call.fuel);
            case.to_mut().steps[index].program = Some(burning);
        }
        Ok(case)
    }

    /// Dispatches a step. Returns `None` if its input is larger than [`INPUT_MAX_BYTES`]: Extism
    /// zeroes what a call allocated with the next call's fuel, so that call would fail. `many` says
    /// whether the case has [`MANY_STEPS`](crate::case::MANY_STEPS).
    fn step(&mut self, index: usize, step: Cow<'_, Step<R>>, many: bool) -> Option<StepRecord> {
        let (request, program) = Step::request_and_program(step);
        let program = program.as_deref();
        let function = request.function();
        self.heartbeat(function);
        let healthy = self.healthy.iter().find(|h| h.function == function);
        let version = healthy.map(|healthy| healthy.version);
        // An echoed input is compared, so it is encoded in another way than the host does.
        let encoding = if program.is_some_and(Program::echoes) {
            EnvelopeEncoding::Tree
        } else {
            EnvelopeEncoding::Host
        };
        let counts_calls = program.is_some_and(Program::logs_calls);
        let mark = self.watch.as_ref().map(Watch::mark);
        let session = &mut self.session;
        let dispatch = || match version {
            Some(version) => execute_encoded(request, version, encoding, INPUT_MAX_BYTES, session),
            None => (None, Some(execute(request, session))),
        };
        let ((expected_input, seen), guest_calls) = if counts_calls {
            self.call_counter.count_calls(dispatch)
        } else {
            (dispatch(), None)
        };
        let seen = seen?;
        self.calls += 1;
        let watched = self.watch.as_ref().zip(mark);
        let busy = watched.map_or(Duration::ZERO, |(watch, mark)| watch.since(&mark));
        self.clock.note(&seen);
        if matches!(seen.call.cause, Some(Cause::RequestTooLarge(_))) {
            return None;
        }
        // Only the check for drift needs it.
        let guest_memory = match (self.subject, many) {
            (Subject::Plugin, true) => self.session.guest_memory(),
            _ => None,
        };
        let mut record = StepRecord {
            step_index: index,
            function,
            version,
            expected_input: expected_input.map(|input| share_input(input, &seen.call)),
            result: seen.result,
            call: seen.call,
            elapsed: seen.elapsed,
            busy,
            calls: self.calls,
            guest_calls,
            guest_memory,
            prediction: None,
        };
        record.prediction = match (self.subject, healthy, record.input()) {
            (Subject::Puppet, Some(healthy), Some(input)) => {
                Some(predict(input, &healthy.answer, self.carried))
            }
            _ => None,
        };
        let prediction = record.prediction.as_ref();
        self.carried = prediction.map_or(0, |p| p.allocates);
        self.grown |= prediction.is_some_and(|p| p.grows);
        Some(record)
    }

    fn heartbeat(&mut self, function: &'static Function) {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat(function);
        }
    }

    /// Runs the steps of a record once more, on a session of their own.
    fn on_fresh_session(
        &mut self,
        case: &Case<R>,
        record: &CaseRecord,
    ) -> Result<Vec<StepResult>, HandshakeError> {
        let mut session = self.host.open()?;
        let mut results = Vec::with_capacity(record.steps.len());
        for seen in &record.steps {
            self.heartbeat(seen.function);
            let mut now = execute(
                case.steps[seen.step_index].request_with_program(),
                &mut session,
            );
            self.clock.note(&now);
            now.result.share(&seen.result);
            results.push(now.result);
        }
        Ok(results)
    }
}

/// Returns the expected input, sharing the allocation of the input that the host reports if both
/// are equal.
fn share_input(expected: Vec<u8>, call: &Call) -> Arc<[u8]> {
    match &call.input {
        Some(told) if **told == *expected => Arc::clone(told),
        _ => expected.into(),
    }
}

/// A function that the plugin negotiated.
pub(crate) struct Healthy<R> {
    /// The index of the function among those of the vocabulary.
    pub(crate) index: usize,
    pub(crate) function: &'static Function,
    pub(crate) version: u32,
    pub(crate) step: Step<R>,
    /// The input of the healthy call; `None` if its request does not serialize.
    pub(crate) input: Option<Arc<[u8]>>,
    /// The puppet's healthy answer.
    pub(crate) answer: Vec<u8>,
    /// The result of the healthy call on a fresh session.
    pub(crate) result: StepResult,
}
