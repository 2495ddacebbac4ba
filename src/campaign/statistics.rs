//! Statistics of a campaign.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use crate::generate::Phase;
use crate::wire::Function;

/// The summary of a campaign.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The number of cases that ran.
    pub cases: u64,
    /// The first case to run: 0, except in a resumed campaign.
    pub from: u64,
    /// The first case of the plan that has not run.
    pub done: u64,
    /// The case at which to resume: at most `done`, and not after a violation that was not
    /// examined.
    pub resume_at: u64,
    /// The time since the start.
    pub elapsed: Duration,
    /// The statistics of each function of the campaign, in the order of the vocabulary.
    pub functions: Vec<FunctionStats>,
    /// The duration of the longest dispatch.
    pub slowest: Duration,
    /// The peak resident memory of a worker in bytes; `None` if it was not measured.
    pub memory: Option<u64>,
    /// The number of findings, without violations that were not examined.
    pub findings: usize,
    /// The number of the plugin's limits that were found: what it cannot do and no host requires.
    /// See [`PluginLimit`](crate::check::PluginLimit).
    pub limits: usize,
    /// The number of measured violations that did not reproduce, and so are not findings.
    pub unconfirmed: u64,
    /// The number of violations that were not examined for lack of time.
    pub unexamined: u64,
    /// The number of these that are certain: no timing or other measurement was involved, or a
    /// timeout was seen in several sessions, or a worker died.
    pub unexamined_certain: u64,
    /// Whether the campaign ended early: by a request or an error.
    pub interrupted: bool,
    /// The current or last phase.
    pub phase: Option<Phase>,
}

impl Summary {
    /// Returns the number of dispatches of the cases' steps.
    pub fn dispatches(&self) -> u64 {
        let functions = self.functions.iter();
        functions.map(|stats| stats.counts.dispatches).sum()
    }
}

/// The statistics of one function.
#[derive(Clone, Debug)]
pub struct FunctionStats {
    /// The function.
    pub function: &'static Function,
    /// The counts of its dispatches.
    pub counts: Counts,
}

/// Counts of dispatches by their outcomes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The number of dispatches.
    pub dispatches: u64,
    /// The number of `Ok` outcomes.
    pub ok: u64,
    /// The number of fallbacks by the kind of cause; `unknown` if the host does not report it.
    pub fallbacks: BTreeMap<String, u64>,
    /// The total time of the dispatches.
    pub time: Duration,
    /// The fuel of each dispatch that called the guest, if the host reports it.
    pub fuel: Histogram,
    /// The time of each dispatch, in microseconds.
    pub latency_us: Histogram,
}

impl Counts {
    /// Adds the counts of others.
    pub fn add(&mut self, other: &Self) {
        self.dispatches += other.dispatches;
        self.ok += other.ok;
        self.time += other.time;
        self.fuel.add(&other.fuel);
        self.latency_us.add(&other.latency_us);
        for (kind, count) in &other.fallbacks {
            *self.fallbacks.entry(kind.clone()).or_default() += count;
        }
    }
}
