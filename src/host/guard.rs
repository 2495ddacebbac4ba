//! The guard: what is done to a plugin before it runs, so that it cannot harm the host.
//!
//! Extism's kernel trusts the plugin with its bookkeeping, and start code runs without a timer. Instead of the
//! plugin's module, Extism gets three:
//!
//! - the *plugin*, with its imports of dangerous kernel functions turned to the guard, its memory and tables
//!   bounded, and its start code made an ordinary export;
//! - the *guard*, `guard.wat`, which checks what passes between the plugin and the kernel;
//! - the *front*, the module that Extism calls: for each function of the plugin one that tells the guard of a
//!   new call and passes on.
//!
//! A discrepancy here is a plugin that reaches the kernel's bookkeeping, or one that is sound and refused.

use std::convert::Infallible;
use std::sync::LazyLock;

use thiserror::Error;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    ExportKind, ExportSection, ImportSection, MemorySection, MemoryType, Module, RawSection,
    TableSection, TableType,
};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef, Validator, WasmFeatures};

use super::failure::PLUGIN_MARK;
pub use super::start::StartError;
use super::start::{self, StartCode, start_code};
use super::{costs, front, meter};

/// What our own names begin with: a plugin has none of them.
const OWN: &str = "cc-lb-fuzz:";

/// The name under which Extism links the guard.
pub(super) const GUARD: &str = "cc-lb-fuzz:guard";

/// The name under which Extism links the plugin.
pub(super) const PLUGIN: &str = "cc-lb-fuzz:plugin";

/// The export that runs the start code of a plugin which has any.
pub const START: &str = "cc-lb-fuzz:start";

/// The export that runs what the published host runs on an instance that answers nothing, before it makes the one that
/// does, and that must succeed. Only few plugins have it: those on which [`START`] does not begin with the same.
pub const LINK: &str = "cc-lb-fuzz:link";

/// The export that tells how large the memory of a plugin which has any is, as its exit code, in pages of 64 KiB.
pub(super) const MEMORY: &str = "cc-lb-fuzz:memory";

/// What the front calls of the guard: before each call of the plugin, and behind its start code.
pub(super) const BEGIN: &str = "begin";
pub(super) const STARTED: &str = "started";

/// The only module that a plugin may import from.
const KERNEL: &str = "extism:host/env";

/// The largest module, in bytes, with its debug information.
pub const MODULE_MAX_BYTES: usize = 64 << 20;

/// The most code in a module, in bytes: it bounds the time of compilation.
pub const CODE_MAX_BYTES: usize = 2 << 20;

/// The most memory that a plugin has, in pages of 64 KiB: 64 MiB.
pub const MEMORY_MAX_PAGES: u64 = 1024;

/// The most entries that a table of a plugin has.
pub const TABLE_MAX_ENTRIES: u64 = 1 << 16;

/// The most tables that a plugin has.
pub const TABLES_MAX: u32 = 16;

/// The most locals of a function times its blocks: compiling it takes memory for each local in each block.
pub const LOCALS_IN_BLOCKS_MAX: u64 = 8_000_000;

/// The most entries that a plugin puts into its tables when it is instantiated, which takes time behind each call that ends
/// abnormally.
pub const ELEMENTS_MAX: u64 = 1 << 17;

/// Why a module is refused.
#[derive(Debug, Error)]
pub enum Rejection {
    /// It is no valid module, or uses a proposal that plugins may not.
    #[error("not a valid WebAssembly 2.0 module: {0}")]
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
    /// It has too much code.
    #[error("the module has {size} bytes of code, {CODE_MAX_BYTES} at most: {OPTIMIZE}")]
    TooMuchCode {
        /// The size of its code in bytes.
        size: usize,
    },
    /// It imports something that the host does not give.
    #[error(
        "the module imports {name} from {module}; a plugin may import only functions of {KERNEL}{}",
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
    /// It starts with a larger table than it may have.
    #[error("the module starts with a table of {entries} entries, {TABLE_MAX_ENTRIES} at most")]
    Table {
        /// The entries that the table starts with.
        entries: u64,
    },
    /// It has too many tables.
    #[error("the module has {count} tables, {TABLES_MAX} at most")]
    Tables {
        /// The number of its tables.
        count: u32,
    },
    /// A function takes too much memory to compile.
    #[error(
        "a function has {locals} locals and {blocks} blocks; {LOCALS_IN_BLOCKS_MAX} at most of one times the other: it takes \
         too much memory to compile: {OPTIMIZE}, or split the function"
    )]
    Function {
        /// Its locals, without its parameters.
        locals: u64,
        /// Its blocks, loops and branches.
        blocks: u64,
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
const OPTIMIZE: &str = "build it with optimizations (`cargo build --release`, `zig build -Doptimize=ReleaseSmall`, \
                        `asc --optimize`)";

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

/// A plugin made safe to run.
pub(super) struct Guarded {
    /// The plugin's module.
    pub(super) plugin: Vec<u8>,
    /// The module that Extism calls.
    pub(super) front: Vec<u8>,
    /// The plugin's start code: the front has a [`START`] and a [`LINK`] where these are not empty.
    pub(super) start_code: StartCode,
    /// Whether the front has what reads and writes the meter.
    pub(super) is_metered: bool,
}

impl Guarded {
    /// What Extism makes a plugin of: the guard, the plugin, and what is called. No host may be reached.
    pub(super) fn manifest(self) -> extism::Manifest {
        let meter = self.is_metered.then(meter::module);
        let modules = [
            extism::Wasm::data(guard()).with_name(GUARD),
            extism::Wasm::data(self.plugin).with_name(PLUGIN),
            extism::Wasm::data(self.front).with_name("main"),
        ];
        extism::Manifest::new(modules.into_iter().chain(meter)).disallow_all_hosts()
    }
}

/// A plugin behind the guard, for a host of your own on Extism. Of an instance that has the export [`START`], call that
/// first; where there is the export [`LINK`], call it once, of an instance that is used for nothing else. Limits of fuel and time are yours to set, and to go on with a fresh instance after a call that ended
/// abnormally.
///
/// # Errors
/// [`Rejection`] where the module is none, or one that no plugin may be.
pub fn manifest(wasm: &[u8]) -> Result<extism::Manifest, Rejection> {
    Ok(guarded(wasm)?.manifest())
}

/// The guard's module.
fn guard() -> &'static [u8] {
    static WASM: LazyLock<Vec<u8>> =
        LazyLock::new(|| wat::parse_str(include_str!("guard.wat")).expect("guard.wat is valid"));
    &WASM
}

