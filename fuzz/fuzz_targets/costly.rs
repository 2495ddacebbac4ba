//! Modules by their costs: how many there are of each thing that a module has, powers of two up to what the guard lets through,
//! that itself, and one more.

use arbitrary::Unstructured;
use cc_lb_fuzz::host::guard;
use serde::{Deserialize, Serialize};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, ElementSection, Elements, EntityType,
    ExportKind, ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection,
    InstructionSink, MemorySection, MemoryType, Module, NameMap, NameSection, RefType,
    StartSection, TableSection, TableType, TypeSection, ValType,
};

/// A thing that a module has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Of {
    Types,
    Parameters,
    Results,
    Imports,
    Functions,
    Callable,
    Exports,
    NameBytes,
    Globals,
    ConstantInstructions,
    Pages,
    DataSegments,
    DataBytes,
    /// Segments of data, each in a page of 4 KiB of its own.
    Scattered,
    Tables,
    Entries,
    Elements,
    Locals,
    Blocks,
    Nesting,
    Calls,
    CallsByPointer,
    Targets,
    /// Instructions that take long to compile for their size.
    Plain,
    /// Values that stand on the stack meanwhile.
    Standing,
    /// The longest name of an export, in bytes.
    ExportNameBytes,
    /// Bulk instructions in a line, the first of each kind.
    Fills,
    Copies,
    Inits,
    TableFills,
    TableCopies,
    TableInits,
}

/// The most instructions of a function that count as blocks do. A function is one itself.
const INSTRUCTIONS_MAX: u64 = guard::BLOCKS_MAX - 1;

/// Each thing, and how many the guard lets through at most. Some less, for what each module has anyway, and for what a handshake
/// adds: three types, three imports, and a function that is exported.
const ALL: [(Of, u64); 32] = [
    (Of::Types, guard::TYPES_MAX as u64 - 3),
    (Of::Parameters, guard::PARAMETERS_MAX as u64),
    (Of::Results, guard::RESULTS_MAX as u64),
    (Of::Imports, guard::IMPORTS_MAX as u64 - 3),
    (Of::Functions, guard::FUNCTIONS_MAX as u64 - 4),
    (Of::Callable, guard::CALLABLE_MAX as u64 - 3),
    (Of::Exports, guard::EXPORTS_MAX as u64 - 3),
    (Of::NameBytes, 1 << 20),
    (Of::Globals, guard::GLOBALS_MAX as u64),
    (Of::ConstantInstructions, guard::CONSTANT_MAX),
    (Of::Pages, guard::MEMORY_MAX_PAGES),
    (Of::DataSegments, guard::SEGMENTS_MAX as u64 - 1),
    (Of::DataBytes, guard::DATA_MAX_BYTES),
    (Of::Scattered, guard::COPIED_PAGES_MAX),
    (Of::Tables, guard::TABLES_MAX as u64),
    (Of::Entries, guard::TABLE_MAX_ENTRIES),
    (Of::Elements, guard::ELEMENTS_MAX - 1),
    (Of::Locals, 50_000),
    (Of::Blocks, INSTRUCTIONS_MAX),
    (Of::Nesting, guard::NESTING_MAX as u64),
    (Of::Calls, INSTRUCTIONS_MAX),
    (
        Of::CallsByPointer,
        INSTRUCTIONS_MAX / guard::BLOCKS_OF_A_CALL_BY_POINTER,
    ),
    (Of::Targets, INSTRUCTIONS_MAX - 3),
    (Of::Plain, (guard::FUNCTION_MAX_BYTES as u64 - 16) / 7),
    (Of::Standing, 20_000),
    (Of::ExportNameBytes, guard::EXPORT_NAME_MAX_BYTES as u64),
    (Of::Fills, INSTRUCTIONS_MAX),
    (Of::Copies, INSTRUCTIONS_MAX),
    (Of::Inits, INSTRUCTIONS_MAX),
    (Of::TableFills, INSTRUCTIONS_MAX),
    (Of::TableCopies, INSTRUCTIONS_MAX),
    (Of::TableInits, INSTRUCTIONS_MAX),
];

