//! The reasons why modules are refused, with advice.
//!
//! Bugs in this module look like an error that does not say what to change.

use std::convert::Infallible;

use thiserror::Error;
use wasm_encoder::reencode;

use super::limits::{
    BULK_MAX, CALLABLE_MAX, CODE_MAX_BYTES, CONSTANT_MAX, COPIED_PAGES_MAX, DATA_MAX_BYTES,
    ELEMENTS_MAX, FUNCTION_MAX_BYTES, HANDED_ON_MAX, MAPPED_MAX_BYTES, MEMORY_MAX_PAGES,
    MODULE_MAX_BYTES, NESTING_MAX, PARAMETERS_MAX, RENEWAL_MAX_PERCENT, RESULTS_MAX,
    TABLE_MAX_ENTRIES, VALUES_IN_BLOCKS_MAX,
};
use super::names::{KERNEL, OWN};
use super::start_code::StartError;

/// The reason why the guard refuses a module.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Rejection {
    /// It is not a valid module, or it uses a proposal that plugins may not use.
    #[error("not a valid WebAssembly 2.0 module: {}", in_words(.0))]
    Invalid(#[from] wasmparser::BinaryReaderError),
    /// The module is too large.
    #[error(
        "the module has {size} bytes, {MODULE_MAX_BYTES} at most: leave out its debug information (`strip = true` in \
         Cargo's profile, the strip option of other compilers, `wasm-strip`)"
    )]
    TooLarge {
        /// The size of the module in bytes.
        size: usize,
    },
    /// The module uses references of the host.
    #[error(
        "the module has a type `externref`; no host gives a plugin such a reference: build it without \
         bindings for JavaScript"
    )]
    HostReference,
    /// The names of its exports are too long.
    #[error(
        "the module has {bytes} bytes in {what}, {most} at most: export only what a host calls, under short names"
    )]
    ExportNames {
        /// A description of the limited names.
        what: &'static str,
        /// The number of bytes.
        bytes: u64,
        /// The largest allowed number of bytes.
        most: u64,
    },
    /// The code section is too large.
    #[error("the module has {size} bytes of code, {CODE_MAX_BYTES} at most: {OPTIMIZE}")]
    TooMuchCode {
        /// The size of the code in bytes.
        size: usize,
    },
    /// The module has too many items of some kind.
    #[error("the module has {count} {what}, {most} at most: {OPTIMIZE}")]
    TooMany {
        /// The kind of the items, in the plural.
        what: &'static str,
        /// The number of items.
        count: u64,
        /// The largest allowed number.
        most: u64,
    },
    /// The module imports something that the host does not provide.
    #[error(
        "the module imports {name} from {module}; a plugin may import only the functions of {KERNEL}{}",
        advice(module)
    )]
    Import {
        /// The module that it imports from.
        module: String,
        /// The name of the import.
        name: String,
    },
    /// The initial memory is too large.
    #[error("the module starts with {pages} pages of memory, {MEMORY_MAX_PAGES} at most")]
    Memory {
        /// The initial size in pages of 64 KiB.
        pages: u64,
    },
    /// The module has too much data.
    #[error(
        "the module has {bytes} bytes of data, {DATA_MAX_BYTES} at most: take large data from the request, or compute it when it \
         is needed"
    )]
    Data {
        /// The total size of all segments in bytes.
        bytes: u64,
    },
    /// The data is spread over too many pages.
    #[error(
        "the module has data in {pages} pages of 4 KiB, {COPIED_PAGES_MAX} at most unless all of it is in the first \
         {MAPPED_MAX_BYTES} bytes of the memory: move it there"
    )]
    Scattered {
        /// The number of pages in all segments.
        pages: u64,
    },
    /// The initial size of a table is too large.
    #[error("the module starts with a table of {entries} entries, {TABLE_MAX_ENTRIES} at most")]
    Table {
        /// The initial number of entries.
        entries: u64,
    },
    /// The module initializes too many table entries.
    #[error(
        "the module puts {entries} entries into its tables, {ELEMENTS_MAX} at most; they are functions that are called by \
         pointer: {OPTIMIZE}, to remove those that nothing calls"
    )]
    Elements {
        /// The number of entries in all segments.
        entries: u64,
    },
    /// A function takes too much memory to compile.
    #[error(
        "a function with {locals} locals has {values} values at its {blocks} blocks together, {VALUES_IN_BLOCKS_MAX} at most: it \
         takes too much memory to compile: {OPTIMIZE}, or split the function"
    )]
    Function {
        /// The number of its locals, parameters included.
        locals: u64,
        /// The number of its blocks, loops and branches.
        blocks: u64,
        /// The sum over all of them of the locals and the values on the stack.
        values: u64,
    },
    /// A function is too large.
    #[error(
        "a function has {bytes} bytes of code, {FUNCTION_MAX_BYTES} at most: it takes too much memory to compile: split it, or keep \
         the compiler from inlining others into it (`#[inline(never)]`, `noinline`)"
    )]
    LargeFunction {
        /// The size of the function's code in bytes.
        bytes: usize,
    },
    /// Loops and conditions in a function are nested too deep.
    #[error(
        "a function has {depth} nested loops and conditions, {NESTING_MAX} at most: it takes too long to compile: \
         split the function"
    )]
    Nesting {
        /// The nesting depth.
        depth: usize,
    },
    /// A function or a block has too many parameters or results.
    #[error(
        "a function or a block has {parameters} parameters and {results} results, {PARAMETERS_MAX} and {RESULTS_MAX} at most: \
         pass a pointer to the values in memory instead"
    )]
    Signature {
        /// The number of parameters.
        parameters: u64,
        /// The number of results.
        results: u64,
    },
    /// Calls and branches pass on too many values.
    #[error(
        "the module's calls and branches pass {values} values beyond their first, {HANDED_ON_MAX} at most: it takes too \
         much memory to compile: pass a pointer to the values in memory instead"
    )]
    PassedOn {
        /// The number of these values, without the first of each.
        values: u64,
    },
    /// The constant expressions are too long.
    #[error(
        "the module's constant expressions have {instructions} instructions, {CONSTANT_MAX} at most: replace them with their results"
    )]
    Constants {
        /// The number of instructions in all constant expressions.
        instructions: u64,
    },
    /// Everything together takes too long to instantiate.
    #[error(
        "the module takes too long to instantiate for each session: its copied data, entries of tables, segments, globals and \
         constant expressions together come to {percent} % of the most of any one of them, {RENEWAL_MAX_PERCENT} % at most: \
         {OPTIMIZE}"
    )]
    Renewal {
        /// The time up to the point of refusal, in percent of the most that one kind of item may
        /// take.
        percent: u64,
    },
    /// The bulk instructions name too many different segments and tables.
    #[error(
        "the module's bulk instructions name more than {BULK_MAX} different segments and tables: merge the segments"
    )]
    Bulk,
    /// The module exports too many functions that a request can call.
    #[error(
        "the module exports {count} functions that can be called, {CALLABLE_MAX} at most: export those that a host calls"
    )]
    Callable {
        /// The number of these functions.
        count: u64,
    },
    /// The published host does not open a module with such exports, or treats them in another way.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The module exports a name that is reserved for the guard.
    #[error("the module exports {name:?}; names that begin with {OWN} are reserved for the guard")]
    Export {
        /// The exported name.
        name: String,
    },
    /// The module could not be rewritten. This is not known to happen to a valid module.
    #[error("the module cannot be rewritten: {0}")]
    Rewrite(String),
}

/// The advice on too much code. A debug build has several times as much.
pub(crate) const OPTIMIZE: &str = "build it with optimizations (`cargo build --release`, `zig build -Doptimize=ReleaseSmall`, \
                        `asc --optimize`)";

/// Returns the message in one line; lists of numbers have line breaks.
fn in_words(error: &wasmparser::BinaryReaderError) -> String {
    let text = error.to_string();
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ")
}

/// Returns advice on an import from this module.
fn advice(module: &str) -> &'static str {
    if module.starts_with("wasi") {
        ": build it for wasm32-unknown-unknown, not for WASI"
    } else {
        ""
    }
}

impl From<reencode::Error<Infallible>> for Rejection {
    fn from(error: reencode::Error<Infallible>) -> Self {
        Self::Rewrite(error.to_string())
    }
}
