//! The modules of handshake cases.

use std::collections::BTreeSet;
use std::convert::Infallible;

use cc_lb_plugin_wire::identity::CC_LB_PLUGIN_SECTION_NAME;
use cc_lb_plugin_wire::wire_function::all_wire_functions;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, CustomSection, DataSection, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, ImportSection, MemArg, MemorySection, MemoryType,
    Module, SectionId, TypeSection, ValType,
};
use wasmparser::{Parser, Payload, TypeRef};

use super::{HandshakeCase, Reply, rounds};
use crate::host::handshake::HANDSHAKE_EXPORT;

const KERNEL: &str = "extism:host/env";

/// The code that the exported functions return.
const CODE: i32 = 7;

/// The indices of the imports.
mod import {
    pub(crate) const ALLOC: u32 = 0;
    pub(crate) const STORE_U8: u32 = 1;
    pub(crate) const OUTPUT_SET: u32 = 2;
    pub(crate) const ERROR_SET: u32 = 3;
    pub(crate) const COUNT: u32 = 4;
}

impl HandshakeCase {
    /// Returns the plugin's module.
    pub fn wasm(&self) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([ValType::I64], [ValType::I64]);
        types.ty().function([ValType::I64, ValType::I32], []);
        types.ty().function([ValType::I64, ValType::I64], []);
        types.ty().function([ValType::I64], []);
        types.ty().function([], [ValType::I32]);
        let mut imports = ImportSection::new();
        for (ty, name) in (0..).zip(["alloc", "store_u8", "output_set", "error_set"]) {
            imports.import(KERNEL, name, EntityType::Function(ty));
        }
        let mut functions = FunctionSection::new();
        let mut exports = ExportSection::new();
        let mut code = CodeSection::new();
        if self.reply != Reply::Missing {
            exports.export(HANDSHAKE_EXPORT, ExportKind::Func, import::COUNT);
            functions.function(4);
            code.function(&self.handshake());
        }
        let others = self.exports.iter().filter(|name| *name != HANDSHAKE_EXPORT);
        for name in others {
            exports.export(name, ExportKind::Func, import::COUNT + functions.len());
            functions.function(4);
            let mut body = Function::new([]);
            body.instructions().i32_const(CODE).end();
            code.function(&body);
        }
        let (output, error) = self.texts();
        let texts = [output, error].concat();
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: texts.len() as u64 / 65_536 + 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut data = DataSection::new();
        data.active(0, &ConstExpr::i32_const(0), texts);
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&functions);
        module.section(&memories).section(&exports);
        module.section(&code).section(&data);
        for identity in &self.identities {
            module.section(&identity_section(&identity.0));
        }
        module.finish()
    }

    /// Returns the output and the error that the handshake sets.
    fn texts(&self) -> (&[u8], &[u8]) {
        match &self.reply {
            Reply::Answer(output)
            | Reply::ExitCode(output, _)
            | Reply::Trap(output)
            | Reply::Loops(output, _) => (&output.0, &[]),
            Reply::Error(output, error) => (&output.0, &error.0),
            Reply::Missing => (&[], &[]),
        }
    }

    fn handshake(&self) -> Function {
        let (output, error) = self.texts();
        // The handle of a block, and the number of bytes written to it.
        let mut body = Function::new([(1, ValType::I64), (1, ValType::I32)]);
        let (start, length) = (output.len(), error.len());
        if let Reply::Loops(_, loops) = self.reply {
            burn(&mut body, rounds(loops));
        }
        if start > 0 {
            fill_block(&mut body, 0, start);
            let mut code = body.instructions();
            code.local_get(0).i64_const(start as i64);
            code.call(import::OUTPUT_SET);
        }
        if length > 0 {
            fill_block(&mut body, start, length);
            body.instructions().local_get(0).call(import::ERROR_SET);
        }
        let mut code = body.instructions();
        match self.reply {
            Reply::Trap(_) => code.unreachable(),
            Reply::ExitCode(_, exit_code) => code.i32_const(exit_code),
            _ => code.i32_const(0),
        };
        code.end();
        body
    }
}

/// Emits a loop of this many iterations, at least one.
fn burn(body: &mut Function, rounds: u32) {
    let mut code = body.instructions();
    code.loop_(BlockType::Empty);
    code.local_get(1).i32_const(1).i32_add().local_tee(1);
    code.i32_const(rounds as i32).i32_lt_u();
    code.br_if(0).end();
}

/// Emits a copy of this many bytes of the memory to a new block, and leaves its handle in local 0.
fn fill_block(body: &mut Function, from: usize, length: usize) {
    let byte = MemArg {
        offset: from as u64,
        align: 0,
        memory_index: 0,
    };
    let mut code = body.instructions();
    code.i64_const(length as i64).call(import::ALLOC);
    code.local_set(0).i32_const(0).local_set(1);
    code.loop_(BlockType::Empty);
    code.local_get(0).local_get(1).i64_extend_i32_u().i64_add();
    code.local_get(1).i32_load8_u(byte).call(import::STORE_U8);
    code.local_get(1).i32_const(1).i32_add().local_tee(1);
    code.i32_const(length as i32).i32_lt_u().br_if(0);
    code.end();
}

