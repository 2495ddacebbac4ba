//! The record of a case: what was observed when a host ran it.
//!
//! A [`Runner`](crate::execute::Runner) runs cases on a host and returns [`CaseRecord`]s; it judges
//! nothing. The checks in [`check`](crate::check) read records and never use a host.
//!
//! Bugs in this module look like a record that does not state what happened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::host::{Call, Cause, DispatchOutcome, Frame};
use crate::puppet::Prediction;
use crate::untrusted_text::{excerpt, one_line};
use crate::wire::Function;

mod features;

pub use features::features;

/// The outcome of a dispatch, with its response as JSON.
pub type Outcome = DispatchOutcome<Value>;

/// What was observed when a case ran.
#[derive(Clone, Debug)]
pub struct CaseRecord {
    /// The subject that answered.
    pub subject: Subject,
    /// The results of a plugin's healthy calls when it was opened, in which it may return states;
    /// empty for the puppet.
    pub healthy: Arc<[StepResult]>,
    /// The dispatches of the steps, in order.
    pub steps: Vec<StepRecord>,
    /// The healthy calls between and after the steps.
    pub probes: Vec<ProbeRecord>,
    /// The results of the steps on fresh sessions, for thorough cases: one run, and a second one if
    /// the first differs from `steps`.
    pub fresh_session: Vec<Vec<StepResult>>,
    /// The results of the last steps, each on a fresh session of its own, from the last one back;
    /// only for a thorough case that ran alone.
    pub isolated: Vec<StepResult>,
    /// A healthy call of each function on fresh sessions after everything else, which shows whether
    /// other sessions changed since the host was opened; only for a thorough case that ran alone,
    /// and in which a healthy call had another result than on a fresh session.
    pub on_other_sessions: Vec<ProbeRecord>,
    /// The longest of all these dispatches.
    pub slowest: Duration,
    /// Whether any of them timed out.
    pub ended_by_clock: bool,
    /// The outcomes of the steps on a fresh session of the published host, for thorough cases that
    /// can be compared; `None` for a step that took as long as the wall-clock limit or panicked.
    pub reference: Vec<Option<Outcome>>,
    /// The memory of the process, if it was measured.
    pub memory: Option<Memory>,
    /// The result of running the case repeatedly, if requested.
    pub leak_check: Option<LeakCheck>,
    /// The death of the process that ran the case. The other fields are then empty.
    pub death: Option<Death>,
}

/// The resident memory of a process that only runs cases, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The peak before the first case.
    pub baseline: u64,
    /// The peak before this case.
    pub before: u64,
    /// The peak after this case.
    pub peak: u64,
    /// The most memory that the answers of this case, or of one before it, took: as JSON trees in
    /// the record and while they were parsed. It is not the plugin's, and the process keeps freed
    /// memory for a while.
    pub answers: u64,
}

/// The death of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// The label of the function that was called; `None` if the plugin or a session was being
    /// opened.
    pub function: Option<String>,
    /// The kind of death, such as the name of a signal.
    pub manner: String,
    /// The end of its stderr; empty if it wrote nothing.
    pub stderr_tail: String,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the process died of {} ", one_line(&self.manner))?;
        match &self.function {
            Some(function) => write!(f, "in a call of {function}")?,
            None => f.write_str("while a session was opened")?,
        }
        match &self.stderr_tail[..] {
            "" => Ok(()),
            stderr_tail => write!(f, ": {}", one_line(stderr_tail)),
        }
    }
}

impl CaseRecord {
    /// Returns an empty record.
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            healthy: Arc::default(),
            steps: Vec::new(),
            probes: Vec::new(),
            fresh_session: Vec::new(),
            isolated: Vec::new(),
            on_other_sessions: Vec::new(),
            slowest: Duration::ZERO,
            ended_by_clock: false,
            reference: Vec::new(),
            memory: None,
            leak_check: None,
            death: None,
        }
    }

    /// Returns the steps with their indices in the record, without those that are identical to the
    /// one before. If a thousand are answered with the same MiB, one is enough, and reading all of
    /// them takes longer than a worker may be silent.
    pub(crate) fn distinct_steps(&self) -> impl Iterator<Item = (usize, &StepRecord)> {
        let before = std::iter::once(None).chain(self.steps.iter().map(Some));
        let steps = self.steps.iter().zip(before).enumerate();
        steps.filter_map(|(index, (step, before))| {
            let is_new = before.is_none_or(|before| !step.repeats(before));
            is_new.then_some((index, step))
        })
    }

    /// Returns how many of the steps and of the healthy calls after them timed out.
    pub(crate) fn calls_ended_by_clock(&self) -> usize {
        let steps = self.steps.iter().map(|step| &step.call);
        let calls = steps.chain(self.probes.iter().map(|probe| &probe.call));
        let ended = calls.filter(|call| call.cause == Some(Cause::Timeout));
        ended.count()
    }

    /// Returns whether a dispatch took as long as the wall-clock limit, or timed out. Then the
    /// outcome depends on timing and may not reproduce: on a busy machine Extism's timer, which is
    /// a thread, may end a call that has just begun because an earlier one ran out of time.
    pub fn hit_time_limit(&self) -> bool {
        self.slowest >= Duration::from_millis(HANDSHAKE_WALL_MS) || self.ended_by_clock
    }
}

