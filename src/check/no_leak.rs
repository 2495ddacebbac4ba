//! `no_leak`: a closed session leaves no memory behind. A violation makes a host that runs for
//! weeks run out of memory.

use super::{Advice, Check, MEMORY_ADVICE, Violation};
use crate::case::Depth;
use crate::record::CaseRecord;

/// The most bytes that a round of the leak check may leave behind: caches fill up, and memory is
/// allocated in pages.
pub const ROUND_MAX_BYTES: u64 = 256 << 10;

/// Holds unless the resident memory grows by more than [`ROUND_MAX_BYTES`] in every round of
/// repeated runs of the case.
#[derive(Debug)]
pub struct NoLeak;

impl Check for NoLeak {
    fn name(&self) -> &'static str {
        "no_leak"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let (Some(leak_check), Some(step)) = (&record.leak_check, record.steps.last()) else {
            return Vec::new();
        };
        let least = leak_check.growth.iter().copied().min().unwrap_or(0);
        if least <= ROUND_MAX_BYTES {
            return Vec::new();
        }
        let detail = format!(
            "each {} runs of the case left {} KiB or more behind",
            leak_check.repeats,
            least >> 10
        );
        vec![Violation::new(&NoLeak, step.function, detail)]
    }

    fn is_measurement(&self) -> bool {
        true
    }

    fn depth(&self) -> Depth {
        Depth::LeakCheck
    }

    fn advice(&self, _: &Violation) -> Advice {
        MEMORY_ADVICE
    }
}
