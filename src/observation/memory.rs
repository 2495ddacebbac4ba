//! How much memory the process has. It is the whole process that is measured, so only a process that does
//! nothing else can tell what a dispatch took: a [worker](crate::campaign::Workers).

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::{CaseRecord, Outcome, Reaction};
use crate::host::{Call, DispatchOutcome};

/// What an allocation takes beside what it is for, in bytes, at most: its header, and rounding up.
const ALLOCATION: usize = 24;

/// The entries of a node of a map, and how many there are in one at least, but for the first.
const NODE_ENTRIES: usize = 11;
const NODE_ENTRIES_MIN: usize = 5;

/// How many bytes a JSON value takes as a tree, at most: many times its text, where it has many small parts.
pub(super) fn of_tree(value: &Value) -> usize {
    let beside = match value {
        Value::String(text) => text.len() + ALLOCATION,
        // Room for as many again, for a list that has grown.
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

/// How many bytes the answer takes that a dispatch came to.
pub(super) fn of_reaction(reaction: &Reaction) -> usize {
    reaction.outcome().map_or(0, of_outcome)
}

/// What a record holds of answers, in bytes. What several steps share counts once.
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

    fn reaction(&mut self, reaction: &Reaction) {
        if let Reaction::Outcome(outcome) = reaction
            && self.counted.insert(Arc::as_ptr(outcome).cast())
        {
            self.bytes += of_outcome(outcome);
        }
    }
}

/// How many bytes it takes at most to hold the answers of a record, and to read the largest of them.
pub(super) fn of_answers(record: &CaseRecord) -> usize {
    let mut held = Held::default();
    for step in &record.steps {
        held.reaction(&step.reaction);
        held.call(&step.call);
        held.text(step.expected_input.as_ref());
    }
    for probe in &record.probes {
        held.reaction(&probe.reaction);
        held.reaction(&probe.fresh);
        held.call(&probe.call);
    }
    record
        .fresh
        .iter()
        .flatten()
        .for_each(|fresh| held.reaction(fresh));
    let reference = record.reference.iter().flatten().map(of_outcome);
    held.bytes + reference.sum::<usize>() + READERS * of_the_largest(record)
}

/// So many times an answer is there while it is read, beside what is kept: as its text, the host's tree, another with
/// short texts, the response, and what there is of one that it makes of the other.
const READERS: usize = 4;

fn of_the_largest(record: &CaseRecord) -> usize {
    let steps = record
        .distinct_steps()
        .map(|(_, step)| (&step.reaction, &step.call));
    let probes = record.probes.iter().map(|p| (&p.reaction, &p.call));
    let read = steps.chain(probes).map(|(reaction, call)| {
        match (reaction.outcome(), &call.output) {
            // It was read, too, but for its end.
            (Some(DispatchOutcome::Fallback(_)), Some(output)) => {
                let tree = serde_json::from_slice(output);
                tree.map_or(0, |tree: Value| of_tree(&tree))
            }
            _ => of_reaction(reaction),
        }
    });
    read.max().unwrap_or(0)
}

/// The most memory that the process has had resident, in bytes; `None` where the system does not tell.
pub fn peak() -> Option<u64> {
    // What Linux counts for `getrusage` begins with the most that the parent had.
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
        // macOS counts bytes, the others KiB.
        Some(if cfg!(target_os = "macos") {
            peak
        } else {
            peak << 10
        })
    }
    #[cfg(not(unix))]
    None
}

/// The memory that the process has resident, in bytes; `None` where the system does not tell.
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
