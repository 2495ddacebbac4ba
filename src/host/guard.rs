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
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    MemorySection, MemoryType, Module, RawSection, TableSection, TableType, TypeSection, ValType,
};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef, Validator, WasmFeatures};

use super::costs;
use super::failure::PLUGIN_MARK;
use super::meter;

/// The name under which Extism links the guard.
pub(super) const GUARD: &str = "cc-lb-fuzz:guard";

/// The name under which Extism links the plugin.
const PLUGIN: &str = "cc-lb-fuzz:plugin";

/// The export that runs the start code of a plugin which has any.
pub const START: &str = "cc-lb-fuzz:start";

/// The export that tells how large the memory of a plugin which has any is, as its exit code, in pages of 64 KiB.
pub(super) const MEMORY: &str = "cc-lb-fuzz:memory";

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

/// What Extism and wasmtime call by themselves when a module has it; in this order.
const START_EXPORTS: [&str; 2] = ["__wasm_call_ctors", "_initialize"];

/// Names that mean something to Extism or wasmtime, and that no plugin of ours needs.
const RESERVED_EXPORTS: [&str; 4] = ["__wasm_call_ctors", "_initialize", "_start", "hs_init"];

/// Why a module is refused.
#[derive(Debug, Error)]
pub enum Rejection {
    /// It is no valid module, or uses a proposal that plugins may not.
    #[error("not a valid WebAssembly 2.0 module: {0}")]
    Invalid(#[from] wasmparser::BinaryReaderError),
    /// It is too large.
    #[error("the module has {size} bytes, {MODULE_MAX_BYTES} at most")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// It has too much code.
    #[error("the module has {size} bytes of code, {CODE_MAX_BYTES} at most")]
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
         too much memory to compile"
    )]
    Function {
        /// Its locals, without its parameters.
        locals: u64,
        /// Its blocks, loops and branches.
        blocks: u64,
    },
    /// It puts too many entries into its tables whenever it is instantiated.
    #[error("the module puts {entries} entries into its tables, {ELEMENTS_MAX} at most")]
    Elements {
        /// The entries of all segments.
        entries: u64,
    },
    /// It could not be rewritten. What was validated can be, so this is not known to happen.
    #[error("the module cannot be rewritten: {0}")]
    Rewrite(String),
}

/// What to do about an import from this module.
fn advice(module: &str) -> &'static str {
    match module.starts_with("wasi") {
        true => ": build it for wasm32-unknown-unknown, not for WASI",
        false => "",
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
    /// Whether the front has a [`START`].
    pub(super) starts: bool,
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
/// first. Limits of fuel and time are yours to set, and to go on with a fresh instance after a call that ended
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

/// What the guard stands in for: its exports, but for the one that the front calls.
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
    import != "begin" && NAMES.iter().any(|name| name == import)
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
    let callable = rewriter.callable(&types.as_ref());
    let start_code = rewriter.start_code(&callable);
    Ok(Guarded {
        plugin,
        front: front(&callable, &start_code, rewriter.has_memory, is_metered),
        starts: !start_code.is_empty(),
        is_metered,
    })
}

/// Rewrites a plugin's module and takes down what the front needs.
#[derive(Default)]
struct Rewriter {
    /// The functions that are exported, by name and index.
    functions: Vec<(String, u32)>,
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
            if export.kind == ExternalKind::Func {
                self.functions.push((export.name.to_owned(), export.index));
            }
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
        if let Some((_, function)) = self.functions.first() {
            exports.export(PLUGIN_MARK, ExportKind::Func, *function);
        }
        Ok(exports)
    }

    /// The exported functions that a host can call, and whether they return a code.
    fn callable(&self, types: &wasmparser::types::TypesRef<'_>) -> Vec<(&str, bool)> {
        let functions = self.functions.iter();
        let callable = functions.filter_map(|(name, index)| {
            let ty = types[types.core_function_at(*index)].unwrap_func();
            match (ty.params(), ty.results()) {
                ([], []) => Some((name.as_str(), false)),
                ([], [wasmparser::ValType::I32]) => Some((name.as_str(), true)),
                _ => None,
            }
        });
        callable.collect()
    }

    /// The functions that the start code consists of: the start function, and the one that Extism would call.
    fn start_code(&self, callable: &[(&str, bool)]) -> Vec<String> {
        // Without an export section nothing can be called, and nothing is.
        let own = self.start.filter(|_| !self.functions.is_empty());
        let named = |name: &&&str| {
            self.functions
                .iter()
                .any(|(function, _)| function == **name)
        };
        let called = START_EXPORTS.iter().find(named);
        let called = called.filter(|name| callable.contains(&(name, false)));
        let own = own.map(|_| START.to_owned()).into_iter();
        own.chain(called.map(|name| inner_name(name))).collect()
    }
}

/// The module that Extism calls. Its first type is that of functions without a result, its second that of
/// functions that return a code; its first import is the guard's.
fn front(
    callable: &[(&str, bool)],
    start_code: &[String],
    has_memory: bool,
    is_metered: bool,
) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([], [ValType::I32]);
    let mut imports = ImportSection::new();
    let mut functions = FunctionSection::new();
    let mut exports = ExportSection::new();
    let mut bodies = CodeSection::new();

    let callable = callable
        .iter()
        .filter(|(name, _)| !RESERVED_EXPORTS.contains(name));
    let callable: Vec<_> = callable.collect();
    imports.import(GUARD, "begin", EntityType::Function(0));
    for (name, returns) in &callable {
        imports.import(PLUGIN, name, EntityType::Function(u32::from(*returns)));
    }
    for name in start_code {
        imports.import(PLUGIN, name, EntityType::Function(0));
    }
    let starts = imports.len();
    if is_metered {
        meter::add_to_front(&mut imports, &mut exports);
    }
    let imported = imports.len();
    if has_memory {
        let any = MemoryType {
            minimum: 0,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        };
        imports.import(PLUGIN, MEMORY, EntityType::Memory(any));
    }
    let mut define = |name: &str, returns: bool, calls: std::ops::Range<u32>| {
        exports.export(name, ExportKind::Func, imported + functions.len());
        functions.function(u32::from(returns));
        let mut body = Function::new([]);
        let mut code = body.instructions();
        code.call(0);
        calls.for_each(|call| {
            code.call(call);
        });
        code.end();
        bodies.function(&body);
    };
    let first_start = 1 + callable.len() as u32;
    for (place, (name, returns)) in (1..first_start).zip(callable) {
        define(name, *returns, place..place + 1);
    }
    if !start_code.is_empty() {
        define(START, false, first_start..starts);
    }
    if has_memory {
        exports.export(MEMORY, ExportKind::Func, imported + functions.len());
        functions.function(1);
        let mut body = Function::new([]);
        body.instructions().memory_size(0).end();
        bodies.function(&body);
    }
    let mut module = Module::new();
    module.section(&types);
    module.section(&imports);
    module.section(&functions);
    module.section(&exports);
    module.section(&bodies);
    module.finish()
}

/// The name of an export inside of the plugin's module.
fn inner_name(name: &str) -> String {
    match RESERVED_EXPORTS.contains(&name) {
        true => format!("cc-lb-fuzz:{name}"),
        false => name.to_owned(),
    }
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
