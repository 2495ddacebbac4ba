//! Why a module is refused, and what to do about it.
//!
//! A discrepancy here is an author who is told no, and not what of.

use std::convert::Infallible;

use thiserror::Error;
use wasm_encoder::reencode;

use super::bounds::{
    BULK_MAX, CALLABLE_MAX, CODE_MAX_BYTES, CONSTANT_MAX, COPIED_PAGES_MAX, DATA_MAX_BYTES,
    ELEMENTS_MAX, FUNCTION_MAX_BYTES, HANDED_ON_MAX, MAPPED_MAX_BYTES, MEMORY_MAX_PAGES,
    MODULE_MAX_BYTES, NESTING_MAX, PARAMETERS_MAX, RENEWAL_MAX_PERCENT, RESULTS_MAX,
    TABLE_MAX_ENTRIES, VALUES_IN_BLOCKS_MAX,
};
use super::guard::{KERNEL, OWN};
use super::start::StartError;

/// Why a module is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Rejection {
    /// It is no valid module, or uses a proposal that plugins may not.
    #[error("not a valid WebAssembly 2.0 module: {}", in_words(.0))]
    Invalid(#[from] wasmparser::BinaryReaderError),
    /// It is too large.
    #[error(
        "the module has {size} bytes, {MODULE_MAX_BYTES} at most: leave out its debug information (`strip = true` in \
         Cargo's profile, the strip option of other compilers, `wasm-strip`)"
    )]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// It has references of the host's.
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
        /// In which of them, in words.
        what: &'static str,
        /// How many there are.
        bytes: u64,
        /// How many there may be.
        most: u64,
    },
    /// It has too much code.
    #[error("the module has {size} bytes of code, {CODE_MAX_BYTES} at most: {OPTIMIZE}")]
    TooMuchCode {
        /// The size of its code in bytes.
        size: usize,
    },
    /// It has too many of something.
    #[error("the module has {count} {what}, {most} at most: {OPTIMIZE}")]
    TooMany {
        /// Of what, in words.
        what: &'static str,
        /// How many it has.
        count: u64,
        /// How many it may have.
        most: u64,
    },
    /// It imports something that the host does not give.
    #[error(
        "the module imports {name} from {module}; a plugin may import only the functions of {KERNEL}{}",
        advice(module)
    )]
    Import {
        /// The module that it imports from.
        module: String,
        /// What it imports.
        name: String,
    },
    /// It starts with more memory than it may have.
    #[error("the module starts with {pages} pages of memory, {MEMORY_MAX_PAGES} at most")]
    Memory {
        /// The pages that it starts with.
        pages: u64,
    },
    /// It has too much data.
    #[error(
        "the module has {bytes} bytes of data, {DATA_MAX_BYTES} at most: let the request bring what is large, or make it when it \
         is needed"
    )]
    Data {
        /// The bytes of all segments.
        bytes: u64,
    },
    /// Its data is scattered.
    #[error(
        "the module puts data into {pages} pages of 4 KiB, {COPIED_PAGES_MAX} at most where it is not all in the first \
         {MAPPED_MAX_BYTES} bytes of the memory: put it there"
    )]
    Scattered {
        /// The pages of all segments.
        pages: u64,
    },
    /// It starts with a larger table than it may have.
    #[error("the module starts with a table of {entries} entries, {TABLE_MAX_ENTRIES} at most")]
    Table {
        /// The entries that the table starts with.
        entries: u64,
    },
    /// It puts too many entries into its tables whenever it is instantiated.
    #[error(
        "the module puts {entries} entries into its tables, {ELEMENTS_MAX} at most; they are functions that are called by \
         pointer: {OPTIMIZE}, so that those which nothing calls go"
    )]
    Elements {
        /// The entries of all segments.
        entries: u64,
    },
    /// A function takes too much memory to compile.
    #[error(
        "a function with {locals} locals has {values} values at its {blocks} blocks together, {VALUES_IN_BLOCKS_MAX} at most: it \
         takes too much memory to compile: {OPTIMIZE}, or split the function"
    )]
    Function {
        /// Its locals, with its parameters.
        locals: u64,
        /// Its blocks, loops and branches.
        blocks: u64,
        /// The locals, and what stands on the stack, at each of them.
        values: u64,
    },
    /// A function is too large.
    #[error(
        "a function has {bytes} bytes of code, {FUNCTION_MAX_BYTES} at most: it takes too much memory to compile: split it, or keep \
         the compiler from putting others into it (`#[inline(never)]`, `noinline`)"
    )]
    LargeFunction {
        /// Its size in bytes.
        bytes: usize,
    },
    /// Its loops and conditions are too deep inside of each other.
    #[error(
        "a function has {depth} loops and conditions inside of each other, {NESTING_MAX} at most: it takes too long to compile: \
         split the function"
    )]
    Nesting {
        /// How many.
        depth: usize,
    },
    /// A function or a block takes or returns too much.
    #[error(
        "a function or a block has {parameters} parameters and {results} results, {PARAMETERS_MAX} and {RESULTS_MAX} at most: \
         hand on where the values are in memory"
    )]
    Signature {
        /// The number of its parameters.
        parameters: u64,
        /// The number of its results.
        results: u64,
    },
    /// Its calls and branches hand on too much.
    #[error(
        "the module's calls and branches hand on {values} values beside their first, {HANDED_ON_MAX} at most: it takes too \
         much memory to compile: hand on where the values are in memory"
    )]
    HandedOn {
        /// The number of the values.
        values: u64,
    },
    /// Its constant expressions are too long.
    #[error(
        "the module's constant expressions have {instructions} instructions, {CONSTANT_MAX} at most: write down what they come to"
    )]
    Constants {
        /// The instructions of all of them.
        instructions: u64,
    },
    /// It takes too long to instantiate, for all together that there is of it.
    #[error(
        "the module takes too long to instantiate for each session: its copied data, entries of tables, segments, globals and \
         constant expressions together come to {percent} % of the most of any one of them, {RENEWAL_MAX_PERCENT} % at most: \
         {OPTIMIZE}"
    )]
    Renewal {
        /// How much they take, as far as it was looked.
        percent: u64,
    },
    /// Its bulk instructions name too many segments and tables.
    #[error(
        "the module's bulk instructions name more than {BULK_MAX} different segments and tables: put the segments together"
    )]
    Bulk,
    /// It exports too many functions that a request can call.
    #[error(
        "the module exports {count} functions that can be called, {CALLABLE_MAX} at most: export those that a host calls"
    )]
    Callable {
        /// The number of these functions.
        count: u64,
    },
    /// It exports what the published host does not open, or would make something else of.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It exports a name that is ours.
    #[error("the module exports {name:?}; names that begin with {OWN} are the guard's own")]
    Export {
        /// The name.
        name: String,
    },
    /// It could not be rewritten. What was validated can be, so this is not known to happen.
    #[error("the module cannot be rewritten: {0}")]
    Rewrite(String),
}

/// What to do about code that is too much: that of a debug build is several times as much.
pub(crate) const OPTIMIZE: &str = "build it with optimizations (`cargo build --release`, `zig build -Doptimize=ReleaseSmall`, \
                        `asc --optimize`)";

/// Without the line breaks of numbers in a list.
fn in_words(error: &wasmparser::BinaryReaderError) -> String {
    let text = error.to_string();
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ")
}

/// What to do about an import from this module.
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