/// The result of a dispatch.
#[derive(Clone, Debug, PartialEq)]
pub enum StepResult {
    /// It returned. Equal outcomes in a row share one allocation.
    Outcome(Arc<Outcome>),
    /// It panicked, with this message.
    Panic(String),
}

impl StepResult {
    /// Returns the outcome, or `None` after a panic.
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Outcome(outcome) => Some(outcome),
            Self::Panic(_) => None,
        }
    }

    /// Shares the allocation of `other` if both are equal. Returns whether they are.
    pub(super) fn share(&mut self, other: &Self) -> bool {
        let is_same = self == other;
        if is_same {
            self.clone_from(other);
        }
        is_same
    }
}

/// Formats the result for people: `Ok` and the response as JSON, `Fallback` and the policy, or the
/// panic.
impl fmt::Display for StepResult {
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

/// What was observed of one dispatch of a step.
#[derive(Clone, Debug)]
pub struct StepRecord {
    /// The index of the step in its case. Steps with too large an input leave no record.
    pub step_index: usize,
    /// The function that was called.
    pub function: &'static Function,
    /// The version that the plugin negotiated.
    pub version: Option<u32>,
    /// The input that the guest must receive; `None` if the function was not negotiated or the
    /// request does not serialize.
    pub expected_input: Option<Arc<[u8]>>,
    /// The result of the dispatch.
    pub result: StepResult,
    /// What the host reported about the call.
    pub call: Call,
    /// The duration of the dispatch, by the runner's clock.
    pub elapsed: Duration,
    /// How long of that the machine was busy with other work, if the case ran alone.
    pub busy: Duration,
    /// The number of dispatches in the session so far, including healthy calls and this one.
    pub calls: u32,
    /// The number of log calls of the guest, if its program makes any and they can be counted.
    pub guest_calls: Option<u32>,
    /// The size of the guest's memory afterwards, in bytes, for a plugin's case of
    /// [`MANY_STEPS`](crate::case::MANY_STEPS); `None` if the host cannot report it.
    pub guest_memory: Option<u64>,
    /// The predicted outcome, for the puppet.
    pub prediction: Option<Prediction>,
}

impl StepRecord {
    /// Shares the inputs, output and result of `before` where they are equal. Returns whether
    /// output and result are. For a host that reports no output, only the result counts.
    pub(super) fn share(&mut self, before: &Self) -> bool {
        share(&mut self.expected_input, &before.expected_input);
        let same_result = self.result.share(&before.result);
        share_call(&mut self.call, &before.call) && same_result
    }

