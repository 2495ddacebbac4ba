//! Running cases on a host.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::busy::Watch;
use super::handouts;
use super::knocks::Ear;
use super::react::{Seen, guest_input, healthy_answer, healthy_reaction, react};
#[cfg(feature = "reference")]
use super::twin::on_reference;
use super::{CaseRecord, Memory, ProbeRecord, Reaction, StepRecord, memory, soak};
use crate::case::{Case, Step};
#[cfg(feature = "reference")]
use crate::host::ReferenceHost;
use crate::host::{Cause, HandshakeError, Host, Session};
use crate::puppet::{INPUT_MAX_BYTES, Op, predict};
use crate::wire::{Function, Request, Vocabulary};

mod place;
mod steps;

/// Who answers the requests of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// The puppet: what it must come to is known, and it keeps no state.
    Puppet,
    /// Somebody's plugin, which may keep state on purpose.
    Plugin,
}

/// How much is done beside the steps of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The session that is open, and a healthy call behind each step that did not answer.
    Light,
    /// The same, a healthy call of every function at the end, and the whole case on fresh sessions and on the
    /// published host for comparison.
    Thorough,
    /// The same, and the case again and again: see [`Soak`](super::Soak).
    Soak,
}

/// How many steps of a case are run on sessions of their own.
const APART_MAX: usize = 8;

/// How often that is tried which the clock may end, and need not.
const TRIALS: usize = 3;

/// Runs cases on a host, one after the other on one session.
pub struct Runner<'h, H: Host, R = Request> {
    host: &'h H,
    subject: Subject,
    session: H::Session,
    /// What the session's last call allocated: see [`predict`].
    carried: u64,
    /// Whether the puppet may have grown the session's memory.
    grown: bool,
    healthy: Vec<Healthy<R>>,
    /// See [`CaseRecord::healthy`].
    healthy_reactions: Arc<[Reaction]>,
    ear: Ear,
    /// Where a case runs alone, to tell what was the machine's and not the host's.
    watch: Option<Watch>,
    /// What the clock has to do with the case that is running.
    clock: Clock,
    /// Called before each dispatch.
    beat: Option<Beat>,
    /// The most memory before the first case, and before the next, where memory is measured.
    peaks: Option<(u64, u64)>,
    /// The most that the answers of a case took: see [`Memory::answers`].
    answers: u64,
    #[cfg(feature = "reference")]
    reference: Option<ReferenceHost>,
}

/// Where a case raised the memory by less, its answers are not looked at, in bytes.
const RAISED_MIN_BYTES: u64 = 1 << 20;

/// The dispatches of a case and the clock.
#[derive(Default)]
struct Clock {
    slowest: Duration,
    ended_any: bool,
}

impl Clock {
    fn note(&mut self, seen: &Seen) {
        self.slowest = self.slowest.max(seen.elapsed);
        self.ended_any |= seen.call.cause == Some(Cause::Timeout);
    }

    fn tell(&self, record: &mut CaseRecord) {
        record.slowest = self.slowest;
        record.ended_by_clock = self.ended_any;
    }
}

