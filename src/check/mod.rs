//! The oracles: what must hold of everything that was observed.
//!
//! One file for each check. A check reads a [`CaseRecord`] and returns what is wrong with it. What most of them find
//! is a broken promise of the host, whoever the plugin is; [`PluginFault`], [`LinearCost`], [`NoDrift`] and [`NoCarryover`]
//! find what
//! is wrong with the plugin, and [`PluginLimit`] what it cannot do and no host asks of it. What the rest of the crate has to
//! know of a check it asks the [`Check`], and of what the check looks at its [`Nature`]: nothing depends on a name.

use std::fmt::{Debug, Display};
use std::time::Duration;

use serde::Serialize;

use crate::case::Depth;
use crate::host::cause::{EXIT_CODE, UNDECODABLE};
use crate::record::CaseRecord;

mod agrees_with_reference;
mod check_ref;
mod decode;
mod deterministic;
mod fallback_policy;
mod judge_steps;
mod linear_cost;
mod list;
mod nature;
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
pub(crate) mod plugin_steps;
mod request_fidelity;
mod sound_ok;
mod violation;
mod within_fuel;
mod within_memory;
mod within_wall;

pub use agrees_with_reference::AgreesWithReference;
pub use check_ref::CheckRef;
pub use deterministic::Deterministic;
pub use fallback_policy::FallbackPolicy;
pub use linear_cost::LinearCost;
pub use list::{CHECKS, STRICT_CHECKS, all_checks, check_all, check_named, checks};
pub use nature::Nature;
pub use no_carryover::NoCarryover;
pub use no_crash::NoCrash;
pub use no_drift::NoDrift;
pub use no_leak::{NoLeak, ROUND_MAX_BYTES};
pub use no_panic::NoPanic;
pub use no_poison::NoPoison;
pub(crate) use no_poison::OTHER_SESSIONS;
pub use no_refusal::NoRefusal;
pub use no_retry::NoRetry;
pub use plugin_fault::PluginFault;
pub(crate) use plugin_fault::{BEHIND_OTHERS, is_shown_by};
pub use plugin_limit::{NoLimit, PluginLimit};
pub use request_fidelity::RequestFidelity;
pub use sound_ok::SoundOk;
pub use violation::Violation;
pub use within_fuel::WithinFuel;
pub use within_memory::{WithinMemory, memory_max_bytes};
pub use within_wall::{BUSY_WALL_MAX, WithinWall, may_be_busy};

/// A check.
///
/// All that is known of a check is said here, in its file: what it finds, how deep a case must be run for it, how bad that is
/// and what to do. What a check does not say has a default that suits a check of your own about the host.
///
/// A violation refers to its check for as long as it is kept, so a check is a constant: `&MyCheck`, or a `static`
/// where it has settings.
///
/// # Obligations
/// - It depends on nothing but the record, so that the same record gives the same violations.
/// - Of a record that a sound host and a sound plugin left, it returns nothing.
pub trait Check: Debug + Sync {
    /// The check's stable name, which no other check has: the vocabulary of the command line and the reports.
    fn name(&self) -> &'static str;

    /// Everything in the record that must not be.
    fn check(&self, record: &CaseRecord) -> Vec<Violation>;

    /// What it looks at.
    fn nature(&self) -> Nature {
        Nature::Host
    }

    /// How deep a case must be run for the check to find something. Of a check that does not say so nobody knows.
    fn depth(&self) -> Depth {
        Depth::Thorough
    }

    /// Whether the check judges a measurement, of time or of memory. What it finds counts only if it shows every
    /// time.
    fn is_measurement(&self) -> bool {
        false
    }

    /// How bad a violation of it is.
    fn severity(&self, violation: &Violation) -> Severity {
        let _ = violation;
        match self.nature() {
            Nature::Limit => Severity::Limit,
            nature if nature.is_of_plugin() => Severity::Error,
            _ => Severity::Critical,
        }
    }

    /// What a violation of it means and what to do.
    fn advice(&self, violation: &Violation) -> Advice {
        let _ = violation;
        if self.nature().is_of_plugin() {
            OF_THE_PLUGIN
        } else {
            OF_THE_HOST
        }
    }

    /// A class that stands for many more like this one, of which a plugin may make up as many as it likes; `None` where there
    /// is a bounded number of them.
    fn others(&self, class: &str) -> Option<&'static str> {
        let families = [
            (EXIT_CODE, "exit code: others"),
            (UNDECODABLE, "undecodable: others"),
        ];
        let mut families = families.into_iter();
        let family = families.find(|(beginning, _)| class.starts_with(beginning));
        family.map(|(_, others)| others)
    }

    /// What a violation of it is where only requests show it that hosts do send; `None` where that makes no difference.
    fn on_usual_requests(&self, violation: &Violation) -> Option<Violation> {
        let _ = violation;
        None
    }
}

/// A violation in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What it means.
    pub explanation: &'static str,
    /// What to do.
    pub advice: &'static str,
}

/// How bad a violation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The plugin cannot do what no host asks of it: a limit, and no failure.
    Limit,
    /// A request is answered worse than it could be, or one day will be.
    Warning,
    /// The plugin fails a request that it should answer, or answers it wrongly.
    Error,
    /// The host breaks its promise: whatever runs on it is in danger.
    Critical,
}

/// Of the checks that are not about the plugin, but about the host that runs it.
const OF_THE_HOST: Advice = Advice {
    explanation: "The host did not keep its promise to the plugin's caller.",
    advice: "This is the host's fault, whatever the plugin does: tell its maintainers, with the case.",
};

/// Of an embedder's check of plugins that does not say more.
const OF_THE_PLUGIN: Advice = Advice {
    explanation: "The plugin does what this check forbids.",
    advice: "The replay prints the requests and what was seen.",
};

/// Of the memory of the process, be it a host or a plugin that takes it.
const OF_THE_MEMORY: Advice = Advice {
    explanation: "The process keeps or takes more memory than a session may.",
    advice: "Look at what grows with each call; a plugin's memory is bounded to 64 MiB.",
};

/// Shortens what a violation quotes.
fn quote(value: &impl Display) -> String {
    const MOST: usize = 400;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

/// What a dispatch may take beyond `HANDSHAKE_WALL_MS`: for JSON, for waking the thread that keeps the
/// time, and for the guest to come to a place where it can be stopped.
pub const WALL_SLACK: Duration = Duration::from_millis(50);
