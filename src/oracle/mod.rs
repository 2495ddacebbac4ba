//! The oracles: what must hold of everything that was observed.
//!
//! One file for each check. A check reads a [`CaseRecord`] and returns what is wrong with it. What most of them find
//! is a broken promise of the host, whoever the plugin is; [`PluginFault`], [`LinearCost`], [`NoDrift`] and [`NoCarryover`]
//! find what
//! is wrong with the plugin, and [`PluginLimit`] what it cannot do and no host asks of it.

use std::fmt::{Debug, Display, Write as _};

use serde::{Deserialize, Serialize};

use crate::host::Site;
use crate::host::failure::{EXIT_CODE, UNDECODABLE};
use crate::line::one_line;
use crate::observation::{CaseRecord, ProbeRecord, StepRecord, Subject};
use crate::wire::Function;

mod advice;
mod agrees_with_reference;
mod decode;
mod deterministic;
mod fallback_policy;
mod linear_cost;
mod no_carryover;
mod no_crash;
mod no_drift;
mod no_leak;
mod no_panic;
mod no_poison;
mod no_refusal;
mod no_retry;
mod plugin_fault;
mod plugin_limit;
mod request_fidelity;
mod sound_ok;
mod within_fuel;
mod within_memory;
mod within_wall;

pub(crate) use advice::BEHIND_OTHERS;
pub use advice::{Advice, Severity};
pub use agrees_with_reference::AgreesWithReference;
pub use deterministic::Deterministic;
pub use fallback_policy::FallbackPolicy;
pub use linear_cost::LinearCost;
pub use no_carryover::NoCarryover;
pub use no_crash::NoCrash;
pub use no_drift::NoDrift;
pub use no_leak::{NoLeak, ROUND_MAX_BYTES};
pub use no_panic::NoPanic;
pub use no_poison::NoPoison;
pub use no_refusal::NoRefusal;
pub use no_retry::NoRetry;
pub(crate) use plugin_fault::is_shown_by;
pub use plugin_fault::{ORDINARY_DEPTH, ORDINARY_INPUT_BYTES, PluginFault};
pub use plugin_limit::{NoLimit, PluginLimit};
pub use request_fidelity::RequestFidelity;
pub use sound_ok::SoundOk;
pub use within_fuel::WithinFuel;
pub use within_memory::{WithinMemory, memory_max_bytes};
pub use within_wall::{BUSY_WALL_MAX, WALL_SLACK, WithinWall, may_be_busy};

/// A check.
///
/// # Obligations
/// - It depends on nothing but the record, so that the same record gives the same violations.
/// - Of a record that a sound host and a sound plugin left, it returns nothing.
pub trait Oracle: Debug + Sync {
    /// The check's stable name: the vocabulary of the command line and the reports.
    fn name(&self) -> &'static str;

    /// Everything in the record that must not be.
    fn check(&self, record: &CaseRecord) -> Vec<Violation>;

    /// Whether the check judges a measurement, of time or of memory. What it finds counts only if it shows every
    /// time.
    fn is_measurement(&self) -> bool {
        false
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The name of the check.
    pub check: String,
    /// The name of the wire function.
    pub function: String,
    /// What sets it apart from other violations of the same check and function, such as the kind of a
    /// trap; empty if nothing.
    pub class: String,
    /// Where in the plugin it is, where that is known.
    pub site: Option<Box<Site>>,
    /// What was seen, for people.
    pub detail: String,
    /// Whether a measurement showed it: see [`Oracle::is_measurement`].
    pub measured: bool,
}

impl Violation {
    /// What a check found about a function.
    pub fn new(check: &dyn Oracle, function: &Function, detail: String) -> Self {
        Self {
            check: check.name().to_owned(),
            function: function.name.to_owned(),
            class: String::new(),
            site: None,
            detail: one_line(detail),
            measured: check.is_measurement(),
        }
    }

    /// The same, set apart from others of the check and function.
    #[must_use]
    pub fn with_class(self, class: impl Into<String>) -> Self {
        let class = one_line(class.into());
        Self { class, ..self }
    }

    /// Whether the clock or the machine has a say in it.
    pub fn is_by_chance(&self) -> bool {
        self.measured || self.class == "timeout" || self.class == plugin_fault::NO_ANSWER
    }

    /// The same, at a place in the plugin, which its detail tells.
    #[must_use]
    pub fn with_site(mut self, site: Option<Site>) -> Self {
        if let Some(site) = &site {
            let _ = write!(self.detail, "; {site}");
        }
        self.site = site.map(Box::new);
        self
    }

    /// The class, and the function of the plugin that it is in, unless that is the one that was called.
    pub fn label(&self) -> String {
        match &self.site {
            Some(site) if site.names() != self.function => {
                format!("{} in {}", self.class, site.names())
            }
            _ => self.class.clone(),
        }
    }

    /// What tells it from other bugs: the check, the class, and the place in the plugin. Where that is not known, the wire
    /// function.
    pub fn key(&self) -> String {
        let place = match &self.site {
            Some(site) => site.key(),
            None => self.function.clone(),
        };
        format!("{}-{place}-{}", self.check, self.class)
    }

