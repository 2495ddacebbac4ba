//! The observation: what was seen when a host ran a case.
//!
//! A [`Runner`] runs cases on a host and writes down [`CaseRecord`]s; it judges nothing. The checks in
//! [`oracle`](crate::oracle) read records and never touch a host. A discrepancy here is a record that
//! does not say what happened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::host::{Call, Cause, DispatchOutcome, Frame};
use crate::line::{excerpt, one_line};
use crate::puppet::Prediction;
use crate::wire::Function;

mod busy;
mod coverage;
mod handouts;
mod knocks;
mod locate;
pub mod memory;
mod react;
mod runner;
mod soak;
#[cfg(feature = "reference")]
mod twin;

pub use coverage::features;
pub use react::dispatch;
pub use runner::{Depth, Runner, Subject};
pub use soak::Soak;

/// A case of so many steps shows whether calls do more and more.
pub const MANY_STEPS: usize = 64;

/// The outcome of a dispatch, its response as JSON.
pub type Outcome = DispatchOutcome<Value>;

/// What was seen when a case ran.
#[derive(Clone, Debug)]
pub struct CaseRecord {
    /// Who answered.
    pub subject: Subject,
    /// What a plugin's healthy calls came to when it was opened: it returns states there.
    pub healthy: Arc<[Reaction]>,
    /// Each step, in order.
    pub steps: Vec<StepRecord>,
    /// Healthy calls that were made in between and behind.
    pub probes: Vec<ProbeRecord>,
    /// The outcomes of the steps on fresh sessions, where that was asked for: once, and once more where
    /// they differed from those of `steps`.
    pub fresh: Vec<Vec<Reaction>>,
    /// What each of the last steps came to on a fresh session of its own, from the last one back, where the case
    /// was run by itself and looked at closer.
    pub apart: Vec<Reaction>,
    /// The longest of all these dispatches.
    pub slowest: Duration,
    /// Whether the clock ended any of them.
    pub ended_by_clock: bool,
    /// What each of the steps came to on a fresh session of the published host, where that was asked for and can be
    /// told.
    pub reference: Vec<Option<Outcome>>,
    /// The memory that it took, where that was measured.
    pub memory: Option<Memory>,
    /// What it came to when it ran again and again, where that was asked for.
    pub soak: Option<Soak>,
    /// How the process died in which it ran. Then there is nothing else.
    pub death: Option<Death>,
}

/// The memory of a process that runs cases and does nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The most that was resident before the first case, in bytes.
    pub baseline: u64,
    /// The most that was resident before this case, in bytes.
    pub before: u64,
    /// The most that was resident after it, in bytes.
    pub peak: u64,
    /// The most that the answers of this case, or of one before it, took in bytes: as trees in the record, and while they
    /// were read. That is nothing of the plugin's, and what is given back stays with the process for a while.
    pub answers: u64,
}

/// How a process died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// The label of the function that was called; `None` while the plugin or a case's session was opened.
    pub function: Option<String>,
    /// In a word, such as the name of a signal.
    pub manner: String,
    /// What it said last; empty if nothing.
    pub words: String,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the process died of {} ", one_line(&self.manner))?;
        match &self.function {
            Some(function) => write!(f, "in a call of {function}")?,
            None => f.write_str("while a session was opened")?,
        }
        match &self.words[..] {
            "" => Ok(()),
            words => write!(f, ": {}", one_line(words)),
        }
    }
}

impl CaseRecord {
    /// An empty record.
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            healthy: Arc::default(),
            steps: Vec::new(),
            probes: Vec::new(),
            fresh: Vec::new(),
            apart: Vec::new(),
            slowest: Duration::ZERO,
            ended_by_clock: false,
            reference: Vec::new(),
            memory: None,
            soak: None,
            death: None,
        }
    }

    /// The steps with their places, without those that repeat the one before to the byte. Of a thousand that are answered with
    /// the same MiB, the first tells as much, and reading all of them takes longer than a worker may be silent.
    pub(crate) fn distinct_steps(&self) -> impl Iterator<Item = (usize, &StepRecord)> {
        let before = std::iter::once(None).chain(self.steps.iter().map(Some));
        let steps = self.steps.iter().zip(before).enumerate();
        steps.filter_map(|(place, (step, before))| {
            let is_new = before.is_none_or(|before| !step.repeats(before));
            is_new.then_some((place, step))
        })
    }

    /// How many of the steps, and of the healthy calls behind them, the clock ended.
    pub(crate) fn calls_ended_by_clock(&self) -> usize {
        let steps = self.steps.iter().map(|step| &step.call);
        let calls = steps.chain(self.probes.iter().map(|probe| &probe.call));
        let ended = calls.filter(|call| call.cause == Some(Cause::Timeout));
        ended.count()
    }

    /// Whether a dispatch took as long as the wall-clock limit, or was ended by the clock. Then the clock had a say in what
    /// happened, and it may not happen again: on a busy machine Extism's timer, which is a thread, may end a call that has
    /// just begun for the time of one before it.
    pub fn met_the_wall(&self) -> bool {
        self.slowest >= Duration::from_millis(HANDSHAKE_WALL_MS) || self.ended_by_clock
    }
}

