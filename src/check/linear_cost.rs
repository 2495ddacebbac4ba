//! `linear_cost`: a request of twice the size takes at most about twice the fuel. A violation is a
//! plugin that processes a part of the request repeatedly, and so fails where a simpler one would
//! not.

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;

use super::plugin_steps::{is_ordinary, plugin_steps, unusual};
use super::{Advice, Check, Nature, Severity, Violation};
use crate::case::{Depth, MANY_STEPS};
use crate::host::{Cause, DispatchOutcome};
use crate::record::{CaseRecord, StepRecord};

/// The most by which the cost of an additional byte may grow from one size to the next.
const GROWTH_MAX: f64 = 1.4;

/// The least fuel that a request must have taken for the growth before it to count.
const COST_MIN: u64 = HANDSHAKE_FUEL / 50;

/// Holds when a plugin that runs out of fuel at more than an ordinary size had a constant or
/// falling cost per byte before. It is judged on four consecutive answered requests, each larger
/// than the one before, in cases of fewer than [`MANY_STEPS`]. Running out of fuel at an ordinary
/// size is left to [`PluginFault`](crate::check::plugin_fault::PluginFault), and on input that no
/// host sends to [`PluginLimit`](crate::check::plugin_limit::PluginLimit).
#[derive(Debug)]
pub struct LinearCost;

impl Check for LinearCost {
    fn name(&self) -> &'static str {
        "linear_cost"
    }

    fn nature(&self) -> Nature {
        Nature::Plugin
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        match end(record) {
            Some((index, cost)) if unusual(record, index).is_empty() => {
                vec![Violation::new(
                    &LinearCost,
                    record.steps[index].function,
                    cost,
                )]
            }
            _ => Vec::new(),
        }
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }

    fn severity(&self, _: &Violation) -> Severity {
        Severity::Warning
    }

    fn advice(&self, _: &Violation) -> Advice {
        Advice {
            meaning: "The fuel grows faster than the size of the request, so the plugin runs out of it on requests that it could answer.",
            action: "Look for a loop in a loop: a text that is searched or copied for each of its parts.",
        }
    }
}

/// Returns the index in the record of the request that ran out of fuel, if the cost of those before
/// it kept growing, and a description of the growth.
pub(crate) fn end(record: &CaseRecord) -> Option<(usize, String)> {
    let steps = plugin_steps(record);
    // Among many requests, the cost of some may grow by chance.
    if steps.len() >= MANY_STEPS {
        return None;
    }
    let is_end = |step: &StepRecord| step.call.cause == Some(Cause::OutOfFuel);
    let end = steps.iter().position(is_end)?;
    let failing = &steps[end];
    if is_ordinary(failing) {
        return None;
    }
    let before = &steps[end.saturating_sub(4)..end];
    let costs = before.iter().map(|step| cost(step, failing));
    let costs: Vec<_> = costs.collect::<Option<_>>()?;
    let growth = growth(&costs)?;
    let detail = format!(
        "out of fuel at {} bytes; before, from {} to {} to {} to {} bytes, each further byte took {growth}",
        failing.input().map_or(0, <[u8]>::len),
        costs[0].0,
        costs[1].0,
        costs[2].0,
        costs[3].0,
    );
    Some((end, detail))
}

/// Returns the size and the fuel of an answered request to the same function.
fn cost(step: &StepRecord, failing: &StepRecord) -> Option<(usize, u64)> {
    let answered = matches!(step.result.outcome(), Some(DispatchOutcome::Ok(_)));
    let same = step.function == failing.function;
    (answered && same).then_some((step.input()?.len(), step.call.fuel?))
}

/// Describes the cost of each additional byte, if it kept growing.
fn growth(costs: &[(usize, u64)]) -> Option<String> {
    let [.., last] = costs else {
        return None;
    };
    let more = costs.windows(2).map(|pair| {
        let bytes = pair[1]
            .0
            .checked_sub(pair[0].0)
            .filter(|bytes| *bytes > 0)?;
        let fuel = pair[1].1.checked_sub(pair[0].1)?;
        Some(fuel as f64 / bytes as f64)
    });
    let more: Vec<f64> = more.collect::<Option<_>>()?;
    let grows = more.windows(2).all(|pair| pair[1] > GROWTH_MAX * pair[0]);
    let counts = costs.len() == 4 && grows && last.1 >= COST_MIN;
    counts.then(|| {
        let more: Vec<String> = more.iter().map(|more| format!("{more:.0}")).collect();
        format!("{} fuel", more.join(", then "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_faster_than_its_size_is_told_from_what_does_not() {
        let of = |fuel: fn(f64) -> f64| {
            let sizes = [1_500, 2_500, 4_500, 8_500];
            growth(&sizes.map(|size| (size, fuel(size as f64) as u64)))
        };
        assert_eq!(of(|n| 50_000.0 + 300.0 * n), None);
        assert_eq!(of(|n| 30.0 * n * n.log2()), None);
        // The growth is too small to be the reason.
        assert_eq!(of(|n| 0.001 * n * n), None);
        assert_eq!(
            of(|n| 0.1 * n * n).as_deref(),
            Some("400, then 700, then 1300 fuel")
        );
        assert!(of(|n| 40.0 * n + 0.02 * n * n).is_some());
    }
}
