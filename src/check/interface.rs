//! The interface of a check, and the violations that it returns.

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
/// Everything that the crate knows about a check is in its implementation: what it finds, how much
/// is run for it, how severe a violation is, and what to do about it. The defaults suit a
/// check of your own that judges the host.
///
/// Violations keep a reference to their check, so a check is a constant: `&MyCheck`, or a `static`
/// if it has settings.
///
/// # Obligations
/// - The result depends on the record only: the same record gives the same violations.
/// - The record of a correct host and a correct plugin gives no violations.
pub trait Check: Debug + Sync {
    /// Returns the check's stable and unique name, for the command line and reports.
    fn name(&self) -> &'static str;

    /// Returns all violations in the record.
    fn check(&self, record: &CaseRecord) -> Vec<Violation>;

    /// Returns what the check looks at.
    fn nature(&self) -> Nature {
        Nature::Host
    }

    /// Returns how much must be run besides the steps of a case for the check to find something.
    /// The default is safe for any check.
    fn depth(&self) -> Depth {
        Depth::Thorough
    }

    /// Returns whether the check judges a measurement of time or memory. Such a violation counts
    /// only if it reproduces every time.
    fn is_measurement(&self) -> bool {
        false
    }

    /// Returns how severe a violation is.
    fn severity(&self, violation: &Violation) -> Severity {
        let _ = violation;
        match self.nature() {
            Nature::Limit => Severity::Limit,
            nature if nature.is_of_plugin() => Severity::Error,
            _ => Severity::Critical,
        }
    }

    /// Returns what a violation means and what to do about it.
    fn advice(&self, violation: &Violation) -> Advice {
        let _ = violation;
        if self.nature().is_of_plugin() {
            PLUGIN_ADVICE
        } else {
            HOST_ADVICE
        }
    }

    /// Returns the class that stands for all classes like this one, if a plugin can produce any
    /// number of them; `None` if their number is bounded.
    fn catch_all_class(&self, class: &str) -> Option<&'static str> {
        let families = [
            (EXIT_CODE, "exit code: others"),
            (UNDECODABLE, "undecodable: others"),
        ];
        let mut families = families.into_iter();
        let family = families.find(|(beginning, _)| class.starts_with(beginning));
        family.map(|(_, catch_all)| catch_all)
    }

    /// Returns what a violation becomes if requests that hosts send also show it; `None` if that
    /// makes no difference.
    fn on_usual_requests(&self, violation: &Violation) -> Option<Violation> {
        let _ = violation;
        None
    }
}

/// What a violation means and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What the violation means.
    pub meaning: &'static str,
    /// What to do about it.
    pub action: &'static str,
}

/// The severity of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The plugin cannot do something that no host requires: a limit, not a failure.
    Limit,
    /// A request is answered worse than it could be, or will fail one day: its cost grows with
    /// each call, for example.
    Warning,
    /// The plugin fails a request that it should answer, or answers it wrongly.
    Error,
    /// The host breaks an obligation, which endangers everything that runs on it.
    Critical,
}

/// The default advice of checks that judge the host.
const HOST_ADVICE: Advice = Advice {
    meaning: "The host does not keep its obligations.",
    action: "This is the host's fault, whatever the plugin does: report it to the host's maintainers, with the case.",
};

/// The default advice of checks that judge plugins.
const PLUGIN_ADVICE: Advice = Advice {
    meaning: "The plugin does what this check forbids.",
    action: "The replay prints the requests and what was seen.",
};

