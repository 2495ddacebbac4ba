//! The oracles: what must hold of everything that was observed.
//!
//! One file for each check. A check reads a [`CaseRecord`] and returns what is wrong with it. What most of them find
//! is a broken promise of the host, whoever the plugin is; [`PluginFault`], [`LinearCost`], [`NoDrift`] and [`NoCarryover`]
//! find what
//! is wrong with the plugin, and [`PluginLimit`] what it cannot do and no host asks of it.

use std::fmt::{Debug, Display, Write as _};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::Site;
use crate::record::CaseRecord;
use crate::untrusted_text::one_line;
use crate::wire::Function;

mod advice;
mod agrees_with_reference;
mod classes;
mod decode;
mod deterministic;
mod fallback_policy;
mod judge_steps;
mod linear_cost;
mod list;
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

pub(crate) use advice::BEHIND_OTHERS;
pub use advice::{Advice, Severity};
pub use agrees_with_reference::AgreesWithReference;
pub use deterministic::Deterministic;
pub use fallback_policy::FallbackPolicy;
pub use linear_cost::LinearCost;
pub use list::{CHECKS, STRICT_CHECKS, all_checks, check_all, checks};
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
pub(crate) use plugin_fault::is_shown_by;
pub use plugin_limit::{NoLimit, PluginLimit};
pub use request_fidelity::RequestFidelity;
pub use sound_ok::SoundOk;
pub use within_fuel::WithinFuel;
pub use within_memory::{WithinMemory, memory_max_bytes};
pub use within_wall::{BUSY_WALL_MAX, WithinWall, may_be_busy};

/// A check.
///
/// # Obligations
/// - It depends on nothing but the record, so that the same record gives the same violations.
/// - Of a record that a sound host and a sound plugin left, it returns nothing.
pub trait Check: Debug + Sync {
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
    /// Whether a measurement showed it: see [`Check::is_measurement`].
    pub measured: bool,
}

impl Violation {
    /// What a check found about a function.
    pub fn new(check: &dyn Check, function: &Function, detail: String) -> Self {
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

/// What a dispatch may take beyond `HANDSHAKE_WALL_MS`: for JSON, for waking the thread that keeps the
/// time, and for the guest to come to a place where it can be stopped.
pub const WALL_SLACK: Duration = Duration::from_millis(50);
