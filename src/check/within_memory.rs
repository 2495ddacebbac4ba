//! `within_memory`: the memory of a plugin is bounded. A violation lets one plugin starve the
//! machine.

use super::{Advice, Check, MEMORY_ADVICE, Nature, Violation};
use crate::case::Depth;
use crate::host::guard::MEMORY_MAX_PAGES;
use crate::record::{CaseRecord, Subject};

/// The bytes that everything other than the plugins' own memories may take.
const ALL_ELSE_BYTES: u64 = 32 << 20;

/// Returns the most bytes that a case may take: a plugin's memory, and 32 MiB for everything else.
/// A case is compared with a fresh session while the first one is open. A large session of the
/// puppet is closed before that, but of any other plugin there may be two.
pub fn memory_max_bytes(subject: Subject) -> u64 {
    let sessions = match subject {
        Subject::Puppet => 1,
        Subject::Plugin => 2,
    };
    sessions * (MEMORY_MAX_PAGES << 16) + ALL_ELSE_BYTES
}

/// Returns the bytes that the case took, without those of its answers in the record, if that is too
/// much. A host without memory fails in many ways, which other checks must not report.
pub(crate) fn excess(record: &CaseRecord) -> Option<u64> {
    let memory = record.memory?;
    let own = memory.baseline + memory.answers;
    let taken = memory.peak.saturating_sub(own);
    (memory.peak > memory.before && taken > memory_max_bytes(record.subject)).then_some(taken)
}

/// Holds when the case does not raise the process's memory by more than [`memory_max_bytes`], above
/// its level before the first case and the memory for reading the answers. It needs a
/// [worker](crate::worker::Workers), which measures memory.
#[derive(Debug)]
pub struct WithinMemory;

impl Check for WithinMemory {
    fn name(&self) -> &'static str {
        "within_memory"
    }

    fn nature(&self) -> Nature {
        Nature::PeakMemory
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let (Some(taken), Some(step)) = (excess(record), record.steps.last()) else {
            return Vec::new();
        };
        let (taken, most) = (taken >> 20, memory_max_bytes(record.subject) >> 20);
        let detail = format!("the case took {taken} MiB of memory; the limit is {most} MiB");
        vec![Violation::new(&WithinMemory, step.function, detail)]
    }

    fn is_measurement(&self) -> bool {
        true
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }

    fn advice(&self, _: &Violation) -> Advice {
        MEMORY_ADVICE
    }
}