/// How many of each thing a module has; few, where it is not told otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    many: Vec<(Of, u64)>,
    /// Whether its code runs when it is instantiated, too.
    is_started: bool,
}

fn count(most: u64, u: &mut Unstructured<'_>) -> arbitrary::Result<u64> {
    Ok(match u.int_in_range(0..=5)? {
        0 => most,
        1 => most + 1,
        _ => 1 << u.int_in_range(0..=most.ilog2())?,
    })
}

/// The types that every module has, by their places.
const CODE: u32 = 0;
const NOTHING: u32 = 1;
const WIDE: u32 = 2;
const LENGTH: u32 = 3;

/// A function that does nothing but return so many values.
fn idle(results: u64) -> Function {
    end(Function::new([]), results)
}

fn end(mut body: Function, results: u64) -> Function {
    for _ in 0..results {
        body.instructions().i32_const(0);
    }
    body.instructions().end();
    body
}

impl Counts {
    /// Many of up to four things.
    pub fn arbitrary(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let mut many = Vec::new();
        for _ in 0..u.int_in_range(1..=4)? {
            let (of, most) = *u.choose(&ALL)?;
            many.push((of, count(most, u)?));
        }
        Ok(Self {
            many,
            is_started: u.ratio(1, 4)?,
        })
    }

    fn of(&self, of: Of) -> u64 {
        let many = self.many.iter().find(|(other, _)| *other == of);
        many.map_or(0, |(_, count)| *count)
    }

    /// The same for what a module has one of at least.
    fn at_least_one(&self, of: Of) -> u64 {
        self.of(of).max(1)
    }

    /// A module that has so many.
    pub fn module(&self) -> Vec<u8> {
        let mut module = Module::new();
        module.section(&self.types());
        let imported = self.at_least_one(Of::Imports) as u32;
        let mut imports = ImportSection::new();
        for _ in 0..imported {
            imports.import(
                "extism:host/env",
                "input_length",
                EntityType::Function(LENGTH),
            );
        }
        module.section(&imports);
        let (functions, code) = self.functions(imported);
        module.section(&functions);
        module.section(&self.tables());
        module.section(&self.memories());
        module.section(&self.globals());
        module.section(&self.exports(imported));
        if self.is_started {
            let function_index = imported + 2;
            module.section(&StartSection { function_index });
        }
        module.section(&self.elements(imported));
        let data = self.data();
        module.section(&wasm_encoder::DataCountSection { count: data.len() });
        module.section(&code);
        module.section(&data);
        if self.of(Of::NameBytes) > 0 {
            let mut names = NameMap::new();
            names.append(imported, &"n".repeat(self.of(Of::NameBytes) as usize));
            let mut section = NameSection::new();
            section.functions(&names);
            module.section(&section);
        }
        module.finish()
    }

    fn types(&self) -> TypeSection {
        let mut types = TypeSection::new();
        types.ty().function([], [ValType::I32]);
        types.ty().function([], []);
        let parameters = self.at_least_one(Of::Parameters) as usize;
        let results = self.at_least_one(Of::Results) as usize;
        types.ty().function(
            std::iter::repeat_n(ValType::I32, parameters),
            std::iter::repeat_n(ValType::I32, results),
        );
        types.ty().function([], [ValType::I64]);
        for _ in types.len()..self.of(Of::Types) as u32 {
            types.ty().function([], []);
        }
        types
    }

