//! Measurement of memory. Only the whole process is measured, so the memory of a dispatch is only
//! known in a process that does nothing else, such as a [worker](crate::worker::Workers).

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use crate::host::{Call, DispatchOutcome};
use crate::record::{CaseRecord, Outcome, StepResult};

/// The most bytes that an allocation takes besides its content: its header and padding.
const ALLOCATION: usize = 24;

/// The entries of a B-tree node, and the fewest entries in a node other than the root.
const NODE_ENTRIES: usize = 11;
const NODE_ENTRIES_MIN: usize = 5;

/// Returns an upper bound of the bytes that a JSON value takes as a tree: many times its text, if
/// it has many small parts.
pub(crate) fn of_tree(value: &Value) -> usize {
    let beside = match value {
        Value::String(text) => text.len() + ALLOCATION,
        // A list that has grown may have twice the capacity.
        Value::Array(items) => {
            let room = 2 * items.len() * size_of::<Value>() + ALLOCATION;
            room + items.iter().map(of_tree).sum::<usize>()
        }
        Value::Object(fields) if !fields.is_empty() => {
            let node = NODE_ENTRIES * (size_of::<String>() + size_of::<Value>()) + 2 * ALLOCATION;
            let nodes = match fields.len() {
                1..=NODE_ENTRIES => 1,
                more => more / NODE_ENTRIES_MIN + 1,
            };
            let fields = fields
                .iter()
                .map(|(key, value)| key.len() + ALLOCATION + of_tree(value));
            nodes * node + fields.sum::<usize>()
        }
        _ => 0,
    };
    beside + size_of::<Value>()
}

fn of_outcome(outcome: &Outcome) -> usize {
    match outcome {
        DispatchOutcome::Ok(answer) => of_tree(answer),
        DispatchOutcome::Fallback(_) => 0,
    }
}

/// Returns the bytes that the answer of a dispatch takes, as in [`of_tree`].
pub(crate) fn of_result(result: &StepResult) -> usize {
    result.outcome().map_or(0, of_outcome)
}

/// The bytes that a record holds in answers. Shared allocations count once.
#[derive(Default)]
struct Held {
    bytes: usize,
    counted: HashSet<*const ()>,
}

impl Held {
    fn text(&mut self, text: Option<&Arc<[u8]>>) {
        if let Some(text) = text
            && self.counted.insert(Arc::as_ptr(text).cast())
        {
            self.bytes += text.len();
        }
    }

    fn call(&mut self, call: &Call) {
        self.text(call.input.as_ref());
        self.text(call.output.as_ref());
    }

    fn result(&mut self, result: &StepResult) {
        if let StepResult::Outcome(outcome) = result
            && self.counted.insert(Arc::as_ptr(outcome).cast())
        {
            self.bytes += of_outcome(outcome);
        }
    }
}

/// Returns an upper bound of the bytes that it takes to hold the answers of a record and to parse
/// the largest of them.
pub(crate) fn of_answers(record: &CaseRecord) -> usize {
    let mut held = Held::default();
    for step in &record.steps {
        held.result(&step.result);
        held.call(&step.call);
        held.text(step.expected_input.as_ref());
    }
    for probe in &record.probes {
        held.result(&probe.result);
        held.result(&probe.fresh_session);
        held.call(&probe.call);
    }
    record
        .fresh_session
        .iter()
        .flatten()
        .for_each(|fresh| held.result(fresh));
    let reference = record.reference.iter().flatten().map(of_outcome);
    held.bytes + reference.sum::<usize>() + READERS * of_the_largest(record)
}

/// How many copies of an answer exist while it is parsed, besides those in the record: its text,
/// the host's tree, one with shortened texts, and the response, some of them partial.
const READERS: usize = 4;

fn of_the_largest(record: &CaseRecord) -> usize {
    let steps = record
        .distinct_steps()
        .map(|(_, step)| (&step.result, &step.call));
    let probes = record.probes.iter().map(|p| (&p.result, &p.call));
    let read = steps.chain(probes).map(|(result, call)| {
        match (result.outcome(), &call.output) {
            // The host parsed it too, if not to the end.
            (Some(DispatchOutcome::Fallback(_)), Some(output)) => {
                let tree = serde_json::from_slice(output);
                tree.map_or(0, |tree: Value| of_tree(&tree))
            }
            _ => of_result(result),
        }
    });
    read.max().unwrap_or(0)
}

/// Returns the peak resident memory of the process, in bytes, or `None` if the system does not
/// report it.
pub fn peak() -> Option<u64> {
    // On Linux, `getrusage` starts with the peak of the parent process.
    if cfg!(target_os = "linux") {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        return Some(kib << 10);
    }
    #[cfg(unix)]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let peak = u64::try_from(usage.max_rss()).ok()?;
        // macOS reports bytes, other systems KiB.
        Some(if cfg!(target_os = "macos") {
            peak
        } else {
            peak << 10
        })
    }
    #[cfg(not(unix))]
    None
}

/// Returns the resident memory of the process, in bytes, or `None` if the system does not report
/// it.
pub fn resident() -> Option<u64> {
    // Pages of the process: all, resident, …
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size()?)
}

fn page_size() -> Option<u64> {
    #[cfg(unix)]
    {
        use nix::unistd::{SysconfVar, sysconf};
        u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()
    }
    #[cfg(not(unix))]
    None
}