/// A reference to a check, used by violations and workers. It is serialized as the check's name,
/// and deserialized if the name is one of [`all_checks`](super::all_checks). References are equal
/// if the names are. Everything else is asked of the check.
#[derive(Clone, Copy)]
pub struct CheckRef(&'static dyn Check);

impl CheckRef {
    /// Returns a reference to a check.
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

/// A violation of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The check that found it.
    pub check: CheckRef,
    /// The name of the wire function.
    pub function: String,
    /// What distinguishes it from other violations of the same check and function, such as the kind
    /// of a trap; empty if nothing does.
    pub class: String,
    /// Where in the plugin it is, if that is known.
    pub site: Option<Box<Site>>,
    /// What was observed, for people.
    pub detail: String,
    /// Whether its check judges a measurement of time or memory: see [`Check::is_measurement`].
    /// Other violations may be [flaky](Self::is_flaky) too.
    pub measured: bool,
}

impl Violation {
    /// Returns a violation that a check found for a function.
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

    /// Returns the violation with a class.
    #[must_use]
    pub fn with_class(self, class: impl Into<String>) -> Self {
        let class = one_line(class.into());
        Self { class, ..self }
    }

    /// Returns the violation with its site in the plugin, which is added to the detail.
    #[must_use]
    pub fn with_site(mut self, site: Option<Site>) -> Self {
        if let Some(site) = &site {
            let _ = write!(self.detail, "; {site}");
        }
        self.site = site.map(Box::new);
        self
    }

    /// Returns `class`, or `class in FUNCTION` if it happened in a function other than the called
    /// one.
    pub fn label(&self) -> String {
        match &self.site {
            Some(site) if site.names() != self.function => {
                format!("{} in {}", self.class, site.names())
            }
            _ => self.class.clone(),
        }
    }

    /// Returns what distinguishes it from other bugs: the check, the class, and the site in the
    /// plugin, or the wire function if the site is unknown.
    pub fn key(&self) -> String {
        let place = match &self.site {
            Some(site) => site.key(),
            None => self.function.clone(),
        };
        format!("{}-{place}-{}", self.check, self.class)
    }

    /// Returns whether both are of the same bug. A violation whose site is only located later also
    /// matches one without a site.
    pub(crate) fn is_like(&self, other: &Self, any_function: bool) -> bool {
        let same_place = match (&self.site, &other.site) {
            (Some(site), Some(others)) => site == others,
            (Some(site), None) if !site.is_located_later() => false,
            _ => any_function || self.function == other.function,
        };
        self.check == other.check && self.class == other.class && same_place
    }

    /// Returns the severity.
    pub fn severity(&self) -> Severity {
        self.check.severity(self)
    }

    /// Returns what it means and what to do about it.
    pub fn advice(&self) -> Advice {
        self.check.advice(self)
    }

    /// Returns whether it is a limit, which does not fail the run. With `--deny limits`, `no_limit`
    /// reports it as a failure instead.
    pub fn is_limit(&self) -> bool {
        self.nature() == Nature::Limit
    }

    /// Returns whether another run may not show it, because it depends on timing or on the machine:
    /// it is [measured](Self::measured), or a call timed out or may have.
    pub fn is_flaky(&self) -> bool {
        self.measured || [TIMEOUT, NO_ANSWER].contains(&&self.class[..])
    }

    /// Returns what its check looks at.
    pub(crate) fn nature(&self) -> Nature {
        self.check.nature()
    }

    /// Returns whether its site is unknown and a metered copy of the plugin can locate it.
    pub(crate) fn can_be_located(&self) -> bool {
        let classes = [OUT_OF_FUEL, TIMEOUT, UNDECODABLE];
        self.site.is_none()
            && self.nature() == Nature::PluginCall
            && classes.iter().any(|class| self.class.starts_with(class))
            && !self.class.starts_with(NOT_BASE64)
    }

    /// Returns the class of [`Check::catch_all_class`]; `None` if this violation already has that
    /// class.
    pub(crate) fn catch_all_class(&self) -> Option<&'static str> {
        let catch_all = self.check.catch_all_class(&self.class);
        catch_all.filter(|class| self.class != *class)
    }

    /// Returns the violation that this limit becomes if a host sends such a request; `None` if it
    /// is not a limit.
    pub(crate) fn on_usual_requests(&self) -> Option<Self> {
        self.check.on_usual_requests(self)
    }
}