/// What one dispatch came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reaction {
    /// It returned. Where many calls come to the same, it is kept once.
    Outcome(Arc<Outcome>),
    /// It unwound, with this text.
    Panic(String),
}

impl Reaction {
    /// The outcome, where there is one.
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Outcome(outcome) => Some(outcome),
            Self::Panic(_) => None,
        }
    }

    /// It is kept once where it is the same as another; whether it is.
    fn share(&mut self, other: &Self) -> bool {
        let is_same = self == other;
        if is_same {
            self.clone_from(other);
        }
        is_same
    }
}

/// For people: `Ok` and the response as JSON, `Fallback` and the policy, or the panic.
impl fmt::Display for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outcome(outcome) => match &**outcome {
                DispatchOutcome::Ok(response) => write!(f, "Ok {response}"),
                DispatchOutcome::Fallback(policy) => write!(f, "Fallback({policy:?})"),
            },
            Self::Panic(text) => write!(f, "panic: {text}"),
        }
    }
}

/// What was seen of one dispatch of a step.
#[derive(Clone, Debug)]
pub struct StepRecord {
    /// The place of the step in its case. Steps that are too large leave no record.
    pub place: usize,
    /// The function that was called.
    pub function: &'static Function,
    /// The version of it that the plugin negotiated.
    pub version: Option<u32>,
    /// The input that the guest must get, where the runner made it: where the puppet is told something, and where the
    /// host does not tell what it sends.
    pub expected_input: Option<Arc<[u8]>>,
    /// What the dispatch came to.
    pub reaction: Reaction,
    /// What the host told of it.
    pub call: Call,
    /// How long the dispatch took, by the runner's own clock.
    pub elapsed: Duration,
    /// For how long of that the machine was busy with other things, where the case ran alone to look closer.
    pub busy: Duration,
    /// How often the guest knocked, where its program does.
    pub knocks: Option<u32>,
    /// How large the guest's memory was after it, in bytes, in a case of [`MANY_STEPS`] on somebody's plugin; `None`
    /// where the host cannot tell.
    pub guest_memory: Option<u64>,
    /// What a call of the puppet must come to.
    pub prediction: Option<Prediction>,
}

impl StepRecord {
    /// What it was told, answered and came to is kept once where it is the same as before; whether that holds of what it
    /// answered and came to. Of a host that tells no answers only the latter says anything.
    fn share(&mut self, before: &Self) -> bool {
        share(&mut self.expected_input, &before.expected_input);
        let same_reaction = self.reaction.share(&before.reaction);
        share_call(&mut self.call, &before.call) && same_reaction
    }

