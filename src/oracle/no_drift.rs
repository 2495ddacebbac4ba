//! `no_drift`: the same request costs the same, however often it was made. A violation is a plugin that keeps ever
//! more, and one day runs out of fuel or memory.

use std::collections::{BTreeMap, BTreeSet};

use super::{Oracle, Violation, plugin_steps};
use crate::host::DispatchOutcome;
use crate::observation::{CaseRecord, MANY_STEPS, StepRecord};
use crate::wire::Function;

/// By so many calls the fuel of one may grow, whatever it is.
const GROWTH_MIN: u64 = 32;

/// The part of its fuel by which a call must grow to count: one in so much.
const GROWTH_PART: u64 = 50;

/// Holds when neither the fuel nor the memory of a plugin grows with the number of equal requests, which must be
/// [`MANY_STEPS`] to be judged; for its memory, requests may also take turns. What fills up, such as a cache of bounded
/// size, is no drift, nor is what comes now and then, such as moving a list that grew.
#[derive(Debug)]
pub struct NoDrift;

/// The function and the input of a request.
type Key<'r> = (&'static str, Option<&'r [u8]>);

impl Oracle for NoDrift {
    fn name(&self) -> &'static str {
        "no_drift"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let steps = plugin_steps(record);
        if steps.len() < MANY_STEPS {
            return Vec::new();
        }
        let mut of_requests: BTreeMap<Key<'_>, Vec<&StepRecord>> = BTreeMap::new();
        for step in steps {
            if matches!(step.reaction.outcome(), Some(DispatchOutcome::Ok(_))) {
                of_requests.entry(key(step)).or_default().push(step);
            }
        }
        let fuel = of_requests.values().find_map(|calls| self.fuel(calls));
        fuel.into_iter().chain(self.memory(steps)).collect()
    }
}

fn key(step: &StepRecord) -> Key<'_> {
    (step.function.label, step.input())
}

impl NoDrift {
    fn fuel(&self, calls: &[&StepRecord]) -> Option<Violation> {
        let fuel: Vec<u64> = calls.iter().filter_map(|step| step.call.fuel).collect();
        let (first, last) = drift(&fuel)?;
        let detail = format!(
            "one of the first calls took {first} fuel, one of the last of {} took {last}",
            fuel.len()
        );
        Some(Violation::new(self, calls.first()?.function, detail).with_class("fuel"))
    }

    fn memory(&self, calls: &[StepRecord]) -> Option<Violation> {
        let quarter = calls.len().div_ceil(4);
        let (first_quarter, others) = calls.split_at(quarter);
        let requests: BTreeSet<_> = first_quarter.iter().map(key).collect();
        // A request that was not seen before, and is larger, may rightly take more memory.
        if others.iter().any(|step| !requests.contains(&key(step))) {
            return None;
        }
        let memory = calls.iter().map(|step| step.guest_memory);
        let memory = memory.collect::<Option<Vec<u64>>>()?;
        // A fresh instance has to take again what it had.
        if !memory.is_sorted() {
            return None;
        }
        let at_ends = memory
            .chunks(quarter)
            .filter_map(|part| part.last().copied());
        let at_ends: Vec<u64> = at_ends.collect();
        // A list that is moved when it doubles grows in one half of the second half only.
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
        grows.then(|| Violation::new(self, grower(calls), detail).with_class("memory"))
    }
}

/// The function whose calls took most memory, but for the first call.
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

/// The fuel of one of the first and of one of the last calls, if it grew from quarter to quarter and does not seem to end.
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
