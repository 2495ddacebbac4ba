//! The oracles: what must hold of everything that was observed.
//!
//! One file for each check. A check reads a [`CaseRecord`](crate::record::CaseRecord) and returns what is wrong with it. What most of them find
//! is a broken promise of the host, whoever the plugin is; [`PluginFault`], [`LinearCost`], [`NoDrift`] and [`NoCarryover`]
//! find what
//! is wrong with the plugin, and [`PluginLimit`] what it cannot do and no host asks of it. What the rest of the crate has to
//! know of a check it asks the [`Check`], and of what the check looks at its [`Nature`]: nothing depends on a name.

use std::fmt::Display;
use std::time::Duration;

use crate::untrusted_text::first_chars;

mod agrees_with_reference;
mod decode;
mod deterministic;
mod fallback_policy;
mod interface;
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
mod within_fuel;
mod within_memory;
mod within_wall;

pub use agrees_with_reference::AgreesWithReference;
pub use deterministic::Deterministic;
pub use fallback_policy::FallbackPolicy;
pub use interface::{Advice, Check, CheckRef, Severity, Violation};
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
pub use within_fuel::WithinFuel;
pub use within_memory::{WithinMemory, memory_max_bytes};
pub use within_wall::{BUSY_WALL_MAX, WithinWall, may_be_busy};

/// Of the memory of the process, be it a host or a plugin that takes it.
const OF_THE_MEMORY: Advice = Advice {
    explanation: "The process keeps or takes more memory than a session may.",
    advice: "Look at what grows with each call; a plugin's memory is bounded to 64 MiB.",
};

/// Shortens what a violation quotes.
fn quote(value: &impl Display) -> String {
    const MOST: usize = 400;
    first_chars(&value.to_string(), MOST)
}

/// What a dispatch may take beyond `HANDSHAKE_WALL_MS`: for JSON, for waking the thread that keeps the
/// time, and for the guest to come to a place where it can be stopped.
pub const WALL_SLACK: Duration = Duration::from_millis(50);
