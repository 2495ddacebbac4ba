//! `no_leak`: a session that is closed leaves nothing behind. A violation makes a host that runs for weeks run
//! out of memory.

use super::{Oracle, Violation};
use crate::observation::CaseRecord;

/// What a round of a soak may leave behind, in bytes: caches fill up, and memory is given out by the page.
pub const ROUND_MAX_BYTES: u64 = 256 << 10;

/// Holds when the resident memory does not grow by more than [`ROUND_MAX_BYTES`] in every round in which the case
/// ran again and again.
#[derive(Debug)]
pub struct NoLeak;

impl Oracle for NoLeak {
    fn name(&self) -> &'static str {
        "no_leak"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let (Some(soak), Some(step)) = (&record.soak, record.steps.last()) else {
            return Vec::new();
        };
        let least = soak.growth.iter().copied().min().unwrap_or(0);
        if least <= ROUND_MAX_BYTES {
            return Vec::new();
        }
        let detail = format!(
            "each {} runs of the case left {} KiB or more behind",
            soak.repeats,
            least >> 10
        );
        vec![Violation::new(self, step.function, detail)]
    }

    fn is_measurement(&self) -> bool {
        true
    }
}
