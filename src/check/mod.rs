//! Checks: what must hold for everything that was observed; oracles, in the literature.
//!
//! One file per check. A check reads a [`CaseRecord`](crate::record::CaseRecord) and returns
//! violations. Most checks judge the host, whichever plugin it runs. [`PluginFault`],
//! [`LinearCost`], [`NoDrift`] and [`NoCarryover`] judge the plugin, and [`PluginLimit`] finds what
//! the plugin cannot do but no host requires. The rest of the crate asks the [`Check`] for its
//! properties and for its [`Nature`], and never depends on the name of a check.

use std::fmt::Display;
use std::time::Duration;

use crate::untrusted_text::first_chars;

mod agrees_with_reference;
mod deterministic;
mod fallback_policy;
mod independent_decode;
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
pub(crate) use plugin_fault::{AFTER_OTHER_CALLS, is_shown_by};
pub use plugin_limit::{NoLimit, PluginLimit};
pub use request_fidelity::RequestFidelity;
pub use sound_ok::SoundOk;
pub use within_fuel::WithinFuel;
pub use within_memory::{WithinMemory, memory_max_bytes};
pub use within_wall::{BUSY_WALL_MAX, WithinWall, may_be_busy};

/// The advice on the memory of the process, whether a host or a plugin takes it.
const MEMORY_ADVICE: Advice = Advice {
    meaning: "The process keeps or takes more memory than a session may.",
    action: "Look at what grows with each call; a plugin's memory is bounded to 64 MiB.",
};

/// Shortens a value that is quoted in a violation.
fn quote(value: &impl Display) -> String {
    const MOST: usize = 400;
    first_chars(&value.to_string(), MOST)
}

/// The time that a dispatch may take beyond `HANDSHAKE_WALL_MS`: for JSON, for waking the timer's
/// thread, and for the guest to reach a point where it can be stopped.
pub const WALL_SLACK: Duration = Duration::from_millis(50);
