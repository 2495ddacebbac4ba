//! The campaign: how long, how wide, and what becomes of what it finds.
//!
//! A campaign draws cases from a seed, runs them through one reused session, and judges every record. A
//! violation is confirmed on a fresh session, shrunk, and told as a [`Finding`]. The campaign prints
//! nothing: it emits [`Event`]s.
//!
//! A discrepancy here is a campaign that misses what its checks would show, or tells what they do not.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

use crate::case::Menu;
use crate::finding::Finding;
use crate::host::HandshakeError;
use crate::wire::Function;

mod confirm;
mod engine;
mod fuzz_target;
mod generate;

pub use confirm::{confirm, judge_alone};
pub use engine::run;
pub use fuzz_target::{FuzzTarget, Verdict, mutate};
pub use generate::nth_case;

/// How many cases share a session. The history of a finding that a case does not show alone is no longer.
pub const CASES_PER_SESSION: u64 = 64;

/// One in so many cases is run thoroughly: see [`Depth`](crate::observation::Depth).
pub const THOROUGH_ONE_IN: u64 = 16;

/// What a campaign is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides all cases.
    pub seed: u64,
    /// When to stop.
    pub budget: Budget,
    /// What cases are made of.
    pub menu: Menu,
}

/// When a campaign stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// After this many cases.
    Cases(u64),
    /// After this time, at the end of the case that is running.
    Time(Duration),
}

/// What happens during a campaign.
#[derive(Debug)]
pub enum Event<'a, R> {
    /// A session's cases have run.
    Progress(&'a Summary),
    /// Something was found, confirmed and shrunk. Told once for each key.
    Finding(&'a Finding<R>),
}

/// What a campaign came to.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The cases that ran.
    pub cases: u64,
    /// From the start to now.
    pub elapsed: Duration,
    /// One for each function of the campaign, in the order of the vocabulary.
    pub functions: Vec<FunctionStats>,
    /// The longest dispatch.
    pub slowest: Duration,
    /// The findings told.
    pub findings: usize,
    /// Violations that the clock had a say in and that did not show again, and so are no findings.
    pub unconfirmed: u64,
}

impl Summary {
    /// All dispatches of cases' steps.
    pub fn dispatches(&self) -> u64 {
        self.functions.iter().map(|stats| stats.dispatches).sum()
    }
}

/// What the dispatches of one function came to.
#[derive(Clone, Debug)]
pub struct FunctionStats {
    /// The function.
    pub function: &'static Function,
    /// How often it was called.
    pub dispatches: u64,
    /// How often the outcome was `Ok`.
    pub ok: u64,
    /// How often it was a fallback, by the kind of cause; `unknown` where the host does not tell it.
    pub fallbacks: BTreeMap<&'static str, u64>,
    /// The time in these dispatches.
    pub time: Duration,
}

/// Why a campaign could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// The host opens no session.
    #[error("cannot open a session: {0}")]
    Open(#[from] HandshakeError),
    /// None of the functions that were asked for is one that the plugin negotiated.
    #[error("the plugin negotiated none of the functions asked for; it has: {}", negotiated.join(", "))]
    NoFunctions {
        /// What the plugin negotiated.
        negotiated: Vec<&'static str>,
    },
}