type Beat = Box<dyn FnMut(&'static Function)>;

/// A function that the plugin negotiated.
struct Healthy<R> {
    place: usize,
    function: &'static Function,
    version: u32,
    step: Step<R>,
    /// The puppet's healthy answer.
    answer: Vec<u8>,
    /// What the healthy call comes to on a fresh session.
    reaction: Reaction,
}

impl<'h, H: Host, R: Vocabulary> Runner<'h, H, R> {
    /// Opens a session and learns what healthy calls come to.
    ///
    /// # Errors
    /// [`HandshakeError`] where the host opens no session.
    pub fn new(host: &'h H, subject: Subject) -> Result<Self, HandshakeError> {
        let mut runner = Self {
            host,
            subject,
            session: host.open()?,
            carried: 0,
            grown: false,
            healthy: Vec::new(),
            healthy_reactions: Arc::default(),
            ear: Ear::new(),
            watch: None,
            clock: Clock::default(),
            beat: None,
            peaks: None,
            answers: 0,
            #[cfg(feature = "reference")]
            reference: None,
        };
        for (place, function) in R::functions().iter().enumerate() {
            let Some(version) = host.negotiated(function.name) else {
                continue;
            };
            let step = Step::healthy(place);
            let reaction = healthy_reaction(host, &step)?;
            runner.healthy.push(Healthy {
                place,
                function,
                version,
                step,
                answer: healthy_answer(function, version),
                reaction,
            });
        }
        if subject == Subject::Plugin {
            let healthy = runner.healthy.iter();
            runner.healthy_reactions = healthy.map(|healthy| healthy.reaction.clone()).collect();
        }
        Ok(runner)
    }

    /// Calls this before each dispatch of a step or a healthy call, with the function.
    pub fn before_dispatches(&mut self, beat: impl FnMut(&'static Function) + 'static) {
        self.beat = Some(Box::new(beat));
    }

    /// Measures the memory of the process from now on.
    pub fn measure_memory(&mut self) {
        self.peaks = memory::peak().map(|peak| (peak, peak));
    }

    /// Runs thorough cases on the published host too, with the same plugin. Of the puppet only those that it
    /// survives; any other plugin must not be one that kills it.
    #[cfg(feature = "reference")]
    pub fn compare_with(&mut self, reference: ReferenceHost) {
        self.reference = Some(reference);
    }

    /// The places of the functions that the plugin negotiated.
    pub fn negotiated(&self) -> Vec<usize> {
        self.healthy.iter().map(|healthy| healthy.place).collect()
    }

    /// The objects of JSON that the plugin's healthy answers hold, as texts, such as the state that a signer is built with:
    /// what it hands out it gets again, or something like it. None where it is the puppet.
    pub fn objects(&self) -> Vec<String> {
        match self.subject {
            Subject::Puppet => Vec::new(),
            Subject::Plugin => {
                let outcomes = self.healthy.iter().filter_map(|h| h.reaction.outcome());
                handouts::objects(outcomes)
            }
        }
    }

    /// Who answers.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// Goes on with a fresh session.
    ///
    /// # Errors
    /// [`HandshakeError`] where the host opens none.
    pub fn renew(&mut self) -> Result<(), HandshakeError> {
        self.session = self.host.open()?;
        self.carried = 0;
        self.grown = false;
        Ok(())
    }

    /// Goes on with a fresh session where this one is large: two that have all the memory they may are not open at a
    /// time. Which they are is foretold and not measured, so that it is the same on every machine.
    fn make_room(&mut self) -> Result<(), HandshakeError> {
        if self.grown { self.renew() } else { Ok(()) }
    }

    /// Runs a case on the session that is open.
    ///
    /// # Errors
    /// [`HandshakeError`] where the host opens no session for comparison.
    pub fn run(&mut self, case: &Case<R>, depth: Depth) -> Result<CaseRecord, HandshakeError> {
        let case = &*self.resolve(case)?;
        let mut record = self.steps(case.dispatches(), case.steps.iter().map(Cow::Borrowed));
        if depth != Depth::Light {
            self.look_closer(case, &mut record)?;
        }
        if depth == Depth::Soak && self.peaks.is_some() {
            let host = self.host;
            record.soak = soak::soak(host, case, &record, &mut |function| self.beat(function))?;
        }
        Ok(self.complete(record))
    }

    /// Runs a case that is of no more use on the session that is open, as [`Depth::Light`]: it need not be copied.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub fn run_light(&mut self, mut case: Case<R>) -> Result<CaseRecord, HandshakeError> {
        if let Cow::Owned(resolved) = self.resolve(&case)? {
            case = resolved;
        }
        let dispatches = case.dispatches();
        let record = self.steps(dispatches, case.steps.into_iter().map(Cow::Owned));
        Ok(self.complete(record))
    }

    /// The record of a case that has run.
    fn complete(&mut self, mut record: CaseRecord) -> CaseRecord {
        self.clock.tell(&mut record);
        record.memory = self.memory(&record);
        record
    }

    /// What the case that just ran took, where memory is measured.
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

    /// What is done beside the steps of a thorough case.
    fn look_closer(
        &mut self,
        case: &Case<R>,
        record: &mut CaseRecord,
    ) -> Result<(), HandshakeError> {
        for place in 0..self.healthy.len() {
            record.probes.push(self.probe(place, record.steps.len()));
        }
        self.make_room()?;
        let fresh = self.on_fresh_session(case, record)?;
        record.fresh.push(fresh);
        let differs = |(step, fresh): (&StepRecord, &Reaction)| step.reaction != *fresh;
        if record.steps.iter().zip(&record.fresh[0]).any(differs) {
            let again = self.on_fresh_session(case, record)?;
            record.fresh.push(again);
        }
        #[cfg(feature = "reference")]
        if let Some(reference) = self.reference.take() {
            let told = on_reference(&reference, case, record, &mut |f| self.beat(f));
            self.reference = Some(reference);
            record.reference = told?;
        }
        Ok(())
    }

    /// Runs a case alone on a fresh session.
    ///
    /// # Errors
    /// [`HandshakeError`] where the host opens no session.
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
            for seen in record.steps.iter().rev().take(APART_MAX) {
                self.beat(seen.function);
                let request = case.steps[seen.place].told();
                let seen = react(request, &mut self.host.open()?);
                self.clock.note(&seen);
                record.apart.push(seen.reaction);
            }
            self.clock.tell(&mut record);
        }
        Ok(record)
    }

    /// The same, of some times that in which the clock ended the fewest calls: on a busy machine it may end any.
    ///
    /// # Errors
    /// As [`Runner::run_alone`].
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

    /// The case with programs that know how much to burn.
    fn resolve<'c>(&mut self, case: &'c Case<R>) -> Result<Cow<'c, Case<R>>, HandshakeError> {
        let mut case = Cow::Borrowed(case);
        for place in 0..case.steps.len() {
            let step = &case.steps[place];
            let Some(program) = step.program.as_ref().filter(|p| p.burns_to()) else {
                continue;
            };
            self.make_room()?;
            self.beat(step.request.function());
            let mut trial = react(step.told(), &mut self.host.open()?);
            // On a busy machine the clock may end it before it has used what it uses.
            for _ in 1..TRIALS {
                if trial.call.cause != Some(Cause::Timeout) {
                    break;
                }
                trial = react(step.told(), &mut self.host.open()?);
            }
            let burning = program.burning(trial.call.fuel);
            case.to_mut().steps[place].program = Some(burning);
        }
        Ok(case)
    }

    /// Dispatches the step at this place; `None` where its input is larger than [`INPUT_MAX_BYTES`]: Extism
    /// zeroes what a call allocated at the expense of the next one's fuel, so that call would fail. `many` says whether
    /// the case has [`MANY_STEPS`](super::MANY_STEPS).
    fn step(&mut self, place: usize, step: Cow<'_, Step<R>>, many: bool) -> Option<StepRecord> {
        let (request, program) = Step::told_with(step);
        let program = program.as_deref();
        let function = request.function();
        self.beat(function);
        let healthy = self.healthy.iter().find(|h| h.function == function);
        let is_told = H::Session::TELLS_INPUT && program.is_none();
        let expected_input = match healthy {
            Some(healthy) if !is_told => guest_input(program, &request, healthy.version),
            _ => None,
        };
        let expected = expected_input.as_ref();
        if expected.is_some_and(|input| input.len() > INPUT_MAX_BYTES) {
            return None;
        }
        let knocking = program.is_some_and(|program| program.0.contains(&Op::Knock));
        let mark = self.watch.as_ref().map(Watch::mark);
        let (seen, knocks) = if knocking {
            let (seen, knocks) = self.ear.listen(|| react(request, &mut self.session));
            (seen, Some(knocks))
        } else {
            (react(request, &mut self.session), None)
        };
        let watched = self.watch.as_ref().zip(mark);
        let busy = watched.map_or(Duration::ZERO, |(watch, mark)| watch.since(&mark));
        self.clock.note(&seen);
        if matches!(seen.call.cause, Some(Cause::RequestTooLarge(_))) {
            return None;
        }
        // Only drift is looked for with it.
        let guest_memory = match (self.subject, many) {
            (Subject::Plugin, true) => self.session.guest_memory(),
            _ => None,
        };
        let mut record = StepRecord {
            place,
            function,
            version: healthy.map(|healthy| healthy.version),
            expected_input: expected_input.map(Arc::from),
            reaction: seen.reaction,
            call: seen.call,
            elapsed: seen.elapsed,
            busy,
            knocks,
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

    fn beat(&mut self, function: &'static Function) {
        if let Some(beat) = &mut self.beat {
            beat(function);
        }
    }

    /// Makes the healthy call of a negotiated function.
    fn probe(&mut self, negotiated: usize, after: usize) -> ProbeRecord {
        self.beat(self.healthy[negotiated].function);
        let healthy = &self.healthy[negotiated];
        let mark = self.watch.as_ref().map(Watch::mark);
        let seen = react(healthy.step.told(), &mut self.session);
        let watched = self.watch.as_ref().zip(mark);
        let busy = watched.map_or(Duration::ZERO, |(watch, mark)| watch.since(&mark));
        self.clock.note(&seen);
        self.carried = 0;
        ProbeRecord {
            function: healthy.function,
            after,
            reaction: seen.reaction,
            call: seen.call,
            fresh: healthy.reaction.clone(),
            elapsed: seen.elapsed,
            busy,
        }
    }

    /// The steps of a record once more, on a session of their own.
    fn on_fresh_session(
        &mut self,
        case: &Case<R>,
        record: &CaseRecord,
    ) -> Result<Vec<Reaction>, HandshakeError> {
        let mut session = self.host.open()?;
        let mut reactions = Vec::with_capacity(record.steps.len());
        for seen in &record.steps {
            self.beat(seen.function);
            let mut now = react(case.steps[seen.place].told(), &mut session);
            self.clock.note(&now);
            now.reaction.share(&seen.reaction);
            reactions.push(now.reaction);
        }
        Ok(reactions)
    }
}
