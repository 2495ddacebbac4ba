//! The engine that a plugin runs on: where its instances live is reserved once, and a new one takes the place of the last.
//! Mapping memory for each instance, and giving it back, takes as long as all the rest of opening one.
//!
//! A discrepancy here is a plugin that is refused for want of room, or an instance that finds what the last one left.

use std::num::NonZeroUsize;

use wasmtime::{Config, PoolingAllocationConfig};

use super::guard::{TABLE_MAX_ENTRIES, TABLES_MAX};

/// A session has one instance at a time. There is room for a second one, should the first be still about to go.
const INSTANCES: u32 = 2;

/// Extism's kernel, and what Extism gets instead of a plugin: the guard, the plugin and the front.
const MODULES: u32 = 4;

/// So many of the functions that were running when a call trapped are told. A recursion of half as many functions shows.
const FRAMES_MAX: usize = 64;

/// The same of a copy that is metered, which stops where it has been running for long.
const METERED_FRAMES_MAX: usize = 256;

/// What is zeroed of a memory by hand, in bytes. The rest goes back to the system.
const KEPT_BYTES: usize = 1 << 14;

/// The most that the runtime keeps of an instance beside its memories and tables, in bytes: far more than what the guard
/// lets through may need. Nothing is reserved for it.
const INSTANCE_MAX_BYTES: usize = 1 << 28;

/// The configuration of a plugin's engine; Extism adds to it what it needs.
pub(super) fn config(is_metered: bool) -> Config {
    // The meter is a module more.
    let modules = MODULES + u32::from(is_metered);
    let frames = match is_metered {
        true => METERED_FRAMES_MAX,
        false => FRAMES_MAX,
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(INSTANCES * modules)
        .max_core_instance_size(INSTANCE_MAX_BYTES)
        .total_memories(INSTANCES * modules)
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
    config.wasm_backtrace_max_frames(NonZeroUsize::new(frames));
    config
}
