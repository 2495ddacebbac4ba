//! The guard: rewrites a plugin before it runs, so that it cannot harm the host.
//!
//! Extism's kernel trusts the plugin with its bookkeeping, start code runs without a timeout, and
//! bulk instructions are not interrupted. Instead of the plugin's module, Extism gets three
//! modules:
//!
//! - the *plugin*, which imports from the guard only, with bounded memory and tables, calls in
//!   place of its bulk instructions, and its start code as an ordinary export;
//! - the *guard*, `guard.wat`, the kernel that the plugin gets in place of Extism's;
//! - the *front*, the module that Extism calls. For each function of the plugin it has one that
//!   tells the guard about the new call, calls the function, and lets the guard return the result
//!   to Extism.
//!
//! Bugs in this module look like a plugin that reaches the kernel's bookkeeping, or a valid plugin
//! that is refused.

use std::sync::LazyLock;

use wasm_encoder::reencode::Reencode as _;
use wasm_encoder::{
    ExportKind, ExportSection, ImportSection, MemorySection, Module, RawSection, TableSection,
};
use wasmparser::{Encoding, ExternalKind, Parser, Payload, TypeRef, Validator, WasmFeatures};

use bound_memories::Bounded;
use bulk::Bulk;
use enforce_limits::Costs;
use names::{BEGIN, END, GUARD, KERNEL, MEMORY, METER, OWN, PLUGIN, PLUGIN_MARK, inner_name};
use start_code::{StartCode, start_code};

mod bound_memories;
mod bulk;
mod enforce_limits;
mod front;
mod function_cost;
pub(crate) mod limits;
pub(crate) mod names;
pub(crate) mod rejection;
pub(crate) mod start_code;

pub use limits::*;
pub use names::{ERROR_MARK, LINK, START};
#[cfg(unix)]
pub(crate) use rejection::OPTIMIZE;
pub use rejection::Rejection;
pub use start_code::StartError;

/// The WebAssembly features that a plugin may use. References of the host are not among them: no
/// host provides any, and the runtime collects garbage for them, so that a function which holds
/// many takes gigabytes to compile.
const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .difference(WasmFeatures::GC_TYPES);

/// A plugin that is safe to run.
pub(super) struct Guarded {
    /// The rewritten module of the plugin.
    pub(crate) plugin: Vec<u8>,
    /// The front: the module that Extism calls.
    pub(super) front: Vec<u8>,
    /// The plugin's start code. The front has the export [`START`] or [`LINK`] if the respective
    /// part is not empty.
    pub(super) start_code: StartCode,
    /// Whether the plugin has bulk instructions.
    pub(super) has_bulk: bool,
    /// Whether the front exports the functions that read and write the meter.
    pub(super) is_metered: bool,
}

impl Guarded {
    /// Returns the Extism manifest: the guard, the plugin, the front and, for a metered copy, the
    /// meter. It allows no network access.
    pub(super) fn manifest(self) -> extism::Manifest {
        let meter = self.is_metered.then(crate::host::guard::meter_module);
        let modules = [
            extism::Wasm::data(guard()).with_name(GUARD),
            extism::Wasm::data(self.plugin).with_name(PLUGIN),
            extism::Wasm::data(self.front).with_name("main"),
        ];
        extism::Manifest::new(modules.into_iter().chain(meter)).disallow_all_hosts()
    }
}

/// Returns a manifest of a plugin behind the guard, for a host of your own on Extism.
///
/// If an instance has the export [`START`], call it first. If there is the export [`LINK`], call it
/// once, on an instance that is used for nothing else. Errors that the plugin sets begin with
/// [`ERROR_MARK`], and no other error does. You must set the limits of fuel and time, and continue
/// with a fresh instance after a call that ended abnormally.
///
/// # Errors
/// Returns a [`Rejection`] if the bytes are not a module, or the guard refuses it.
pub fn manifest(wasm: &[u8]) -> Result<extism::Manifest, Rejection> {
    Ok(guarded(wasm)?.manifest())
}

/// Returns the guard's module.
fn guard() -> &'static [u8] {
    static WASM: LazyLock<Vec<u8>> =
        LazyLock::new(|| wat::parse_str(include_str!("guard.wat")).expect("guard.wat is valid"));
    &WASM
}

/// Returns whether the guard has a function with this name for plugins: all of its exports except
/// those that the front calls.
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
    // Check the costs first: every other analysis may take longer.
    let mut costs = Costs::default();
    let mut payloads = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        costs.add(&payload)?;
        match payload {
            // There may be millions of custom sections.
            Payload::CustomSection(_) => {}
            // The validator reports these.
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
        // Only the message identifies this error.
        "gc types are disallowed but found type which requires gc" => Rejection::HostReference,
        _ => error.into(),
    })?;
    let mut rewriter = Rewriter::default();
    let types = types.as_ref();
    let plugin = rewriter.module(wasm, payloads, &types)?;
    let callable = rewriter.callable(&types)?;
    let start_code = rewriter.start_code(&types)?;
    // Without exports, the memory is not exported either.
    let has_memory = rewriter.has_memory && !rewriter.exports.is_empty();
    Ok(Guarded {
        plugin,
        front: front::front(&callable, &start_code, has_memory, is_metered)?,
        start_code,
        has_bulk: rewriter.has_bulk,
        is_metered,
    })
}

