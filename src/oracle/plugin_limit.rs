//! `plugin_limit`: what a plugin cannot do, and no host asks of it. An author wants to know, and need not act: a limit is
//! told with the limits, and is a failure only where limits are denied.

use serde_json::Value;

use super::plugin_fault::{class, is_ordinary};
use super::{LinearCost, Oracle, PluginFault, Violation, distinct_plugin_steps, linear_cost};
use crate::host::{Cause, Decoding, DispatchOutcome};
use crate::observation::CaseRecord;
use crate::wire::{Unusual, returns_state};

/// The class of a cost that grows faster than the request.
const LINEAR_COST: &str = "linear cost";

/// Holds when no answer of a plugin has more values than are read here, no call of it runs out of fuel or time at an ordinary size of request that says what no host sends, and
/// the cost of no such request grows faster than its size: what [`PluginFault`] and [`LinearCost`] find where all that
/// differs from the dry-run sample is what hosts send. That is decided field by field: see [`Role`](crate::wire::Role).
#[derive(Debug)]
pub struct PluginLimit;

/// The same, where limits are denied.
#[derive(Debug)]
pub struct NoLimit;

impl Oracle for PluginLimit {
    fn name(&self) -> &'static str {
        "plugin_limit"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        limits(self, record)
    }
}

impl Oracle for NoLimit {
    fn name(&self) -> &'static str {
        "no_limit"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        limits(self, record)
    }
}

fn limits(check: &dyn Oracle, record: &CaseRecord) -> Vec<Violation> {
    let mut found = Vec::new();
    for (place, step) in distinct_plugin_steps(record) {
        let cause = match &step.call.cause {
            Some(cause @ (Cause::OutOfFuel | Cause::Timeout)) => cause,
            Some(cause @ Cause::Undecodable(Decoding::TooManyValues)) => {
                let violation = Violation::new(check, step.function, cause.to_string());
                found.push(violation.with_class(cause.class()));
                continue;
            }
            _ => continue,
        };
        let unusual = unusual(record, place);
        if !is_ordinary(step) || unusual.is_empty() {
            continue;
        }
        let detail = format!("{cause}; no host sends this: {}", in_words(&unusual));
        let violation = Violation::new(check, step.function, detail);
        found.push(violation.with_class(class(&step.call).unwrap_or_default()));
    }
    if let Some((place, cost)) = linear_cost::end(record) {
        let unusual = unusual(record, place);
        if !unusual.is_empty() {
            let detail = format!("{cost}; no host sends this: {}", in_words(&unusual));
            let violation = Violation::new(check, record.steps[place].function, detail);
            found.push(violation.with_class(LINEAR_COST));
        }
    }
    found
}

fn in_words(unusual: &[Unusual]) -> String {
    let words: Vec<_> = unusual.iter().take(3).map(ToString::to_string).collect();
    words.join(", ")
}

/// What the request of a step says that no host sends. A state is usual that the plugin returned before, in this case or
/// from a healthy call.
pub(super) fn unusual(record: &CaseRecord, place: usize) -> Vec<Unusual> {
    let step = &record.steps[place];
    let Some(input) = step.input() else {
        return Vec::new();
    };
    let is_returned = |state: &Value| {
        let before = record
            .distinct_steps()
            .take_while(|(before, _)| *before < place);
        let before = before.map(|(_, step)| &step.reaction);
        let mut reactions = before.chain(record.healthy.iter());
        reactions.any(|reaction| match reaction.outcome() {
            Some(DispatchOutcome::Ok(answer)) => returns_state(answer, state),
            _ => false,
        })
    };
    step.function.unusual(input, &is_returned)
}

impl Violation {
    /// What a limit is where a host does send such a request; `None` where this is no limit.
    pub(crate) fn as_no_limit(&self) -> Option<Self> {
        let is_limit = [PluginLimit.name(), NoLimit.name()].contains(&&self.check[..]);
        let (check, class) = match &self.class[..] {
            LINEAR_COST => (LinearCost.name(), ""),
            class => (PluginFault.name(), class),
        };
        is_limit.then(|| Self {
            check: check.to_owned(),
            class: class.to_owned(),
            ..self.clone()
        })
    }

    /// Whether it is a limit of the plugin and no failure: nobody denied limits.
    pub fn is_limit(&self) -> bool {
        self.check == PluginLimit.name()
    }

    /// Whether it is about a cost that grows faster than the request.
    pub(super) fn is_of_growth(&self) -> bool {
        self.class == LINEAR_COST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_the_fault_that_it_would_be_on_what_hosts_send() {
        let violation = |check: &str, class: &str| Violation {
            check: check.to_owned(),
            function: "shape".to_owned(),
            class: class.to_owned(),
            detail: String::new(),
            site: None,
            measured: false,
        };
        let out_of_fuel = violation(PluginFault.name(), "out of fuel");
        let cost = violation(LinearCost.name(), "");
        for check in [PluginLimit.name(), NoLimit.name()] {
            let limit = violation(check, "out of fuel");
            assert_eq!(limit.as_no_limit().as_ref(), Some(&out_of_fuel));
            let limit = violation(check, LINEAR_COST);
            assert_eq!(limit.as_no_limit().as_ref(), Some(&cost));
        }
        assert_eq!(out_of_fuel.as_no_limit(), None);
    }
}
