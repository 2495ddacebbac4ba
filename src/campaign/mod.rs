//! The campaign: how long, how wide, and what becomes of what it finds.
//!
//! A campaign draws cases from a seed, runs them through one reused session, and judges every record. A
//! violation is confirmed on a fresh session, shrunk, and told as a [`Finding`]. The campaign prints
//! nothing: it emits [`Event`]s.
//!
//! A discrepancy here is a campaign that misses what its checks would show, or tells what they do not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::case::Menu;
use crate::finding::Finding;
use crate::host::HandshakeError;
use crate::observation::Death;
use crate::wire::{Function, Vocabulary};

mod block;
mod boundaries;
mod cases;
mod confirm;
mod corpus;
mod distribution;
mod engine;
mod fuzz_target;
mod growth;
mod history;
mod interrupt;
mod items;
mod lab;
mod ledger;
mod limits;
mod sessions;
mod values;
#[cfg(unix)]
mod workers;

pub use block::{Block, Stopped};
pub use cases::{Cases, Phase};
pub use confirm::{Confirmed, Known, Suspect, confirm, confirm_all};
pub use corpus::{Entry, reached, redundant};
pub use distribution::Distribution;
pub use engine::{findings, run, run_bench};
pub use fuzz_target::{FuzzTarget, Verdict, mutate};
pub use interrupt::Interrupt;
pub use lab::{Bench, Lab};
pub use limits::{Limit, Point, limits};
#[cfg(unix)]
pub use workers::{
    Child, HostKind, OPENING_TIME_MAX, Patience, Setup, WORKER_MEMORY_MAX, Worker, Workers, serve,
};

/// How many cases share a session; some sessions of a plugin live through more: see [`Plan::session_of`].
pub const CASES_PER_SESSION: u64 = 64;

/// One in so many cases is run thoroughly: see [`Depth`](crate::observation::Depth).
pub const THOROUGH_ONE_IN: u64 = 16;

/// One in so many cases is run again and again, where memory is measured: see
/// [`Soak`](crate::observation::Soak).
pub const SOAK_ONE_IN: u64 = 4096;

/// What a campaign is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Decides all cases.
    pub seed: u64,
    /// When to stop.
    pub budget: Budget,
    /// What cases are made of.
    pub menu: Menu,
    /// What is tried; their order is that of [`Phase::ALL`].
    pub phases: Vec<Phase>,
}

impl Plan {
    /// So many cases for the puppet, of all functions, with scripted and wild programs.
    pub fn puppet<R: Vocabulary>(seed: u64, cases: u64) -> Self {
        Self {
            seed,
            budget: Budget::Cases(cases),
            menu: Menu::puppet::<R>(),
            // What its requests are matters little beside what they tell it to do.
            phases: vec![Phase::Seeds, Phase::Random],
        }
    }

    /// So many cases for any other plugin, of all functions that it has.
    pub fn plugin<R: Vocabulary>(seed: u64, cases: u64) -> Self {
        Self {
            menu: Menu::plugin::<R>(),
            phases: Phase::ALL.into(),
            ..Self::puppet::<R>(seed, cases)
        }
    }

    /// The plan with only those of its functions that the plugin negotiated, its own words first, and with what it
    /// [hands out](crate::observation::Runner::objects).
    ///
    /// # Errors
    /// [`CampaignError::NoFunctions`] where no function is left.
    pub fn of_opened<R: Vocabulary>(
        &self,
        negotiated: &[usize],
        objects: Vec<String>,
    ) -> Result<Self, CampaignError> {
        let mut plan = self.clone();
        plan.menu.functions = of_negotiated::<R>(&plan.menu.functions, negotiated)?;
        plan.menu.objects = objects;
        if !plan.menu.words.is_empty() {
            // Those that requests say anyway come last.
            let names = values::names::<R>();
            plan.menu.words.sort_by_key(|word| names.contains(word));
        }
        Ok(plan)
    }
}

/// Those of these functions that the plugin negotiated, by their places.
fn of_negotiated<R: Vocabulary>(
    places: &[usize],
    negotiated: &[usize],
) -> Result<Vec<usize>, CampaignError> {
    let left = places.iter().copied();
    let left: Vec<_> = left.filter(|place| negotiated.contains(place)).collect();
    if left.is_empty() {
        let label = |place: &usize| R::functions()[*place].label;
        return Err(CampaignError::NoFunctions {
            negotiated: negotiated.iter().map(label).collect(),
        });
    }
    Ok(left)
}

/// When a campaign stops, if its cases do not end before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Something was found: confirmed and shrunk, or, at the end, seen and not looked into for want of time, which its
    /// [`origin`](Finding::origin) says. Told once for each key. It may be a limit of the plugin, and no failure: see
    /// [`Violation::is_limit`](crate::oracle::Violation::is_limit).
    Finding(&'a Finding<R>),
}

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
    /// [`PluginLimit`](crate::oracle::PluginLimit).
    pub limits: usize,
    /// Violations of measurements that did not show again, and so are no findings.
    pub unconfirmed: u64,
    /// Violations that there was no time to look into.
    pub unexamined: u64,
    /// Those of them in which neither a clock nor another measurement had a say, or a clock in several sessions, or that are
    /// the death of a worker: something is wrong.
    pub unexamined_for_sure: u64,
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

/// Why a campaign could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// The host opens no session.
    #[error("cannot open a session: {0}")]
    Open(#[from] HandshakeError),
    /// None of the functions that were asked for is one that the plugin negotiated.
    #[error(
        "the plugin negotiated none of the functions asked for; it has: {}",
        or_none(negotiated)
    )]
    NoFunctions {
        /// What the plugin negotiated.
        negotiated: Vec<&'static str>,
    },
    /// None of the functions that the cases of a corpus call is one that the plugin negotiated.
    #[error(
        "no case of the corpus calls a function that the plugin negotiated; it has: {}",
        or_none(negotiated)
    )]
    NoFunctionsInCorpus {
        /// What the plugin negotiated.
        negotiated: Vec<&'static str>,
    },
    /// The host of a worker opens no session.
    #[error("cannot open a session: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// A worker process could not be started, or did not do what it was told.
    #[error("the worker process {} does not work: {reason}", program.display())]
    Worker {
        /// Its program.
        program: PathBuf,
        /// What failed.
        reason: String,
    },
    /// The worker process that was asked for the limits of the plugin, or for what it is, died.
    #[error("{0}")]
    Died(Death),
    /// An end was asked for, and nothing is waited for any more.
    #[error("interrupted")]
    Interrupted,
    /// It ended in mid-run. What was seen until then was emitted.
    #[error("the campaign ended early, after {} cases: {source}", summary.cases)]
    Ended {
        /// What it came to until then.
        summary: Box<Summary>,
        /// Why it ended.
        source: Box<CampaignError>,
    },
}

fn or_none(negotiated: &[&str]) -> String {
    match negotiated {
        [] => "none at all".to_owned(),
        some => some.join(", "),
    }
}