    /// The wire function, a wide function, one that does the same as the first and returns nothing, those that a host can
    /// call, and others.
    fn functions(&self, imported: u32) -> (FunctionSection, CodeSection) {
        let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
        let mut add = |ty: u32, body: Function| {
            functions.function(ty);
            code.function(&body);
        };
        add(CODE, self.busy(imported, 1));
        add(WIDE, idle(self.at_least_one(Of::Results)));
        add(NOTHING, self.busy(imported, 0));
        for _ in 0..self.of(Of::Callable) {
            add(CODE, idle(1));
        }
        for _ in u64::from(imported) + 3..self.of(Of::Functions) {
            add(NOTHING, idle(0));
        }
        (functions, code)
    }

    /// A function that does all that the counts say, and returns so many values.
    fn busy(&self, imported: u32, results: u64) -> Function {
        let locals = self.of(Of::Locals) as u32;
        let mut body = Function::new([(locals, ValType::I32)]);
        self.body(&mut body.instructions(), imported);
        end(body, results)
    }

    fn body(&self, code: &mut InstructionSink<'_>, imported: u32) {
        for _ in 0..self.of(Of::Standing) {
            code.i32_const(0);
        }
        self.inside(code, imported);
        for _ in 0..self.of(Of::Standing) {
            code.drop();
        }
    }

    fn inside(&self, code: &mut InstructionSink<'_>, imported: u32) {
        for _ in 0..self.of(Of::Plain) {
            code.f32_const(0.0.into()).f32_nearest().drop();
        }
        for _ in 0..self.of(Of::Blocks) {
            code.block(BlockType::Empty).end();
        }
        let depth = self.of(Of::Nesting);
        for _ in 0..depth {
            code.loop_(BlockType::Empty);
        }
        for _ in 0..depth {
            code.end();
        }
        for _ in 0..self.of(Of::Calls) {
            for _ in 0..self.at_least_one(Of::Parameters) {
                code.i32_const(0);
            }
            code.call(imported + 1);
            for _ in 0..self.at_least_one(Of::Results) {
                code.drop();
            }
        }
        for _ in 0..self.of(Of::CallsByPointer) {
            code.i32_const(0).call_indirect(0, NOTHING);
        }
        let targets = self.of(Of::Targets);
        if targets > 0 {
            code.block(BlockType::Empty).i32_const(0);
            code.br_table(std::iter::repeat_n(0, targets as usize), 0)
                .end();
        }
        let bytes = (self.pages().min(guard::MEMORY_MAX_PAGES) << 16) as i32;
        let data = self.passive_bytes() as i32;
        let entries = self.entries() as i32;
        for _ in 0..self.of(Of::Fills) {
            code.i32_const(0)
                .i32_const(1)
                .i32_const(bytes)
                .memory_fill(0);
        }
        for _ in 0..self.of(Of::Copies) {
            code.i32_const(0)
                .i32_const(1)
                .i32_const(bytes - 1)
                .memory_copy(0, 0);
        }
        for _ in 0..self.of(Of::Inits) {
            let last = self.segments() as u32;
            code.i32_const(0)
                .i32_const(0)
                .i32_const(data)
                .memory_init(0, last);
        }
        for _ in 0..self.of(Of::TableFills) {
            code.i32_const(0)
                .ref_func(imported + 2)
                .i32_const(entries)
                .table_fill(0);
        }
        for _ in 0..self.of(Of::TableCopies) {
            code.i32_const(0)
                .i32_const(0)
                .i32_const(entries)
                .table_copy(0, 0);
        }
        for _ in 0..self.of(Of::TableInits) {
            let all = self.passive_elements() as i32;
            code.i32_const(0)
                .i32_const(0)
                .i32_const(all)
                .table_init(0, 1);
        }
    }

    fn tables(&self) -> TableSection {
        let mut tables = TableSection::new();
        for _ in 0..self.at_least_one(Of::Tables) {
            tables.table(TableType {
                element_type: RefType::FUNCREF,
                table64: false,
                minimum: self.entries(),
                maximum: None,
                shared: false,
            });
        }
        tables
    }

