//! What the checks say of their violations: whose they are, and whether they may be flaky.

use super::linear_cost::LinearCost;
use super::no_carryover::NoCarryover;
use super::no_drift::NoDrift;
use super::no_refusal::NoRefusal;
use super::plugin_fault::{self, PluginFault};
use super::plugin_limit::{NoLimit, PluginLimit};
use super::{Check, Violation};
use crate::host::cause::{EXIT_CODE, UNDECODABLE};

impl Violation {
    /// Whether the clock or the machine has a say in it.
    pub fn is_flaky(&self) -> bool {
        self.measured || self.class == "timeout" || self.class == plugin_fault::NO_ANSWER
    }

    /// Whether it is the plugin's, whatever the host is.
    pub(crate) fn is_of_plugin(&self) -> bool {
        let checks: [&dyn Check; 7] = [
            &PluginFault,
            &PluginLimit,
            &NoLimit,
            &NoRefusal,
            &LinearCost,
            &NoDrift,
            &NoCarryover,
        ];
        checks.iter().any(|check| check.name() == self.check)
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
