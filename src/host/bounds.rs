//! What a plugin's module may have, each with its reason. What honest plugins have is a tenth of it and less.
//!
//! A discrepancy here is a module that takes the memory or the time of whoever opens it, or one that is sound and refused.

/// The largest module, in bytes, with its debug information.
pub const MODULE_MAX_BYTES: usize = 64 << 20;

/// The most code in a module, in bytes: it bounds the time of compilation.
pub const CODE_MAX_BYTES: usize = 2 << 20;

/// The most code of one function, in bytes. Compiling takes up to 2 KB for each, and as many functions are compiled at a time as
/// there are processors. The interpreters of large languages have functions of half of it.
pub const FUNCTION_MAX_BYTES: usize = 256 << 10;

/// The most memory that a plugin has, in pages of 64 KiB: 64 MiB.
pub const MEMORY_MAX_PAGES: u64 = 1024;

/// The most bytes of data: Extism copies the whole module for each session, and behind each call that ends abnormally.
pub const DATA_MAX_BYTES: u64 = 8 << 20;

/// Up to there the runtime maps the data of a plugin, all of which is where it says: it costs nothing then. An image of
/// 16 MiB is not mapped any more.
pub const MAPPED_MAX_BYTES: u64 = (16 << 20) - (64 << 10);

/// The most pages of 4 KiB that have data in them which is not mapped: each is copied for each session.
pub const COPIED_PAGES_MAX: u64 = 1_000;

/// The most entries that a table of a plugin has.
pub const TABLE_MAX_ENTRIES: u64 = 1 << 16;

/// The most tables that a plugin has.
pub const TABLES_MAX: u32 = 16;

/// The most entries that a plugin puts into its tables when it is instantiated, which takes time for each session.
pub const ELEMENTS_MAX: u64 = 1 << 15;

/// An entry that is an expression takes so many times as long as one that is a function's number: none is known before.
pub const EXPRESSION_TIMES: u64 = 4;

/// The most functions, with those that are imported. The call that takes the place of a bulk instruction has two bytes for the
/// number of the function that it calls, which is less than 16,384 then; there is room for [`BULK_MAX`] such functions.
pub const FUNCTIONS_MAX: u32 = 16_000;

/// The most bulk instructions that differ in the segments and tables that they name.
pub const BULK_MAX: u32 = 256;

/// The most imports: Extism looks each of them up.
pub const IMPORTS_MAX: u32 = 1_000;

/// The most exports. Their names have [`EXPORT_NAMES_MAX_BYTES`] together.
pub const EXPORTS_MAX: u32 = 20_000;

/// The longest name of an export, in bytes.
pub const EXPORT_NAME_MAX_BYTES: usize = 1_000;

/// The most bytes of the names of all exports: Extism copies them for each session.
pub const EXPORT_NAMES_MAX_BYTES: u64 = 256 << 10;

/// The most exported functions that a request can call. Extism's linker has an entry for each in every session.
pub const CALLABLE_MAX: u32 = 512;

/// The most types of functions: the engine keeps them.
pub const TYPES_MAX: u32 = 10_000;

/// The most parameters of a function or a block. Compiling a call takes memory for each.
pub const PARAMETERS_MAX: u32 = 128;

/// The most results of a function or a block. Each call has them all, whether anything reads them or not.
pub const RESULTS_MAX: u32 = 16;

/// The most values that are handed on beyond the first: results of all calls, and what branches and loops carry. Compiling
/// takes half a kilobyte for each.
pub const HANDED_ON_MAX: u64 = 200_000;

/// The most parameters and results of all types and all functions together: the runtime makes code of its own for each.
pub const SIGNATURES_MAX: u64 = 200_000;

/// The most blocks and calls of a function, and of all functions. An instruction counts as many as compiling it makes: a loop
/// looks for the end of the fuel and of the time, and a call by pointer is checked. Each takes up to 4 KB and some 10 µs, and
/// there are as many functions at a time as there are processors.
pub const BLOCKS_MAX: u64 = 30_000;

/// How many blocks a call by pointer counts for.
pub const BLOCKS_OF_A_CALL_BY_POINTER: u64 = 10;

/// See [`BLOCKS_MAX`].
pub const BLOCKS_OF_ALL_MAX: u64 = 400_000;

/// The most loops and conditions that are inside of each other: compiling them takes the square of that.
pub const NESTING_MAX: usize = 1_000;

/// The most locals and parameters of all functions.
pub const LOCALS_MAX: u64 = 1_000_000;

/// The most values that a function has at its blocks, those of each block added: its locals and parameters, and what stands on
/// the stack. Compiling it takes memory, or time, for each value in each block.
pub const VALUES_IN_BLOCKS_MAX: u64 = 8_000_000;

/// The same of all functions.
pub const VALUES_IN_BLOCKS_OF_ALL_MAX: u64 = 40_000_000;

/// The most globals: each is initialised for each session.
pub const GLOBALS_MAX: u32 = 10_000;

/// What is done for each session takes so much time at most, in percent of what it takes where there is as much of one thing as
/// may be: pages of data that are copied, entries of tables, their segments, constant expressions, globals. A tenth is for what
/// goes with that one thing.
pub const RENEWAL_MAX_PERCENT: u64 = 110;

/// So many globals would take as long as the most of another thing.
pub const GLOBALS_OF_RENEWAL_MAX: u64 = 40_000;

/// The most segments of data, and of entries of tables.
pub const SEGMENTS_MAX: u32 = 20_000;

/// The most instructions in all constant expressions beside one in each. They are carried out for each session.
pub const CONSTANT_MAX: u64 = 100_000;
