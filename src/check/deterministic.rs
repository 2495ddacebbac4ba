//! `deterministic`: the same case has the same results on every fresh session. A violation produces
//! findings that cannot be replayed.

use super::within_memory::excess;
use super::{Check, Nature, Violation, quote};
use crate::case::Depth;
use crate::record::CaseRecord;

/// Holds when two fresh sessions have the same results for the case. They may differ if a time
/// limit was involved.
#[derive(Debug)]
pub struct Deterministic;

impl Check for Deterministic {
    fn name(&self) -> &'static str {
        "deterministic"
    }

    fn nature(&self) -> Nature {
        Nature::Agreement
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let [one, other] = &record.fresh_session[..] else {
            return Vec::new();
        };
        if record.hit_time_limit() || excess(record).is_some() {
            return Vec::new();
        }
        let pairs = record.steps.iter().zip(one.iter().zip(other));
        let differ = pairs.filter(|(_, (one, other))| one != other);
        differ
            .map(|(step, (one, other))| {
                Violation::new(
                    &Deterministic,
                    step.function,
                    format!(
                        "returned {} on one fresh session and {} on another",
                        quote(one),
                        quote(other)
                    ),
                )
            })
            .collect()
    }

    fn depth(&self) -> Depth {
        Depth::Thorough
    }
}