    /// Whether it repeats the one before to the byte: what there is to say of its answer has been said of that.
    fn repeats(&self, before: &Self) -> bool {
        let is_kept_once = |one: &Option<Arc<[u8]>>, other: &Option<Arc<[u8]>>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let same_reaction = match (&self.reaction, &before.reaction) {
            (Reaction::Outcome(one), Reaction::Outcome(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        // What the puppet must come to depends on the call before.
        same_reaction
            && self.prediction.is_none()
            && self.place == before.place
            && self.call.cause == before.call.cause
            && self.call.frames == before.call.frames
            && self.met_the_wall() == before.met_the_wall()
            && is_kept_once(&self.expected_input, &before.expected_input)
            && is_kept_once(&self.call.input, &before.call.input)
            && is_kept_once(&self.call.output, &before.call.output)
    }

    /// The input that the guest must get, or did; `None` where the request does not serialize or was not negotiated.
    pub fn input(&self) -> Option<&[u8]> {
        let input = self.expected_input.as_ref();
        input.or(self.call.input.as_ref()).map(AsRef::as_ref)
    }

    /// Whether the dispatch fell back for the clock, which any call may.
    pub fn met_the_wall(&self) -> bool {
        fell_back_for_the_clock(&self.reaction, &self.call, self.elapsed)
    }
}

/// Whether a dispatch fell back after the whole of the wall-clock limit, or was ended by the clock, whenever that was: on a
/// busy machine Extism's timer, which is a thread, may notice that one call is over only when the time of that call is, too,
/// and ends the one that runs then.
fn fell_back_for_the_clock(reaction: &Reaction, call: &Call, elapsed: Duration) -> bool {
    let fell_back = matches!(reaction.outcome(), Some(DispatchOutcome::Fallback(_)));
    let by_the_clock = call.cause == Some(Cause::Timeout);
    // Start code has a time of its own.
    let time = elapsed.saturating_sub(call.renewal);
    fell_back && (by_the_clock || time >= Duration::from_millis(HANDSHAKE_WALL_MS))
}

/// What is told of a step: a record that people read, and that passes from process to process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSeen {
    /// The place of the step in its case.
    pub place: usize,
    /// What the dispatch came to, of which the beginning where it is long.
    pub came_to: String,
    /// Why it fell back, where the host tells it.
    pub cause: Option<String>,
    /// The functions that were running when the guest trapped, the innermost first, where the host tells them.
    pub frames: Vec<String>,
    /// The fuel that the call used, where the host tells it.
    pub fuel: Option<u64>,
    /// How long the dispatch took.
    pub elapsed: Duration,
    /// The size in bytes of the guest's input, where the guest was called and the host tells it.
    pub input_bytes: Option<usize>,
    /// The size in bytes of the guest's output, where the host tells it.
    pub output_bytes: Option<usize>,
}

impl From<&StepRecord> for StepSeen {
    fn from(step: &StepRecord) -> Self {
        Self {
            place: step.place,
            came_to: excerpt(&step.reaction.to_string()),
            cause: step.call.cause.as_ref().map(one_line),
            frames: step.call.frames.iter().map(Frame::short_name).collect(),
            fuel: step.call.fuel,
            elapsed: step.elapsed,
            input_bytes: step.call.input.as_ref().map(|input| input.len()),
            output_bytes: step.call.output.as_ref().map(|output| output.len()),
        }
    }
}

/// What was seen of a healthy call: the dry-run request without a program.
#[derive(Clone, Debug)]
pub struct ProbeRecord {
    /// The function that was called.
    pub function: &'static Function,
    /// How many of the case's steps had been dispatched.
    pub after: usize,
    /// What it came to on this session.
    pub reaction: Reaction,
    /// What the host told of it.
    pub call: Call,
    /// What it comes to on a fresh session.
    pub fresh: Reaction,
    /// How long it took.
    pub elapsed: Duration,
    /// How long of that something else held the machine, where that was watched.
    pub busy: Duration,
}

impl ProbeRecord {
    /// As [`StepRecord::share`].
    fn share(&mut self, before: &Self) -> bool {
        let same_reaction = self.reaction.share(&before.reaction);
        share_call(&mut self.call, &before.call) && same_reaction
    }

    /// Whether it fell back for the clock, which any call may.
    pub fn met_the_wall(&self) -> bool {
        fell_back_for_the_clock(&self.reaction, &self.call, self.elapsed)
    }
}

/// Whether the output is kept once.
fn share_call(call: &mut Call, before: &Call) -> bool {
    share(&mut call.input, &before.input);
    share(&mut call.output, &before.output)
}

fn share(one: &mut Option<Arc<[u8]>>, other: &Option<Arc<[u8]>>) -> bool {
    let is_same = one == other;
    if is_same {
        one.clone_from(other);
    }
    is_same
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::wire::{Request, Vocabulary as _};

    fn answered(text: &str) -> ProbeRecord {
        let reaction = Reaction::Outcome(Arc::new(DispatchOutcome::Ok(Value::from(text))));
        ProbeRecord {
            function: &Request::functions()[0],
            after: 0,
            fresh: reaction.clone(),
            reaction,
            call: Call::default(),
            elapsed: Duration::ZERO,
            busy: Duration::ZERO,
        }
    }

    #[test]
    fn of_a_host_that_tells_no_answer_what_differs_is_not_kept_once() {
        let before = answered("one");
        assert!(answered("one").share(&before));
        assert!(!answered("other").share(&before));
        let mut told = answered("other");
        told.call.output = Some(b"other".as_slice().into());
        assert!(!told.share(&before));
    }
}
