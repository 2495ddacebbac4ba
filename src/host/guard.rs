//! The guard: what is done to a plugin before it runs, so that it cannot harm the host.
//!
//! Extism's kernel trusts the plugin with its bookkeeping, start code runs without a timer, and bulk instructions are not
//! interrupted. Instead of the plugin's module, Extism gets three:
//!
//! - the *plugin*, which imports from the guard and from nothing else, with its memory and tables bounded, its bulk
//!   instructions made calls, and its start code an ordinary export;
//! - the *guard*, `guard.wat`, the kernel that the plugin gets instead of Extism's;
//! - the *front*, the module that Extism calls: for each function of the plugin one that tells the guard of a new call, passes
//!   on, and has the guard hand out what the call came to.
//!
//! A discrepancy here is a plugin that reaches the kernel's bookkeeping, or one that is sound and refused.

use std::convert::Infallible;
use std::sync::LazyLock;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    ExportKind, ExportSection, ImportSection, MemorySection, MemoryType, Module, RawSection,
    TableSection, TableType,
};
use wasmparser::{Encoding, ExternalKind, Parser, Payload, TypeRef, Validator, WasmFeatures};

pub use super::bounds::*;
use super::bulk::Bulk;
use super::costs::Costs;
use super::failure::PLUGIN_MARK;
#[cfg(unix)]
pub(crate) use super::rejection::OPTIMIZE;
pub use super::rejection::Rejection;
pub use super::start::StartError;
use super::start::{self, StartCode, start_code};
use super::{front, meter};

/// What our own names begin with: a plugin has none of them.
pub(super) const OWN: &str = "cc-lb-fuzz:";

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

/// The export that does nothing: before it Extism zeroes what the last call left in its memory, which would be at the expense
/// of the next one.
pub(super) const CLEAR: &str = "cc-lb-fuzz:clear";

/// What the front calls of the guard: before each call of the plugin, and behind each that returned.
pub(super) const BEGIN: &str = "begin";
pub(super) const END: &str = "end";

/// The only module that a plugin may import from. It gets the guard's functions of these names.
pub(super) const KERNEL: &str = "extism:host/env";

/// What the error of a plugin begins with when it comes to the host: 16 letters, as `guard.wat` writes them.
pub const ERROR_MARK: &str = "cc-lb-fuzz:error";

/// What a plugin may use. No references of the host's: nobody hands out any, and the runtime collects garbage for them, so that
/// a function that holds many takes gigabytes to compile.
const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .difference(WasmFeatures::GC_TYPES);

/// A plugin made safe to run.
pub(super) struct Guarded {
    /// The plugin's module.
    pub(super) plugin: Vec<u8>,
    /// The module that Extism calls.
    pub(super) front: Vec<u8>,
    /// The plugin's start code: the front has a [`START`] and a [`LINK`] where these are not empty.
    pub(super) start_code: StartCode,
    /// Whether it has bulk instructions.
    pub(super) has_bulk: bool,
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
/// first; where there is the export [`LINK`], call it once, of an instance that is used for nothing else. Errors that the
/// plugin sets begin with [`ERROR_MARK`]: no other error does. Limits of fuel and time are yours to set, and to go on with a
/// fresh instance after a call that ended abnormally.
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

/// Whether the guard has a function of this name for plugins: all of its exports, but for those that the front calls.
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
    import != BEGIN && import != END && NAMES.iter().any(|name| name == import)
}

/// Makes a plugin safe to run.
pub(super) fn guarded(wasm: &[u8]) -> Result<Guarded, Rejection> {
    guard_module(wasm, false)
}