    fn memories(&self) -> MemorySection {
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: self.pages(),
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        memories
    }

    fn globals(&self) -> GlobalSection {
        let mut globals = GlobalSection::new();
        let mut more = self.of(Of::ConstantInstructions).div_ceil(2);
        let count = self.of(Of::Globals).max(u64::from(more > 0));
        for _ in 0..count {
            let mut value = ConstExpr::i32_const(0);
            for _ in 0..std::mem::take(&mut more) {
                value = value.with_i32_const(1).with_i32_add();
            }
            let ty = GlobalType {
                val_type: ValType::I32,
                mutable: false,
                shared: false,
            };
            globals.global(ty, &value);
        }
        globals
    }

    fn exports(&self, imported: u32) -> ExportSection {
        let mut exports = ExportSection::new();
        exports.export("shape", ExportKind::Func, imported);
        let long = self.of(Of::ExportNameBytes) as usize;
        exports.export(&"x".repeat(long), ExportKind::Func, imported);
        for place in 0..self.of(Of::Callable) as u32 {
            exports.export(&format!("f{place}"), ExportKind::Func, imported + 3 + place);
        }
        for place in 0..self.of(Of::Exports) {
            exports.export(&format!("m{place}"), ExportKind::Memory, 0);
        }
        exports
    }

    fn elements(&self, imported: u32) -> ElementSection {
        let mut elements = ElementSection::new();
        let functions = |count: u64| Elements::Functions(vec![imported + 2; count as usize].into());
        let filled = functions(self.of(Of::Elements));
        elements.active(None, &ConstExpr::i32_const(0), filled);
        elements.passive(functions(self.passive_elements()));
        elements
    }

    /// The segments of data. One more behind them is passive.
    fn data(&self) -> DataSection {
        let mut data = DataSection::new();
        let segments = self.segments();
        let bytes = (self.of(Of::DataBytes) / segments).max(self.is_scattered().into());
        let bytes = vec![b'z'; bytes as usize];
        for place in 0..segments {
            let at = if self.is_scattered() { place << 12 } else { 0 };
            data.active(0, &ConstExpr::i32_const(at as i32), bytes.iter().copied());
        }
        data.passive(vec![b'z'; self.passive_bytes() as usize]);
        data
    }

    fn is_scattered(&self) -> bool {
        self.of(Of::Scattered) > 0
    }

    fn segments(&self) -> u64 {
        self.at_least_one(Of::DataSegments)
            .max(self.of(Of::Scattered))
    }

    /// What there is for instructions to copy, where there are such.
    fn passive_bytes(&self) -> u64 {
        if self.of(Of::Inits) > 0 { 1 << 20 } else { 0 }
    }

    fn passive_elements(&self) -> u64 {
        match self.of(Of::TableInits) {
            0 => 1,
            _ => guard::ELEMENTS_MAX / 2,
        }
    }

    /// The size of each table: all that is put into it, and as large as may be where there are instructions on tables.
    fn entries(&self) -> u64 {
        let on_tables = [Of::TableFills, Of::TableCopies, Of::TableInits];
        let most = on_tables.iter().any(|of| self.of(*of) > 0);
        let most = if most { guard::TABLE_MAX_ENTRIES } else { 1 };
        let size = match self.of(Of::Entries) {
            0 => most,
            told => told,
        };
        size.max(self.of(Of::Elements))
    }

    /// The size of the memory: all that is put into it, and as large as may be where there are instructions on it.
    fn pages(&self) -> u64 {
        let on_memory = [Of::Fills, Of::Copies];
        let most = on_memory.iter().any(|of| self.of(*of) > 0);
        let most = if most { guard::MEMORY_MAX_PAGES } else { 1 };
        let held = self.of(Of::DataBytes).max(self.of(Of::Scattered) << 12);
        match self.of(Of::Pages) {
            0 => most.max((held >> 16) + 1),
            told => told,
        }
    }
}