/// What the guard stands in for: its exports, but for those that the front calls.
pub(super) fn is_guarded(import: &str) -> bool {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let payloads = Parser::new(0).parse_all(guard()).filter_map(Result::ok);
        let exports = payloads.filter_map(|payload| match payload {
            Payload::ExportSection(exports) => Some(exports),
            _ => None,
        });
        let exports = exports.flat_map(|exports| exports.into_iter().filter_map(Result::ok));
        exports.map(|export| export.name.to_owned()).collect()
    });
    import != BEGIN && import != STARTED && NAMES.iter().any(|name| name == import)
}

/// Makes a plugin safe to run.
pub(super) fn guarded(wasm: &[u8]) -> Result<Guarded, Rejection> {
    guard_module(wasm, false)
}

pub(super) fn guard_module(wasm: &[u8], is_metered: bool) -> Result<Guarded, Rejection> {
    if wasm.len() > MODULE_MAX_BYTES {
        return Err(Rejection::TooLarge { size: wasm.len() });
    }
    let features = WasmFeatures::WASM2 | WasmFeatures::TAIL_CALL | WasmFeatures::EXTENDED_CONST;
    let types = Validator::new_with_features(features).validate_all(wasm)?;
    let mut rewriter = Rewriter::default();
    let plugin = rewriter.module(wasm)?;
    let types = types.as_ref();
    let start_code = rewriter.start_code(&types)?;
    // Without exports there is none of the memory.
    let has_memory = rewriter.has_memory && !rewriter.exports.is_empty();
    Ok(Guarded {
        plugin,
        front: front::front(
            &rewriter.callable(&types),
            &start_code,
            has_memory,
            is_metered,
        )?,
        start_code,
        is_metered,
    })
}

/// Rewrites a plugin's module and takes down what the front needs.
#[derive(Default)]
struct Rewriter {
    /// What is exported: name, kind, and the index among those of its kind.
    exports: Vec<(String, ExternalKind, u32)>,
    /// The index of the start function.
    start: Option<u32>,
    /// Whether it has a memory.
    has_memory: bool,
}

impl Rewriter {
    fn module(&mut self, wasm: &[u8]) -> Result<Vec<u8>, Rejection> {
        let payloads: Vec<Payload<'_>> =
            Parser::new(0).parse_all(wasm).collect::<Result<_, _>>()?;
        // Behind the exports in the binary, but exported itself.
        self.start = payloads.iter().find_map(|payload| match payload {
            Payload::StartSection { func, .. } => Some(*func),
            _ => None,
        });
        let mut module = Module::new();
        for payload in payloads {
            costs::check(&payload)?;
            match payload {
                Payload::ImportSection(section) => {
                    module.section(&imports(section)?);
                }
                Payload::MemorySection(section) => {
                    let mut memories = MemorySection::new();
                    for memory in section.clone() {
                        let pages = memory?.initial;
                        if pages > MEMORY_MAX_PAGES {
                            return Err(Rejection::Memory { pages });
                        }
                    }
                    // A plugin can import none.
                    self.has_memory = section.count() > 0;
                    Bounded.parse_memory_section(&mut memories, section)?;
                    module.section(&memories);
                }
                Payload::TableSection(section) => {
                    let mut tables = TableSection::new();
                    if section.count() > TABLES_MAX {
                        let count = section.count();
                        return Err(Rejection::Tables { count });
                    }
                    for table in section.clone() {
                        let entries = table?.ty.initial;
                        if entries > TABLE_MAX_ENTRIES {
                            return Err(Rejection::Table { entries });
                        }
                    }
                    Bounded.parse_table_section(&mut tables, section)?;
                    module.section(&tables);
                }
                Payload::ExportSection(section) => {
                    module.section(&self.exports(section)?);
                }
                Payload::CodeSectionStart { size, .. } if size as usize > CODE_MAX_BYTES => {
                    let size = size as usize;
                    return Err(Rejection::TooMuchCode { size });
                }
                // Now an export. Debug information is not needed to run.
                Payload::StartSection { .. } => {}
                Payload::CustomSection(section) if section.name() != "name" => {}
                other => {
                    if let Some((id, range)) = other.as_section() {
                        let data = &wasm[range];
                        module.section(&RawSection { id, data });
                    }
                }
            }
        }
        Ok(module.finish())
    }