    /// Whether another one is of the same bug. One whose place is found out later may be at that of the first.
    pub(crate) fn is_like(&self, other: &Self, any_function: bool) -> bool {
        let same_place = match (&self.site, &other.site) {
            (Some(site), Some(others)) => site == others,
            (Some(site), None) if !site.is_located_later() => false,
            _ => any_function || self.function == other.function,
        };
        self.check == other.check && self.class == other.class && same_place
    }

    /// Whether its place in the plugin is not known, and a copy that is metered can tell it.
    pub(crate) fn can_be_located(&self) -> bool {
        let classes = ["out of fuel", "timeout", UNDECODABLE];
        self.site.is_none()
            && self.check == PluginFault.name()
            && classes.iter().any(|class| self.class.starts_with(class))
            && !self.class.starts_with(plugin_fault::NOT_BASE64)
    }

    /// A class that stands for many more like this one, of which a plugin may make up as many as it likes; `None` where there
    /// is a bounded number of them.
    pub(crate) fn others(&self) -> Option<&'static str> {
        let families = [
            (EXIT_CODE, "exit code: others"),
            (UNDECODABLE, "undecodable: others"),
        ];
        let mut families = families.into_iter();
        let others = if self.check == NoRefusal.name() {
            Some("others")
        } else {
            families
                .find(|(beginning, _)| self.class.starts_with(beginning))
                .map(|(_, others)| others)
        };
        others.filter(|others| self.class != *others)
    }
}

/// All checks: those of the host, and the plugin's own, which have nothing to say about the puppet.
pub const CHECKS: [&dyn Oracle; 18] = [
    &NoCrash,
    &NoPanic,
    &FallbackPolicy,
    &SoundOk,
    &RequestFidelity,
    &NoPoison,
    &NoRetry,
    &WithinFuel,
    &WithinWall,
    &WithinMemory,
    &NoLeak,
    &Deterministic,
    &AgreesWithReference,
    &PluginFault,
    &PluginLimit,
    &LinearCost,
    &NoDrift,
    &NoCarryover,
];

/// Those for whoever asks for them.
pub const STRICT_CHECKS: [&dyn Oracle; 2] = [&NoLimit, &NoRefusal];

/// [`CHECKS`], and with what is denied: limits, refusals.
pub fn checks(deny_limits: bool, deny_refusals: bool) -> Vec<&'static dyn Oracle> {
    let mut checks = CHECKS.to_vec();
    if deny_limits {
        checks.retain(|check| check.name() != PluginLimit.name());
        checks.push(&NoLimit);
    }
    if deny_refusals {
        checks.push(&NoRefusal);
    }
    checks
}

/// All checks that there are.
pub fn all_checks() -> impl Iterator<Item = &'static dyn Oracle> {
    CHECKS.into_iter().chain(STRICT_CHECKS)
}

/// Everything that the checks find in a record, in the order of the checks.
pub fn check_all(checks: &[&dyn Oracle], record: &CaseRecord) -> Vec<Violation> {
    checks
        .iter()
        .flat_map(|check| check.check(record))
        .collect()
}

/// The violations of a check that judges each step by itself; `judge` says what is wrong with one. What a session does
/// that is known to be poisoned is `no_poison`'s matter.
fn judge_steps(
    check: &dyn Oracle,
    record: &CaseRecord,
    judge: impl Fn(&StepRecord) -> Option<String>,
) -> Vec<Violation> {
    judge_each(check, record, record.steps.iter().enumerate(), judge)
}

/// The same of a check that reads what was said and answered: of steps that repeat each other the first tells all.
fn judge_distinct_steps(
    check: &dyn Oracle,
    record: &CaseRecord,
    judge: impl Fn(&StepRecord) -> Option<String>,
) -> Vec<Violation> {
    judge_each(check, record, record.distinct_steps(), judge)
}

fn judge_each<'r>(
    check: &dyn Oracle,
    record: &'r CaseRecord,
    steps: impl Iterator<Item = (usize, &'r StepRecord)>,
    judge: impl Fn(&StepRecord) -> Option<String>,
) -> Vec<Violation> {
    let sound = no_poison::poisoned(record).map(|probe| probe.after).min();
    let sound = sound.unwrap_or(usize::MAX);
    let steps = steps.take_while(|(place, _)| *place < sound);
    let violations =
        steps.filter_map(|(_, step)| Some(Violation::new(check, step.function, judge(step)?)));
    violations.collect()
}

/// The steps of a plugin: to what the puppet is told to do, the checks of plugins have nothing to say.
fn plugin_steps(record: &CaseRecord) -> &[StepRecord] {
    match record.subject {
        Subject::Puppet => &[],
        Subject::Plugin => &record.steps,
    }
}

/// The same with their places, without those that repeat the one before.
fn distinct_plugin_steps(record: &CaseRecord) -> impl Iterator<Item = (usize, &StepRecord)> {
    let is_plugin = record.subject == Subject::Plugin;
    record.distinct_steps().filter(move |_| is_plugin)
}

/// The healthy calls of a plugin.
fn plugin_probes(record: &CaseRecord) -> &[ProbeRecord] {
    match record.subject {
        Subject::Puppet => &[],
        Subject::Plugin => &record.probes,
    }
}

/// Shortens what a violation quotes.
fn quote(value: &impl Display) -> String {
    const MOST: usize = 400;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}