    /// Returns whether the dispatch is identical to the one before, so that all checks of its
    /// answer would have the same verdict.
    fn repeats(&self, before: &Self) -> bool {
        let is_kept_once = |one: &Option<Arc<[u8]>>, other: &Option<Arc<[u8]>>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let same_result = match (&self.result, &before.result) {
            (StepResult::Outcome(one), StepResult::Outcome(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        // A prediction depends on the call before.
        same_result
            && self.prediction.is_none()
            && self.step_index == before.step_index
            && self.call.cause == before.call.cause
            && self.call.frames == before.call.frames
            && self.hit_time_limit() == before.hit_time_limit()
            && is_kept_once(&self.expected_input, &before.expected_input)
            && is_kept_once(&self.call.input, &before.call.input)
            && is_kept_once(&self.call.output, &before.call.output)
    }

    /// Returns the input that the guest received, if the host reports it, or else the one that it
    /// must receive; `None` if the request does not serialize or the function was not negotiated.
    pub fn input(&self) -> Option<&[u8]> {
        let input = self.call.input.as_ref();
        input.or(self.expected_input.as_ref()).map(AsRef::as_ref)
    }

    /// Returns whether the dispatch fell back because of the time limit, which may happen to any
    /// call.
    pub fn hit_time_limit(&self) -> bool {
        fell_back_for_time_limit(&self.result, &self.call, self.elapsed)
    }
}

/// Returns whether a dispatch fell back after the whole wall-clock limit, or timed out at any time:
/// on a busy machine Extism's timer, which is a thread, may notice that one call is over only when
/// its time is up, and then ends the call that runs by then.
fn fell_back_for_time_limit(result: &StepResult, call: &Call, elapsed: Duration) -> bool {
    let fell_back = matches!(result.outcome(), Some(DispatchOutcome::Fallback(_)));
    let by_the_clock = call.cause == Some(Cause::Timeout);
    // Start code has a time limit of its own.
    let time = elapsed.saturating_sub(call.renewal);
    fell_back && (by_the_clock || time >= Duration::from_millis(HANDSHAKE_WALL_MS))
}

/// The summary of a dispatch, for people and for messages between processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSummary {
    /// The index of the step in its case.
    pub step_index: usize,
    /// The result of the dispatch, cut if it is long.
    pub outcome: String,
    /// The cause of the fallback, if the host reports it.
    pub cause: Option<String>,
    /// The functions on the stack when the guest trapped, innermost first, if the host reports
    /// them.
    pub frames: Vec<String>,
    /// The fuel that the call used, if the host reports it.
    pub fuel: Option<u64>,
    /// The duration of the dispatch.
    pub elapsed: Duration,
    /// The size of the guest's input in bytes, if the guest was called and the host reports it.
    pub input_bytes: Option<usize>,
    /// The size of the guest's output in bytes, if the host reports it.
    pub output_bytes: Option<usize>,
}

impl From<&StepRecord> for StepSummary {
    fn from(step: &StepRecord) -> Self {
        Self {
            step_index: step.step_index,
            outcome: excerpt(&step.result.to_string()),
            cause: step.call.cause.as_ref().map(one_line),
            frames: step.call.frames.iter().map(Frame::short_name).collect(),
            fuel: step.call.fuel,
            elapsed: step.elapsed,
            input_bytes: step.call.input.as_ref().map(|input| input.len()),
            output_bytes: step.call.output.as_ref().map(|output| output.len()),
        }
    }
}

/// What was observed of a healthy call, which is the dry-run request without a program.
#[derive(Clone, Debug)]
pub struct ProbeRecord {
    /// The function that was called.
    pub function: &'static Function,
    /// The number of dispatched steps before the call.
    pub after: usize,
    /// The input that the guest must receive; `None` if the request does not serialize.
    pub expected_input: Option<Arc<[u8]>>,
    /// The result in this session.
    pub result: StepResult,
    /// What the host reported about the call.
    pub call: Call,
    /// The result in a fresh session.
    pub fresh_session: StepResult,
    /// The number of log calls of the puppet, if they can be counted. A healthy call makes none.
    pub guest_calls: Option<u32>,
    /// The duration of the call.
    pub elapsed: Duration,
    /// How long of that the machine was busy with other work, if that was watched.
    pub busy: Duration,
}

impl ProbeRecord {
    /// Shares parts like [`StepRecord::share`].
    pub(crate) fn share(&mut self, before: &Self) -> bool {
        let same_result = self.result.share(&before.result);
        share_call(&mut self.call, &before.call) && same_result
    }

    /// Returns whether the call fell back because of the time limit, which may happen to any call.
    pub fn hit_time_limit(&self) -> bool {
        fell_back_for_time_limit(&self.result, &self.call, self.elapsed)
    }
}

/// Shares the input and output of `before` where they are equal. Returns whether the outputs are.
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

/// The subject of a campaign, which answers the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// The puppet. Its outcomes are predicted, and it keeps no state.
    Puppet,
    /// Any other plugin, which may keep state on purpose.
    Plugin,
}

/// The result of running a case repeatedly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakCheck {
    /// The number of runs in each round.
    pub repeats: u32,
    /// The growth of the resident memory in each round but the first, in bytes. It is measured
    /// while no session is open.
    pub growth: Vec<u64>,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::wire::{Request, Vocabulary as _};

    fn answered(text: &str) -> ProbeRecord {
        let result = StepResult::Outcome(Arc::new(DispatchOutcome::Ok(Value::from(text))));
        ProbeRecord {
            function: &Request::functions()[0],
            after: 0,
            fresh_session: result.clone(),
            result,
            call: Call::default(),
            expected_input: None,
            guest_calls: None,
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
