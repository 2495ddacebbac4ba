//! The numbers of a campaign.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use crate::generate::Phase;
use crate::wire::Function;

/// What a campaign came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The cases that ran.
    pub cases: u64,
    /// The first case that was to run: 0, but in a campaign that goes on with another.
    pub from: u64,
    /// The first case that has not run, of all those of the plan.
    pub done: u64,
    /// Where a campaign that goes on with this one begins: no later than `done`, and at no violation behind it that nobody
    /// has looked into.
    pub resume_at: u64,
    /// From the start to now.
    pub elapsed: Duration,
    /// One for each function of the campaign, in the order of the vocabulary.
    pub functions: Vec<FunctionStats>,
    /// The longest dispatch.
    pub slowest: Duration,
    /// The most memory that a worker had resident, in bytes; `None` where it was not measured.
    pub memory: Option<u64>,
    /// The findings told, without those that were not looked into.
    pub findings: usize,
    /// The limits of the plugin told: what it cannot do, and no host asks of it. See
    /// [`PluginLimit`](crate::check::PluginLimit).
    pub limits: usize,
    /// Violations of measurements that did not show again, and so are no findings.
    pub unconfirmed: u64,
    /// Violations that there was no time to look into.
    pub unexamined: u64,
    /// Those of them in which neither a clock nor another measurement had a say, or a clock in several sessions, or that are
    /// the death of a worker: something is wrong.
    pub unexamined_certain: u64,
    /// Whether it was ended early: from outside, or by an error.
    pub interrupted: bool,
    /// The phase that it is in, or was in last.
    pub phase: Option<Phase>,
}

impl Summary {
    /// All dispatches of cases' steps.
    pub fn dispatches(&self) -> u64 {
        let functions = self.functions.iter();
        functions.map(|stats| stats.counts.dispatches).sum()
    }
}

/// What the dispatches of one function came to.
#[derive(Clone, Debug)]
pub struct FunctionStats {
    /// The function.
    pub function: &'static Function,
    /// What they came to.
    pub counts: Counts,
}

/// What dispatches came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// How many there were.
    pub dispatches: u64,
    /// How often the outcome was `Ok`.
    pub ok: u64,
    /// How often it was a fallback, by the kind of cause; `unknown` where the host does not tell it.
    pub fallbacks: BTreeMap<String, u64>,
    /// The time in these dispatches.
    pub time: Duration,
    /// The fuel of each that called the guest, where the host tells it.
    pub fuel: Distribution,
    /// The time of each, in microseconds.
    pub latency_us: Distribution,
}

impl Counts {
    /// Adds further ones.
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
