//! `within_memory`: a plugin has a bounded amount of memory. A violation lets one plugin starve the machine.

use super::{Oracle, Violation};
use crate::host::guard::MEMORY_MAX_PAGES;
use crate::observation::{CaseRecord, Subject};

/// What all but the plugins' own memories may take, in bytes.
const ALL_ELSE_BYTES: u64 = 32 << 20;

/// How much memory a case may take, in bytes: a plugin's memory, and 32 MiB for all else. A case is compared with a
/// fresh session beside the one that is open; the puppet's is closed before that if it is large, but of any other plugin
/// there may be two.
pub fn memory_max_bytes(subject: Subject) -> u64 {
    let sessions = match subject {
        Subject::Puppet => 1,
        Subject::Plugin => 2,
    };
    sessions * (MEMORY_MAX_PAGES << 16) + ALL_ELSE_BYTES
}

/// What the case took, without what its answers take in the record, where that is too much. A host that has no memory left fails in every way, which is no matter of
/// other checks.
pub(super) fn excess(record: &CaseRecord) -> Option<u64> {
    let memory = record.memory?;
    let own = memory.baseline + memory.answers;
    let taken = memory.peak.saturating_sub(own);
    (memory.peak > memory.before && taken > memory_max_bytes(record.subject)).then_some(taken)
}

/// Holds when the case did not raise the process's memory by more than [`memory_max_bytes`] above what it was
/// before the first one, and what reading its answers takes. It takes a [worker](crate::campaign::Workers), where memory is measured.
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
        let (taken, most) = (taken >> 20, memory_max_bytes(record.subject) >> 20);
        let detail = format!("the case took {taken} MiB of memory; the limit is {most} MiB");
        vec![Violation::new(self, step.function, detail)]
    }

    fn is_measurement(&self) -> bool {
        true
    }
}