/// A rewriter of a plugin's module, which collects what the front needs.
#[derive(Default)]
struct Rewriter {
    /// The exports: name, kind, and index among the items of that kind.
    exports: Vec<(String, ExternalKind, u32)>,
    /// The index of the start function, if there is a start section.
    pub(crate) start: Option<u32>,
    /// Whether it has a memory.
    has_memory: bool,
    /// Whether it has bulk instructions.
    has_bulk: bool,
}

impl Rewriter {
    pub(crate) fn module(
        &mut self,
        wasm: &[u8],
        payloads: Vec<Payload<'_>>,
        types: &wasmparser::types::TypesRef<'_>,
    ) -> Result<Vec<u8>, Rejection> {
        // The start section follows the exports, but its function becomes an export.
        self.start = payloads.iter().find_map(|payload| match payload {
            Payload::StartSection { func, .. } => Some(*func),
            _ => None,
        });
        let bulk = Bulk::find_all(&payloads)?;
        self.has_bulk = !bulk.is_empty();
        let mut module = Module::new();
        for payload in payloads {
            match payload {
                Payload::ImportSection(section) => {
                    module.section(&imports(section)?);
                }
                Payload::MemorySection(section) => {
                    let mut memories = MemorySection::new();
                    // A plugin cannot import a memory.
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
                // The start function is an export now. Custom sections are dropped, names above
                // all: the runtime would demangle the names of what trapped, and a few bytes may
                // expand to gigabytes.
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
                let name = start_code::excerpt(export.name);
                return Err(Rejection::Export { name });
            }
            let name = export.name.to_owned();
            self.exports.push((name, export.kind, export.index));
        }
        Ok(())
    }

    /// Returns the exports that the front imports. Names that are special to the runtime are
    /// replaced.
    fn inner_exports(&self, types: &wasmparser::types::TypesRef<'_>) -> ExportSection {
        let mut exports = ExportSection::new();
        for (export, (name, _, index)) in self.typed(types).zip(&self.exports) {
            if start_code::is_reserved(name) && export.ty.is_some()
                || returns_code(&export).is_some()
            {
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

    /// Returns the exports, with the types of functions.
    fn typed<'t>(
        &'t self,
        types: &'t wasmparser::types::TypesRef<'t>,
    ) -> impl Iterator<Item = start_code::Export<'t>> {
        self.exports.iter().map(|(name, kind, index)| {
            let is_function = *kind == ExternalKind::Func;
            let ty = is_function.then(|| types[types.core_function_at(*index)].unwrap_func());
            start_code::Export {
                name,
                kind: *kind,
                ty,
            }
        })
    }

    /// Returns the exported functions that a request can call, each with whether it returns a code.
    fn callable<'t>(
        &'t self,
        types: &'t wasmparser::types::TypesRef<'t>,
    ) -> Result<Vec<(&'t str, bool)>, Rejection> {
        let ours = self
            .typed(types)
            .filter(|e| !start_code::is_reserved(e.name));
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
        // Without exports nothing can be called, so nothing runs.
        let has_section = self.start.is_some() && !exports.is_empty();
        start_code(&exports, has_section)
    }
}

/// Returns whether a function returns a code, or `None` if no request can call it.
fn returns_code(export: &start_code::Export<'_>) -> Option<bool> {
    let ty = export.ty?;
    match (ty.params(), ty.results()) {
        ([], []) => Some(false),
        ([], [wasmparser::ValType::I32]) => Some(true),
        _ => None,
    }
}

fn imports(section: wasmparser::ImportSectionReader<'_>) -> Result<ImportSection, Rejection> {
    let mut imports = ImportSection::new();
    for import in section.into_imports() {
        let import = import?;
        let is_function = matches!(import.ty, TypeRef::Func(_));
        if import.module != KERNEL || !is_function || !is_guarded(import.name) {
            return Err(Rejection::Import {
                module: start_code::excerpt(import.module),
                name: start_code::excerpt(import.name),
            });
        }
        let ty = Bounded.entity_type(import.ty)?;
        imports.import(GUARD, import.name, ty);
    }
    Ok(imports)
}

/// Returns the meter's module.
pub(super) fn meter_module() -> extism::Wasm {
    static WASM: LazyLock<Vec<u8>> =
        LazyLock::new(|| wat::parse_str(include_str!("meter.wat")).expect("meter.wat is valid"));
    extism::Wasm::data(&**WASM).with_name(METER)
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
