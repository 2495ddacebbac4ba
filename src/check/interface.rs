//! What a check is, and what it returns.

use std::fmt::{self, Debug, Write as _};
use std::ops::Deref;

use serde::{Deserialize, Serialize, Serializer};

use super::Nature;
use super::plugin_steps::{NO_ANSWER, NOT_BASE64};
use crate::case::Depth;
use crate::host::Site;
use crate::host::cause::{EXIT_CODE, OUT_OF_FUEL, TIMEOUT, UNDECODABLE};
use crate::record::CaseRecord;
use crate::untrusted_text::one_line;
use crate::wire::Function;

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

/// A check, as violations and workers refer to it. It is written as the check's name, and read where that is of
/// [`all_checks`](super::all_checks). Two are the same where their names are, which is decided here and nowhere else: whoever
/// wants to know more asks the check.
#[derive(Clone, Copy)]
pub struct CheckRef(&'static dyn Check);

impl CheckRef {
    /// A reference to a check.
    pub fn new(check: &'static dyn Check) -> Self {
        Self(check)
    }
}

impl Deref for CheckRef {
    type Target = dyn Check;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

impl PartialEq for CheckRef {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for CheckRef {}

impl fmt::Debug for CheckRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.name(), f)
    }
}

impl fmt::Display for CheckRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.name(), f)
    }
}

impl Serialize for CheckRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The check that found it.
    pub check: CheckRef,
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
    pub fn new(check: &'static dyn Check, function: &Function, detail: String) -> Self {
        Self {
            check: CheckRef::new(check),
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

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.check.severity(self)
    }

    /// What it means and what to do.
    pub fn advice(&self) -> Advice {
        self.check.advice(self)
    }

    /// Whether it is a limit of the plugin and no failure: nobody denied limits.
    pub fn is_limit(&self) -> bool {
        self.nature() == Nature::Limit
    }

    /// Whether the clock or the machine has a say in it.
    pub fn is_flaky(&self) -> bool {
        self.measured || [TIMEOUT, NO_ANSWER].contains(&&self.class[..])
    }

    /// What its check looks at.
    pub(crate) fn nature(&self) -> Nature {
        self.check.nature()
    }

    /// Whether its place in the plugin is not known, and a copy that is metered can tell it.
    pub(crate) fn can_be_located(&self) -> bool {
        let classes = [OUT_OF_FUEL, TIMEOUT, UNDECODABLE];
        self.site.is_none()
            && self.nature() == Nature::PluginCall
            && classes.iter().any(|class| self.class.starts_with(class))
            && !self.class.starts_with(NOT_BASE64)
    }

    /// See [`Check::others`]; `None` also where this one stands for others.
    pub(crate) fn others(&self) -> Option<&'static str> {
        let others = self.check.others(&self.class);
        others.filter(|others| self.class != *others)
    }

    /// What a limit is where a host does send such a request; `None` where this is no limit.
    pub(crate) fn as_no_limit(&self) -> Option<Self> {
        self.check.on_usual_requests(self)
    }
}
