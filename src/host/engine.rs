//! The wasmtime engine of a plugin. It reserves address space for instances once, and each new
//! instance reuses that of the last. To map and unmap memory for each instance takes as long as
//! everything else that opening a session does.
//!
//! Bugs in this module look like a plugin that is refused for lack of address space, or an instance
//! that sees data of the previous one.

use std::num::NonZeroUsize;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::host::guard::limits::{MEMORY_MAX_PAGES, TABLE_MAX_ENTRIES, TABLES_MAX};

/// A session has one instance at a time. The second slot is for an instance that is not dropped
/// yet.
const INSTANCES: u32 = 2;

/// Extism's kernel, and the modules that Extism gets instead of a plugin: the guard, the plugin and
/// the front. Extism links them before it instantiates the front.
const MODULES: u32 = 5;

/// The memories of the kernel and the plugin, two of the guard, and one for the reference that
/// Extism keeps in each store.
const MEMORIES: u32 = 5;

/// The guard has two memories.
const MEMORIES_OF_A_MODULE: u32 = 2;

/// The most frames in a backtrace. A recursion of up to half as many functions is recognized.
const FRAMES_MAX: usize = 64;

/// The same for a metered copy, which stops in a function that has been running for long.
const METERED_FRAMES_MAX: usize = 256;

/// The bytes of a memory that are zeroed explicitly; the rest is returned to the operating system.
const KEPT_BYTES: usize = 1 << 14;

/// The most bytes that the runtime keeps of an instance besides memories and tables: far more than
/// a module that passes the guard needs. Nothing is reserved for it.
const INSTANCE_MAX_BYTES: usize = 1 << 28;

/// The address space that is reserved for a memory to grow, in bytes, beyond what it needs, if
/// address space is scarce. It is for Extism's kernel, whose memory may become larger than a
/// plugin's.
const GROWTH_BYTES: u64 = 1 << 20;

/// Returns the configuration of a plugin's engine, which Extism completes. The engine reserves 43
/// GB of address space.
pub(super) fn pooled(is_metered: bool) -> Config {
    // The meter is one more module, with one memory.
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

/// Returns a configuration for a process without that much address space: each instance reserves
/// what it may need, and takes longer to create and to run.
pub(super) fn small(is_metered: bool) -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        // A memory that moves is copied each time it grows, and no timeout interrupts that.
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

/// Returns whether this process lacks the address space that [`pooled`] reserves.
pub(super) fn has_no_room_for_the_pool() -> bool {
    Engine::new(&pooled(false)).is_err()
}

/// Adds to an error for lack of address space that the process is limited, which is not the
/// plugin's fault.
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

/// Returns the limit of this process's address space, in bytes, or `None` if there is no limit or
/// it is unknown.
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
