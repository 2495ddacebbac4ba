//! `plugin_limit`: what a plugin cannot do and no host requires. Its author wants to know, but need
//! not act: limits are reported separately, and are failures only if they are denied.

use super::linear_cost::{self, LinearCost};
use super::plugin_fault::PluginFault;
use super::plugin_steps::{class, distinct_plugin_steps, is_ordinary, unusual};
use super::{Advice, Check, CheckRef, Nature, Severity, Violation};
use crate::case::Depth;
use crate::host::cause::UNDECODABLE;
use crate::host::{Cause, Decoding};
use crate::record::CaseRecord;
use crate::wire::Unusual;

/// The class of a cost that grows faster than the request.
const LINEAR_COST: &str = "linear cost";

/// Holds when no answer of a plugin has more values than this host reads, and, for requests with
/// content that no host sends, no call runs out of fuel or time at an ordinary size, and the cost
/// does not grow faster than the size. [`PluginFault`] and [`LinearCost`] find the same for
/// requests that hosts send. Which these are is decided field by field: see
/// [`Role`](crate::wire::Role).
#[derive(Debug)]
pub struct PluginLimit;

/// The same check if limits are denied.
#[derive(Debug)]
pub struct NoLimit;

impl Check for PluginLimit {
    fn name(&self) -> &'static str {
        "plugin_limit"
    }

    fn nature(&self) -> Nature {
        Nature::Limit
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        limits(&PluginLimit, record)
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }

    fn advice(&self, limit: &Violation) -> Advice {
        advice(limit)
    }

    fn on_usual_requests(&self, limit: &Violation) -> Option<Violation> {
        Some(on_usual_requests(limit))
    }
}

impl Check for NoLimit {
    fn name(&self) -> &'static str {
        "no_limit"
    }

    fn nature(&self) -> Nature {
        Nature::Plugin
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        limits(&NoLimit, record)
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }

    fn severity(&self, limit: &Violation) -> Severity {
        if limit.class == LINEAR_COST {
            Severity::Warning
        } else {
            Severity::Error
        }
    }

    fn advice(&self, limit: &Violation) -> Advice {
        advice(limit)
    }

    fn on_usual_requests(&self, limit: &Violation) -> Option<Violation> {
        Some(on_usual_requests(limit))
    }
}

fn advice(limit: &Violation) -> Advice {
    if limit.class.starts_with(UNDECODABLE) {
        Advice {
            meaning: "The answer has more values than this host reads. The published host reads them, however long that takes.",
            action: "No change is needed. To be safe, bound the size of the answer.",
        }
    } else {
        Advice {
            meaning: "The plugin runs out of fuel or time on input that no host sends: a limit, not a fault on real requests.",
            action: "No change is needed. To be safe, check the length of such a field first, or refuse the request.",
        }
    }
}

/// Returns the violation that a limit becomes if a host sends such a request.
fn on_usual_requests(limit: &Violation) -> Violation {
    let (check, class) = match &limit.class[..] {
        LINEAR_COST => (CheckRef::new(&LinearCost), ""),
        class => (CheckRef::new(&PluginFault), class),
    };
    Violation {
        check,
        class: class.to_owned(),
        ..limit.clone()
    }
}

fn limits(check: &'static dyn Check, record: &CaseRecord) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, step) in distinct_plugin_steps(record) {
        let cause = match &step.call.cause {
            Some(cause @ (Cause::OutOfFuel | Cause::Timeout)) => cause,
            Some(cause @ Cause::Undecodable(Decoding::TooManyValues)) => {
                let violation = Violation::new(check, step.function, cause.to_string());
                found.push(violation.with_class(cause.class()));
                continue;
            }
            _ => continue,
        };
        let unusual = unusual(record, index);
        if !is_ordinary(step) || unusual.is_empty() {
            continue;
        }
        let detail = format!("{cause}; no host sends this: {}", in_words(&unusual));
        let violation = Violation::new(check, step.function, detail);
        found.push(violation.with_class(class(&step.call).unwrap_or_default()));
    }
    if let Some((index, cost)) = linear_cost::end(record) {
        let unusual = unusual(record, index);
        if !unusual.is_empty() {
            let detail = format!("{cost}; no host sends this: {}", in_words(&unusual));
            let violation = Violation::new(check, record.steps[index].function, detail);
            found.push(violation.with_class(LINEAR_COST));
        }
    }
    found
}

fn in_words(unusual: &[Unusual]) -> String {
    let words: Vec<_> = unusual.iter().take(3).map(ToString::to_string).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_the_fault_that_it_would_be_on_what_hosts_send() {
        let violation = |check: CheckRef, class: &str| Violation {
            check,
            function: "shape".to_owned(),
            class: class.to_owned(),
            detail: String::new(),
            site: None,
            measured: false,
        };
        let out_of_fuel = violation(CheckRef::new(&PluginFault), "out of fuel");
        let cost = violation(CheckRef::new(&LinearCost), "");
        for check in [CheckRef::new(&PluginLimit), CheckRef::new(&NoLimit)] {
            let limit = violation(check, "out of fuel");
            assert_eq!(limit.on_usual_requests().as_ref(), Some(&out_of_fuel));
            let limit = violation(check, LINEAR_COST);
            assert_eq!(limit.on_usual_requests().as_ref(), Some(&cost));
        }
        assert_eq!(out_of_fuel.on_usual_requests(), None);
    }
}
