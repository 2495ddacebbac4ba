//! The engine that a plugin runs on: where its instances live is reserved once, and a new one takes the place of the last.
//! Mapping memory for each instance, and giving it back, takes as long as all the rest of opening one.
//!
//! A discrepancy here is a plugin that is refused for want of room, or an instance that finds what the last one left.

use std::num::NonZeroUsize;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::guard::{MEMORY_MAX_PAGES, TABLE_MAX_ENTRIES, TABLES_MAX};

/// A session has one instance at a time. There is room for a second one, should the first be still about to go.
const INSTANCES: u32 = 2;

/// Extism's kernel, and what Extism gets instead of a plugin: the guard, the plugin and the front, which it links before it
/// makes the one that it calls.
const MODULES: u32 = 5;

/// Those of the kernel, the plugin, and two of the guard, and one for the reference that Extism keeps in each store.
const MEMORIES: u32 = 5;

/// The guard has two.
const MEMORIES_OF_A_MODULE: u32 = 2;

/// So many of the functions that were running when a call trapped are told. A recursion of half as many functions shows.
const FRAMES_MAX: usize = 64;

/// The same of a copy that is metered, which stops where it has been running for long.
const METERED_FRAMES_MAX: usize = 256;

/// What is zeroed of a memory by hand, in bytes. The rest goes back to the system.
const KEPT_BYTES: usize = 1 << 14;

/// The most that the runtime keeps of an instance beside its memories and tables, in bytes: far more than what the guard
/// lets through may need. Nothing is reserved for it.
const INSTANCE_MAX_BYTES: usize = 1 << 28;

/// By so much more than it needs a memory is reserved for growing, in bytes, where room is scarce: that of Extism's kernel, which
/// may become larger than a plugin's.
const GROWTH_BYTES: u64 = 1 << 20;

/// The configuration of a plugin's engine; Extism adds to it what it needs. It reserves 43 GB of addresses.
pub(super) fn pooled(is_metered: bool) -> Config {
    // The meter is a module more, with a memory.
    let meters = u32::from(is_metered);
    let modules = MODULES + meters;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(INSTANCES * modules)
        .max_core_instance_size(INSTANCE_MAX_BYTES)
        .total_memories(INSTANCES * (MEMORIES + meters))
        .max_memories_per_module(MEMORIES_OF_A_MODULE)
        .linear_memory_keep_resident(KEPT_BYTES)
        .total_tables(INSTANCES * (modules + TABLES_MAX))
        .max_tables_per_module(TABLES_MAX)
        .table_elements(TABLE_MAX_ENTRIES as usize)
        .table_keep_resident(KEPT_BYTES)
        // Extism keeps a reference in each store.
        .total_gc_heaps(INSTANCES)
        .total_stacks(0)
        .total_component_instances(0);
    let mut config = Config::new();
    config.allocation_strategy(pool);
    config.wasm_backtrace_max_frames(frames(is_metered));
    config
}

/// The same for a process that has no such room: each instance reserves what it may need, and takes longer to make and to run.
pub(super) fn small(is_metered: bool) -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        // A memory that moves is copied as often as it grows, which no clock ends.
        .memory_reservation(MEMORY_MAX_PAGES << 16)
        .memory_reservation_for_growth(GROWTH_BYTES)
        .memory_guard_size(0)
        .wasm_backtrace_max_frames(frames(is_metered));
    config
}

fn frames(is_metered: bool) -> Option<NonZeroUsize> {
    NonZeroUsize::new(if is_metered {
        METERED_FRAMES_MAX
    } else {
        FRAMES_MAX
    })
}

/// Whether this process has no room for what [`pooled`] reserves.
pub(super) fn has_no_room_for_the_pool() -> bool {
    Engine::new(&pooled(false)).is_err()
}

/// Says, where something failed for want of addresses, that the process is limited: that is nothing of the plugin's.
pub(super) fn explain(reason: String) -> String {
    const FOR_WANT_OF_ADDRESSES: [&str; 3] =
        ["mmap failed", "os error 12", "Cannot allocate memory"];
    let of_addresses = FOR_WANT_OF_ADDRESSES
        .iter()
        .any(|words| reason.contains(words));
    match address_space() {
        Some(bytes) if of_addresses => format!(
            "the address space of this process is limited to {} MiB, too little to run plugins in, whichever it is: raise \
             the limit (`ulimit -v`): {reason}",
            bytes >> 20
        ),
        _ => reason,
    }
}

/// How large the address space of this process may be, in bytes; `None` where it is not limited, or nobody can tell.
fn address_space() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
        let (limit, _) = getrlimit(Resource::RLIMIT_AS).ok()?;
        (limit != RLIM_INFINITY).then_some(limit)
    }
    #[cfg(not(target_os = "linux"))]
    None
}
