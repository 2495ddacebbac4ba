//! What a check returns.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::plugin_steps::{NO_ANSWER, NOT_BASE64};
use super::{Advice, Check, CheckRef, Nature, Severity};
use crate::host::Site;
use crate::host::cause::UNDECODABLE;
use crate::untrusted_text::one_line;
use crate::wire::Function;

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
        self.measured || self.class == "timeout" || self.class == NO_ANSWER
    }

    /// What its check looks at.
    pub(crate) fn nature(&self) -> Nature {
        self.check.nature()
    }

    /// Whether its place in the plugin is not known, and a copy that is metered can tell it.
    pub(crate) fn can_be_located(&self) -> bool {
        let classes = ["out of fuel", "timeout", UNDECODABLE];
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
