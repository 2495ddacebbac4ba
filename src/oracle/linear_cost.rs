//! `linear_cost`: a request of twice the size takes no more than about twice the fuel. A violation is a plugin that
//! goes over a part of the request again and again, and fails where a plain one would not.

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;

use super::plugin_fault::is_ordinary;
use super::plugin_limit::unusual;
use super::{Oracle, Violation, plugin_steps};
use crate::host::{Cause, DispatchOutcome};
use crate::observation::{CaseRecord, MANY_STEPS, StepRecord};

/// By how much what a byte more costs may grow from size to size.
const GROWTH_MAX: f64 = 1.4;

/// What a request must have cost, in fuel, for the growth before it to count.
const COST_MIN: u64 = HANDSHAKE_FUEL / 50;

/// Holds when a plugin that runs out of fuel, at more than an ordinary size, took about the same for each byte before,
/// or less and less. It is judged on four requests in a row that were answered, each larger than the one before, in cases
/// of fewer than [`MANY_STEPS`]. At an ordinary size, running out of fuel is [`PluginFault`](super::PluginFault)'s matter,
/// and on what no host sends [`PluginLimit`](super::PluginLimit)'s.
#[derive(Debug)]
pub struct LinearCost;

impl Oracle for LinearCost {
    fn name(&self) -> &'static str {
        "linear_cost"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        match end(record) {
            Some((place, cost)) if unusual(record, place).is_empty() => {
                vec![Violation::new(self, record.steps[place].function, cost)]
            }
            _ => Vec::new(),
        }
    }
}

/// The request that was too large, by its place in the record, where the cost of those before it grew and grew; and how.
pub(super) fn end(record: &CaseRecord) -> Option<(usize, String)> {
    let steps = plugin_steps(record);
    // Among many requests some may grow by chance.
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

/// The size and the fuel of a request to the same function that was answered.
fn cost(step: &StepRecord, failing: &StepRecord) -> Option<(usize, u64)> {
    let answered = matches!(step.reaction.outcome(), Some(DispatchOutcome::Ok(_)));
    let same = step.function == failing.function;
    (answered && same).then_some((step.input()?.len(), step.call.fuel?))
}

/// What each further byte took, in words, if that grew and grew.
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
        // Too little to be the reason.
        assert_eq!(of(|n| 0.001 * n * n), None);
        assert_eq!(
            of(|n| 0.1 * n * n).as_deref(),
            Some("400, then 700, then 1300 fuel")
        );
        assert!(of(|n| 40.0 * n + 0.02 * n * n).is_some());
    }
}