fn identity_section(data: &[u8]) -> CustomSection<'_> {
    CustomSection {
        name: CC_LB_PLUGIN_SECTION_NAME.into(),
        data: data.into(),
    }
}

/// Adds an identity and a valid handshake, which declares the exported wire functions, to any
/// module. So it opens if the host allows it, and the rest of the module decides the outcome of the
/// session. Returns `None` if the bytes are not a module, or it has a handshake, or it lacks one of
/// the sections that all but trivial modules have.
pub fn with_handshake(wasm: &[u8]) -> Option<Vec<u8>> {
    let mut graft = Graft::new(wasm)?;
    let mut module = Module::new();
    graft
        .parse_core_module(&mut module, Parser::new(0), wasm)
        .ok()?;
    let sound = HandshakeCase::sound([]);
    for identity in &sound.identities {
        module.section(&identity_section(&identity.0));
    }
    Some(module.finish())
}

/// A rewriter that appends imports, types and a function to a module.
struct Graft {
    types: u32,
    /// The number of imported functions; `None` without an import section.
    imports: Option<u32>,
    defined: u32,
    /// The answer, padded to a multiple of eight bytes.
    answer: Vec<u8>,
}

/// The functions that a [`Graft`] imports, in the order of their types.
const GRAFTED: [&str; 3] = ["alloc", "store_u64", "output_set"];

impl Graft {
    fn new(wasm: &[u8]) -> Option<Self> {
        let (mut types, mut imported, mut defined) = (None, None, None);
        let (mut exports, mut code) = (None, false);
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.ok()? {
                Payload::TypeSection(section) => types = Some(section.count()),
                Payload::ImportSection(section) => {
                    let imports = section.into_imports().collect::<Result<Vec<_>, _>>().ok()?;
                    let functions = imports.iter().filter(|i| matches!(i.ty, TypeRef::Func(_)));
                    imported = Some(functions.count() as u32);
                }
                Payload::FunctionSection(section) => defined = Some(section.count()),
                Payload::ExportSection(section) => {
                    let names = section.into_iter().map(|export| Ok(export?.name));
                    let names: Result<BTreeSet<&str>, wasmparser::BinaryReaderError> =
                        names.collect();
                    exports = Some(names.ok()?);
                }
                Payload::CodeSectionStart { .. } => code = true,
                _ => {}
            }
        }
        let exports = exports.filter(|names| code && !names.contains(HANDSHAKE_EXPORT))?;
        let wire = all_wire_functions().iter().copied();
        let Reply::Answer(answer) =
            HandshakeCase::sound(wire.filter(|name| exports.contains(name))).reply
        else {
            return None;
        };
        let mut answer = answer.0;
        answer.resize(answer.len().next_multiple_of(8), b' ');
        Some(Self {
            types: types?,
            imports: imported,
            defined: defined?,
            answer,
        })
    }

    fn imported(&self) -> u32 {
        self.imports.unwrap_or(0)
    }

    fn import(&self, imports: &mut ImportSection) {
        for (name, ty) in GRAFTED.into_iter().zip([0, 1, 1]) {
            imports.import(KERNEL, name, EntityType::Function(self.types + ty));
        }
    }

    fn handshake(&self) -> Function {
        let [alloc, store_u64, output_set] = [0, 1, 2].map(|import| self.imported() + import);
        let length = self.answer.len() as i64;
        let mut body = Function::new([(1, ValType::I64)]);
        let mut code = body.instructions();
        code.i64_const(length).call(alloc).local_set(0);
        for (at, bytes) in (0..).step_by(8).zip(self.answer.chunks_exact(8)) {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            code.local_get(0).i64_const(at).i64_add();
            code.i64_const(i64::from_le_bytes(eight)).call(store_u64);
        }
        code.local_get(0).i64_const(length).call(output_set);
        code.i32_const(0).end();
        body
    }
}

impl Reencode for Graft {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error> {
        let grafted = GRAFTED.len() as u32;
        Ok(if function < self.imported() {
            function
        } else {
            function + grafted
        })
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_type_section(self, types, section)?;
        types.ty().function([ValType::I64], [ValType::I64]);
        types.ty().function([ValType::I64, ValType::I64], []);
        types.ty().function([], [ValType::I32]);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_import_section(self, imports, section)?;
        self.import(imports);
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        after: Option<SectionId>,
        _: Option<SectionId>,
    ) -> Result<(), reencode::Error> {
        if self.imports.is_none() && after == Some(SectionId::Type) {
            let mut imports = ImportSection::new();
            self.import(&mut imports);
            module.section(&imports);
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_function_section(self, functions, section)?;
        functions.function(self.types + 2);
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_export_section(self, exports, section)?;
        let handshake = self.function_index(self.imported() + self.defined)?;
        exports.export(HANDSHAKE_EXPORT, ExportKind::Func, handshake);
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_code_section(self, code, section)?;
        code.function(&self.handshake());
        Ok(())
    }
}
