//! `no_drift`: the same request costs the same, however often it was made. A violation is a plugin
//! that keeps accumulating data, and will run out of fuel or memory one day.

use std::collections::{BTreeMap, BTreeSet};

use super::plugin_steps::plugin_steps;
use super::{Advice, Check, Nature, Severity, Violation};
use crate::case::{Depth, MANY_STEPS};
use crate::host::DispatchOutcome;
use crate::record::{CaseRecord, StepRecord};
use crate::wire::Function;

/// The growth of a call's fuel that is always allowed.
const GROWTH_MIN: u64 = 32;

/// A call must grow by more than one part in this many of its fuel to count.
const GROWTH_PART: u64 = 50;

/// The class of growing memory.
const MEMORY: &str = "memory";

/// Holds when neither the fuel nor the memory of a plugin grows with the number of equal requests.
/// It is judged from [`MANY_STEPS`] requests on; for memory, different requests may also alternate.
/// Growth that ends, such as that of a bounded cache, is not drift, nor are occasional costs, such
/// as moving a list that grew.
#[derive(Debug)]
pub struct NoDrift;

/// The function and the input of a request.
type Key<'r> = (&'static str, Option<&'r [u8]>);

impl Check for NoDrift {
    fn name(&self) -> &'static str {
        "no_drift"
    }

    fn nature(&self) -> Nature {
        Nature::PluginDrift
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let steps = plugin_steps(record);
        if steps.len() < MANY_STEPS {
            return Vec::new();
        }
        let mut of_requests: BTreeMap<Key<'_>, Vec<&StepRecord>> = BTreeMap::new();
        for step in steps {
            if matches!(step.result.outcome(), Some(DispatchOutcome::Ok(_))) {
                of_requests.entry(key(step)).or_default().push(step);
            }
        }
        let fuel = of_requests.values().find_map(|calls| drift_of_fuel(calls));
        fuel.into_iter().chain(drift_of_memory(steps)).collect()
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }

    fn severity(&self, _: &Violation) -> Severity {
        Severity::Warning
    }

    fn advice(&self, violation: &Violation) -> Advice {
        if violation.class == MEMORY {
            Advice {
                meaning: "The same request takes more memory each time, until the limit of 64 MiB is reached.",
                action: "Look for data that each call keeps and that is never freed.",
            }
        } else {
            Advice {
                meaning: "The same request takes more fuel each time.",
                action: "Look for a list or table that each call extends and then searches.",
            }
        }
    }
}

fn key(step: &StepRecord) -> Key<'_> {
    (step.function.label, step.input())
}

fn drift_of_fuel(calls: &[&StepRecord]) -> Option<Violation> {
    let fuel: Vec<u64> = calls.iter().filter_map(|step| step.call.fuel).collect();
    let (first, last) = drift(&fuel)?;
    let detail = format!(
        "one of the first calls took {first} fuel, one of the last of {} took {last}",
        fuel.len()
    );
    Some(Violation::new(&NoDrift, calls.first()?.function, detail).with_class("fuel"))
}

fn drift_of_memory(calls: &[StepRecord]) -> Option<Violation> {
    let quarter = calls.len().div_ceil(4);
    let (first_quarter, others) = calls.split_at(quarter);
    let requests: BTreeSet<_> = first_quarter.iter().map(key).collect();
    // A larger request that was not seen before may rightly take more memory.
    if others.iter().any(|step| !requests.contains(&key(step))) {
        return None;
    }
    let memory = calls.iter().map(|step| step.guest_memory);
    let memory = memory.collect::<Option<Vec<u64>>>()?;
    // A fresh instance has to allocate its memory again.
    if !memory.is_sorted() {
        return None;
    }
    let at_ends = memory
        .chunks(quarter)
        .filter_map(|part| part.last().copied());
    let at_ends: Vec<u64> = at_ends.collect();
    // A list that is moved when it doubles grows in only one of the last two quarters.
    let [first, second, .., last] = at_ends[..] else {
        return None;
    };
    let detail = format!(
        "after a quarter of {} calls the plugin had {} KiB of memory, after half of them {} KiB, at the end {} KiB",
        calls.len(),
        first >> 10,
        second >> 10,
        last >> 10
    );
    let grows = first < second && second < last;
    grows.then(|| Violation::new(&NoDrift, grower(calls), detail).with_class(MEMORY))
}

/// Returns the function whose calls took the most memory, without the first call.
fn grower(calls: &[StepRecord]) -> &'static Function {
    let mut took: BTreeMap<&str, u64> = BTreeMap::new();
    for pair in calls.windows(2) {
        let [before, after] = [&pair[0], &pair[1]].map(|step| step.guest_memory.unwrap_or(0));
        *took.entry(pair[1].function.label).or_default() += after.saturating_sub(before);
    }
    let most = took.iter().max_by_key(|(_, took)| **took);
    let is_it = |step: &&StepRecord| most.is_some_and(|(label, _)| step.function.label == *label);
    calls.iter().find(is_it).unwrap_or(&calls[0]).function
}

/// Returns the fuel of one of the first and of one of the last calls, if the fuel grew from quarter
/// to quarter and the growth does not seem to end.
fn drift(fuel: &[u64]) -> Option<(u64, u64)> {
    if fuel.len() < MANY_STEPS {
        return None;
    }
    // The first call may set things up.
    let fuel = &fuel[1..];
    let quarters: Vec<u64> = fuel.chunks(fuel.len().div_ceil(4)).map(median).collect();
    let (first, last) = (*quarters.first()?, *quarters.last()?);
    let steady = quarters.is_sorted_by(|one, next| one < next);
    let growth = last.saturating_sub(first);
    let early = quarters[1].saturating_sub(first);
    let late = last.saturating_sub(quarters[quarters.len() - 2]);
    let counts = growth >= GROWTH_MIN.max(first / GROWTH_PART);
    (steady && counts && 2 * late >= early).then_some((first, last))
}

fn median(of: &[u64]) -> u64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fuel: impl Fn(u64) -> u64) -> Option<(u64, u64)> {
        drift(&(0..256).map(fuel).collect::<Vec<_>>())
    }

    #[test]
    fn what_grows_with_every_call_drifts_and_what_fills_up_or_comes_now_and_then_does_not() {
        assert!(of(|call| 10_000 + 40 * call).is_some());
        assert!(of(|call| 10_000 + call * call).is_some());
        assert_eq!(of(|_| 10_000), None);
        // A counter that is written with ever more digits.
        assert_eq!(
            of(|call| 10_000 + 50 * u64::from(call.max(1).ilog10())),
            None
        );
        // A cache of 100 entries.
        assert_eq!(of(|call| 10_000 + 40 * call.min(100)), None);
        // A list that is moved when it doubles.
        let doubles = |call: u64| 10_000 + if call.is_power_of_two() { 30 * call } else { 0 };
        assert_eq!(of(doubles), None);
        // A round robin of three.
        assert_eq!(of(|call| 10_000 + 500 * (call % 3)), None);
    }
}
