//! The observation: what was seen when a host ran a case.
//!
//! A [`Runner`] runs cases on a host and writes down [`CaseRecord`]s; it judges nothing. The checks in
//! [`oracle`](crate::oracle) read records and never touch a host. A discrepancy here is a record that
//! does not say what happened.

use std::time::Duration;

use cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS;
use serde_json::Value;

use crate::host::{Call, DispatchOutcome};
use crate::puppet::Prediction;
use crate::wire::Function;

mod knocks;
mod runner;

pub use runner::{Depth, Runner, Subject, dispatch};

/// The outcome of a dispatch, its response as JSON.
pub type Outcome = DispatchOutcome<Value>;

/// What was seen when a case ran.
#[derive(Clone, Debug)]
pub struct CaseRecord {
    /// Who answered.
    pub subject: Subject,
    /// Each step, in order.
    pub steps: Vec<StepRecord>,
    /// Healthy calls that were made in between and behind.
    pub probes: Vec<ProbeRecord>,
    /// The outcomes of the steps on fresh sessions, where that was asked for: once, and once more where
    /// they differed from those of `steps`.
    pub fresh: Vec<Vec<Reaction>>,
    /// The longest of all these dispatches.
    pub slowest: Duration,
}

impl CaseRecord {
    /// Whether a dispatch took as long as the wall-clock limit. Then the clock had a say in what happened,
    /// and it may not happen again.
    pub fn met_the_wall(&self) -> bool {
        self.slowest >= Duration::from_millis(HANDSHAKE_WALL_MS)
    }
}

/// What one dispatch came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reaction {
    /// It returned.
    Outcome(Outcome),
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
}

/// What was seen of one step.
#[derive(Clone, Debug)]
pub struct StepRecord {
    /// The place of the step in its case. Steps that are too large leave no record.
    pub place: usize,
    /// The function that was called.
    pub function: &'static Function,
    /// The version of it that the plugin negotiated.
    pub version: Option<u32>,
    /// The input that the guest must get; `None` where the request does not serialize or was not
    /// negotiated.
    pub input: Option<Vec<u8>>,
    /// What the dispatch came to.
    pub reaction: Reaction,
    /// What the host told of it.
    pub call: Call,
    /// How long the dispatch took, by the runner's own clock.
    pub elapsed: Duration,
    /// How often the guest knocked, where its program does.
    pub knocks: Option<u32>,
    /// What a call of the puppet must come to.
    pub prediction: Option<Prediction>,
}

impl StepRecord {
    /// Whether the dispatch fell back after the whole of the wall-clock limit, which any call may.
    pub fn met_the_wall(&self) -> bool {
        let fell_back = matches!(self.reaction.outcome(), Some(DispatchOutcome::Fallback(_)));
        fell_back && self.elapsed >= Duration::from_millis(HANDSHAKE_WALL_MS)
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
    /// What it comes to on a fresh session.
    pub fresh: Reaction,
}