pub(super) fn guard_module(wasm: &[u8], is_metered: bool) -> Result<Guarded, Rejection> {
    if wasm.len() > MODULE_MAX_BYTES {
        return Err(Rejection::TooLarge { size: wasm.len() });
    }
    // Before anything else looks at it, which may take longer.
    let mut costs = Costs::default();
    let mut payloads = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        costs.add(&payload)?;
        match payload {
            // Of these there may be millions.
            Payload::CustomSection(_) => {}
            // What no module has: the validator says so.
            Payload::UnknownSection { .. }
            | Payload::Version {
                encoding: Encoding::Component,
                ..
            } => break,
            payload => payloads.push(payload),
        }
    }
    let types = Validator::new_with_features(FEATURES).validate_all(wasm);
    let types = types.map_err(|error| match error.message() {
        // There is no other sign of it.
        "gc types are disallowed but found type which requires gc" => Rejection::HostReference,
        _ => error.into(),
    })?;
    let mut rewriter = Rewriter::default();
    let types = types.as_ref();
    let plugin = rewriter.module(wasm, payloads, &types)?;
    let callable = rewriter.callable(&types)?;
    let start_code = rewriter.start_code(&types)?;
    // Without exports there is none of the memory.
    let has_memory = rewriter.has_memory && !rewriter.exports.is_empty();
    Ok(Guarded {
        plugin,
        front: front::front(&callable, &start_code, has_memory, is_metered)?,
        start_code,
        has_bulk: rewriter.has_bulk,
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
    /// Whether it has bulk instructions.
    has_bulk: bool,
}

impl Rewriter {
    fn module(
        &mut self,
        wasm: &[u8],
        payloads: Vec<Payload<'_>>,
        types: &wasmparser::types::TypesRef<'_>,
    ) -> Result<Vec<u8>, Rejection> {
        // Behind the exports in the binary, but exported itself.
        self.start = payloads.iter().find_map(|payload| match payload {
            Payload::StartSection { func, .. } => Some(*func),
            _ => None,
        });
        let bulk = Bulk::of(&payloads)?;
        self.has_bulk = !bulk.is_empty();
        let mut module = Module::new();
        for payload in payloads {
            match payload {
                Payload::ImportSection(section) => {
                    module.section(&imports(section)?);
                }
                Payload::MemorySection(section) => {
                    let mut memories = MemorySection::new();
                    // A plugin can import none.
                    self.has_memory = section.count() > 0;
                    Bounded.parse_memory_section(&mut memories, section)?;
                    module.section(&memories);
                }
                Payload::TableSection(section) => {
                    let mut tables = TableSection::new();
                    Bounded.parse_table_section(&mut tables, section)?;
                    module.section(&tables);
                }
                Payload::ExportSection(section) => {
                    self.read_exports(section)?;
                    module.section(&self.inner_exports(types));
                }
                // Now an export. Nothing else is needed to run; names least, for the runtime would demangle those of what
                // trapped, and a few bytes may stand for gigabytes.
                Payload::StartSection { .. } => {}
                other => {
                    if let Some((id, range)) = other.as_section() {
                        match bulk.section(wasm, id, range.clone()) {
                            Some(section) => module.section(&section.raw()),
                            None => module.section(&RawSection {
                                id,
                                data: &wasm[range],
                            }),
                        };
                    }
                }
            }
        }
        Ok(module.finish())
    }

    fn read_exports(
        &mut self,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), Rejection> {
        for export in section {
            let export = export?;
            if export.name.starts_with(OWN) {
                let name = start::excerpt(export.name);
                return Err(Rejection::Export { name });
            }
            let name = export.name.to_owned();
            self.exports.push((name, export.kind, export.index));
        }
        Ok(())
    }

    /// What the front imports, and no more: names that mean something to the runtime are made names that do not.
    fn inner_exports(&self, types: &wasmparser::types::TypesRef<'_>) -> ExportSection {
        let mut exports = ExportSection::new();
        for (export, (name, _, index)) in self.typed(types).zip(&self.exports) {
            if start::is_reserved(name) && export.ty.is_some() || returns_code(&export).is_some() {
                exports.export(&inner_name(name), ExportKind::Func, *index);
            }
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
        exports
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
    fn callable<'t>(
        &'t self,
        types: &'t wasmparser::types::TypesRef<'t>,
    ) -> Result<Vec<(&'t str, bool)>, Rejection> {
        let ours = self.typed(types).filter(|e| !start::is_reserved(e.name));
        let callable: Vec<_> = ours
            .filter_map(|export| Some((export.name, returns_code(&export)?)))
            .collect();
        if callable.len() > CALLABLE_MAX as usize {
            let count = callable.len() as u64;
            return Err(Rejection::Callable { count });
        }
        Ok(callable)
    }

    fn start_code(&self, types: &wasmparser::types::TypesRef<'_>) -> Result<StartCode, StartError> {
        let exports: Vec<_> = self.typed(types).collect();
        // Without exports nothing can be called, and nothing is.
        let has_section = self.start.is_some() && !exports.is_empty();
        start_code(&exports, has_section)
    }
}

/// Whether a function that a request can call returns a code; `None` where no request can.
fn returns_code(export: &start::Export<'_>) -> Option<bool> {
    let ty = export.ty?;
    match (ty.params(), ty.results()) {
        ([], []) => Some(false),
        ([], [wasmparser::ValType::I32]) => Some(true),
        _ => None,
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
        let is_function = matches!(import.ty, TypeRef::Func(_));
        if import.module != KERNEL || !is_function || !is_guarded(import.name) {
            return Err(Rejection::Import {
                module: start::excerpt(import.module),
                name: start::excerpt(import.name),
            });
        }
        let ty = Bounded.entity_type(import.ty)?;
        imports.import(GUARD, import.name, ty);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_plugin_that_is_not_needed_to_run_reaches_the_runtime() {
        let text = r#"(module (@custom "a" "b") (func $named (export "shape")))"#;
        let wasm = wat::parse_str(text).expect("it is valid");
        let is_custom = |payload: &Payload<'_>| matches!(payload, Payload::CustomSection(_));
        let customs = |wasm: &[u8]| {
            let payloads = Parser::new(0).parse_all(wasm).filter_map(Result::ok);
            payloads.filter(is_custom).count()
        };
        assert_eq!(customs(&wasm), 2, "its names and its own");
        let guarded = guarded(&wasm).expect("it may run");
        assert_eq!(customs(&guarded.plugin), 0);
    }
}