    /// The exports, with names that mean something to the runtime made names that do not.
    fn exports(
        &mut self,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<ExportSection, Rejection> {
        let mut exports = ExportSection::new();
        for export in section {
            let export = export?;
            if export.name.starts_with(OWN) {
                let name = start::excerpt(export.name);
                return Err(Rejection::Export { name });
            }
            let name = export.name.to_owned();
            self.exports.push((name, export.kind, export.index));
            Bounded.parse_export(
                &mut exports,
                wasmparser::Export {
                    name: &inner_name(export.name),
                    ..export
                },
            )?;
        }
        if let Some(start) = self.start {
            exports.export(START, ExportKind::Func, start);
        }
        if self.has_memory {
            exports.export(MEMORY, ExportKind::Memory, 0);
        }
        let mut functions = self.exports.iter();
        let function = functions.find(|(_, kind, _)| *kind == ExternalKind::Func);
        if let Some((_, _, function)) = function {
            exports.export(PLUGIN_MARK, ExportKind::Func, *function);
        }
        Ok(exports)
    }

    /// The exports with the types of functions.
    fn typed<'t>(
        &'t self,
        types: &'t wasmparser::types::TypesRef<'t>,
    ) -> impl Iterator<Item = start::Export<'t>> {
        self.exports.iter().map(|(name, kind, index)| {
            let is_function = *kind == ExternalKind::Func;
            let ty = is_function.then(|| types[types.core_function_at(*index)].unwrap_func());
            start::Export {
                name,
                kind: *kind,
                ty,
            }
        })
    }

    /// The exported functions that a request can call, and whether they return a code.
    fn callable<'t>(&'t self, types: &'t wasmparser::types::TypesRef<'t>) -> Vec<(&'t str, bool)> {
        let ours = self.typed(types).filter(|e| !start::is_reserved(e.name));
        let callable = ours.filter_map(|export| {
            let ty = export.ty?;
            match (ty.params(), ty.results()) {
                ([], []) => Some((export.name, false)),
                ([], [wasmparser::ValType::I32]) => Some((export.name, true)),
                _ => None,
            }
        });
        callable.collect()
    }

    fn start_code(&self, types: &wasmparser::types::TypesRef<'_>) -> Result<StartCode, StartError> {
        let exports: Vec<_> = self.typed(types).collect();
        // Without exports nothing can be called, and nothing is.
        let has_section = self.start.is_some() && !exports.is_empty();
        start_code(&exports, has_section)
    }
}

/// The name of an export inside of the plugin's module.
pub(super) fn inner_name(name: &str) -> String {
    if start::is_reserved(name) {
        return format!("{OWN}{name}");
    }
    name.to_owned()
}

fn imports(section: wasmparser::ImportSectionReader<'_>) -> Result<ImportSection, Rejection> {
    let mut imports = ImportSection::new();
    for import in section.into_imports() {
        let import = import?;
        if import.module != KERNEL || !matches!(import.ty, TypeRef::Func(_)) {
            return Err(Rejection::Import {
                module: import.module.to_owned(),
                name: import.name.to_owned(),
            });
        }
        let module = if is_guarded(import.name) {
            GUARD
        } else {
            KERNEL
        };
        let ty = Bounded.entity_type(import.ty)?;
        imports.import(module, import.name, ty);
    }
    Ok(imports)
}

/// Encodes memories and tables with their bounds.
struct Bounded;

impl Reencode for Bounded {
    type Error = Infallible;

    fn memory_type(&mut self, ty: wasmparser::MemoryType) -> Result<MemoryType, reencode::Error> {
        let maximum = ty.maximum.unwrap_or(MEMORY_MAX_PAGES).min(MEMORY_MAX_PAGES);
        let maximum = Some(maximum);
        Ok(reencode::utils::memory_type(
            self,
            wasmparser::MemoryType { maximum, ..ty },
        ))
    }

    fn table_type(&mut self, ty: wasmparser::TableType) -> Result<TableType, reencode::Error> {
        let maximum = ty
            .maximum
            .unwrap_or(TABLE_MAX_ENTRIES)
            .min(TABLE_MAX_ENTRIES);
        let maximum = Some(maximum);
        reencode::utils::table_type(self, wasmparser::TableType { maximum, ..ty })
    }
}
