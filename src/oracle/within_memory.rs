//! `within_memory`: a plugin has a bounded amount of memory. A violation lets one plugin starve the machine.

use super::{Oracle, Violation};
use crate::host::guard::MEMORY_MAX_PAGES;
use crate::observation::CaseRecord;

/// How much memory a case may take, in bytes: two sessions' memories, for that is how many are open at a time, and
/// 32 MiB for all else.
pub const MEMORY_MAX_BYTES: u64 = 2 * (MEMORY_MAX_PAGES << 16) + (32 << 20);

/// What the case took where that is too much. A host that has no memory left fails in every way, which is no matter of
/// other checks.
pub(super) fn excess(record: &CaseRecord) -> Option<u64> {
    let memory = record.memory?;
    let taken = memory.peak.saturating_sub(memory.baseline);
    (memory.peak > memory.before && taken > MEMORY_MAX_BYTES).then_some(taken)
}

/// Holds when the case did not raise the process's memory by more than [`MEMORY_MAX_BYTES`] above what it was
/// before the first one. It takes a [worker](crate::campaign::Workers), where memory is measured.
#[derive(Debug)]
pub struct WithinMemory;

impl Oracle for WithinMemory {
    fn name(&self) -> &'static str {
        "within_memory"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let (Some(taken), Some(step)) = (excess(record), record.steps.last()) else {
            return Vec::new();
        };
        let (taken, most) = (taken >> 20, MEMORY_MAX_BYTES >> 20);
        let detail = format!("the case took {taken} MiB of memory; the limit is {most} MiB");
        vec![Violation::new(self, step.function, detail)]
    }

    fn is_measurement(&self) -> bool {
        true
    }
}
