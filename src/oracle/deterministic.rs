//! `deterministic`: the same case on a fresh session comes to the same. A violation makes findings that
//! cannot be replayed.

use super::within_memory::excess;
use super::{Oracle, Violation, quote};
use crate::observation::CaseRecord;

/// Holds when two fresh sessions agree on the case. Where the clock had a say they need not.
#[derive(Debug)]
pub struct Deterministic;

impl Oracle for Deterministic {
    fn name(&self) -> &'static str {
        "deterministic"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let [one, other] = &record.fresh[..] else {
            return Vec::new();
        };
        if record.met_the_wall() || excess(record).is_some() {
            return Vec::new();
        }
        let pairs = record.steps.iter().zip(one.iter().zip(other));
        let differ = pairs.filter(|(_, (one, other))| one != other);
        differ
            .map(|(step, (one, other))| {
                Violation::new(
                    self,
                    step.function,
                    format!(
                        "came to {} on one fresh session and to {} on another",
                        quote(one),
                        quote(other)
                    ),
                )
            })
            .collect()
    }
}
