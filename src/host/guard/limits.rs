//! The limits of a plugin's module, each with its reason. Ordinary plugins have a tenth of them or
//! less.
//!
//! Bugs in this module look like a module that exhausts the memory or the time of the process that
//! opens it, or a valid module that is refused.

/// The largest module, in bytes, including debug information.
pub const MODULE_MAX_BYTES: usize = 64 << 20;

/// The largest code section of a module, in bytes. It bounds the time of compilation.
pub const CODE_MAX_BYTES: usize = 2 << 20;

/// The largest function, in bytes of code. Compiling takes up to 2 KB of memory for each byte, and
/// as many functions are compiled at a time as there are processors. The interpreters of large
/// languages have functions of half this size.
pub const FUNCTION_MAX_BYTES: usize = 256 << 10;

/// The largest memory of a plugin, in pages of 64 KiB: 64 MiB.
pub const MEMORY_MAX_PAGES: u64 = 1024;

/// The most bytes of data in a module. Extism copies the whole module for each session, and after
/// each call that ends abnormally.
pub const DATA_MAX_BYTES: u64 = 8 << 20;

/// The end of the memory up to which the runtime maps the data of a plugin, in bytes. If all data
/// lies at constant offsets below it, copying costs nothing. An image of 16 MiB is not mapped.
pub const MAPPED_MAX_BYTES: u64 = (16 << 20) - (64 << 10);

/// The most pages of 4 KiB with data that is not mapped. Each is copied for each session.
pub const COPIED_PAGES_MAX: u64 = 1_000;

/// The largest table of a plugin, in entries.
pub const TABLE_MAX_ENTRIES: u64 = 1 << 16;

/// The most tables of a plugin.
pub const TABLES_MAX: u32 = 16;

/// The most table entries that a plugin initializes. This takes time for each session.
pub const ELEMENTS_MAX: u64 = 1 << 15;

/// The factor by which a table entry that is an expression takes longer than one that is a function
/// index: its value is not known in advance.
pub const EXPRESSION_TIMES: u64 = 4;

/// The most functions, including imports. The call that replaces a bulk instruction has two bytes
/// for the index of its function, which must be less than 16,384; this leaves room for [`BULK_MAX`]
/// such functions.
pub const FUNCTIONS_MAX: u32 = 16_000;

/// The most bulk instructions that differ in the segments and tables they name.
pub const BULK_MAX: u32 = 256;

/// The most imports. Extism looks up each of them.
pub const IMPORTS_MAX: u32 = 1_000;

/// The most exports. [`EXPORT_NAMES_MAX_BYTES`] bounds their names.
pub const EXPORTS_MAX: u32 = 20_000;

/// The longest name of an export, in bytes.
pub const EXPORT_NAME_MAX_BYTES: usize = 1_000;

/// The most bytes in the names of all exports. Extism copies them for each session.
pub const EXPORT_NAMES_MAX_BYTES: u64 = 256 << 10;

/// The most exported functions that a request can call. Extism's linker has an entry for each of
/// them in every session.
pub const CALLABLE_MAX: u32 = 512;

/// The most function types. The engine keeps them.
pub const TYPES_MAX: u32 = 10_000;

/// The most parameters of a function or a block. Compiling a call takes memory for each.
pub const PARAMETERS_MAX: u32 = 128;

/// The most results of a function or a block. Each call produces all of them, used or not.
pub const RESULTS_MAX: u32 = 16;

/// The most values that are passed on, without the first of each: results of calls, and values that
/// branches and loops carry. Compiling takes half a kilobyte for each.
pub const HANDED_ON_MAX: u64 = 200_000;

/// The most parameters and results of all types and all functions together. The runtime generates
/// code for each.
pub const SIGNATURES_MAX: u64 = 200_000;

/// The most blocks and calls of a function. An instruction counts as many as it is compiled to: a
/// loop checks for the end of the fuel and of the time, and a call by pointer is checked. Each
/// takes up to 4 KB and about 10 µs to compile, and as many functions are compiled at a time as
/// there are processors.
pub const BLOCKS_MAX: u64 = 30_000;

/// The number of blocks that a call by pointer counts for.
pub const BLOCKS_OF_A_CALL_BY_POINTER: u64 = 10;

/// The most blocks and calls of all functions: see [`BLOCKS_MAX`].
pub const BLOCKS_OF_ALL_MAX: u64 = 400_000;

/// The deepest nesting of loops and conditions. The time to compile them grows with its square.
pub const NESTING_MAX: usize = 1_000;

/// The most locals and parameters of all functions together.
pub const LOCALS_MAX: u64 = 1_000_000;

/// The most values at the blocks of a function: the sum over all blocks of the locals, the
/// parameters and the values on the stack. Compiling takes memory or time for each value in each
/// block.
pub const VALUES_IN_BLOCKS_MAX: u64 = 8_000_000;

/// The most values at the blocks of all functions together.
pub const VALUES_IN_BLOCKS_OF_ALL_MAX: u64 = 40_000_000;

/// The most globals. Each is initialized for each session.
pub const GLOBALS_MAX: u32 = 10_000;

/// The longest time to instantiate a module for a session, as the sum over all kinds of items:
/// pages of copied data, table entries, segments, constant expressions, globals. It is in percent
/// of the time that the largest allowed number of one kind takes. The ten percent above 100 are for
/// what accompanies that one kind.
pub const RENEWAL_MAX_PERCENT: u64 = 110;

/// The number of globals that take as long as the largest allowed number of another kind.
pub const GLOBALS_OF_RENEWAL_MAX: u64 = 40_000;

/// The most segments of data, and the most segments of table entries.
pub const SEGMENTS_MAX: u32 = 20_000;

/// The most instructions in all constant expressions, without the first of each. They run for each
/// session.
pub const CONSTANT_MAX: u64 = 100_000;
