//! Modules with many items of each kind: powers of two up to the guard's limit, the limit itself,
//! one more, and far more.

use arbitrary::Unstructured;
use cc_lb_fuzz::host::guard;
use serde::{Deserialize, Serialize};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, ElementSection, Elements, EntityType,
    ExportKind, ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection,
    InstructionSink, MemorySection, MemoryType, Module, NameMap, NameSection, RefType,
    StartSection, TableSection, TableType, TypeSection, ValType,
};

/// A kind of item in a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ItemKind {
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
    /// Data segments, each in its own page of 4 KiB.
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
    /// Values on the stack during these instructions.
    Standing,
    /// The longest name of an export, in bytes.
    ExportNameBytes,
    /// Consecutive bulk instructions, one kind in each of these variants.
    Fills,
    Copies,
    Inits,
    TableFills,
    TableCopies,
    TableInits,
}

/// The most instructions of a function that count as blocks. The function itself counts as one.
const INSTRUCTIONS_MAX: u64 = guard::BLOCKS_MAX - 1;

/// The kinds of items with the guard's limit for each. Some are reduced by what every module has,
/// and by what a handshake adds: three types, three imports and an exported function.
const ALL: [(ItemKind, u64); 32] = [
    (ItemKind::Types, guard::TYPES_MAX as u64 - 3),
    (ItemKind::Parameters, guard::PARAMETERS_MAX as u64),
    (ItemKind::Results, guard::RESULTS_MAX as u64),
    (ItemKind::Imports, guard::IMPORTS_MAX as u64 - 3),
    (ItemKind::Functions, guard::FUNCTIONS_MAX as u64 - 4),
    (ItemKind::Callable, guard::CALLABLE_MAX as u64 - 3),
    (ItemKind::Exports, guard::EXPORTS_MAX as u64 - 3),
    (ItemKind::NameBytes, 1 << 20),
    (ItemKind::Globals, guard::GLOBALS_MAX as u64),
    (ItemKind::ConstantInstructions, guard::CONSTANT_MAX),
    (ItemKind::Pages, guard::MEMORY_MAX_PAGES),
    (ItemKind::DataSegments, guard::SEGMENTS_MAX as u64 - 1),
    (ItemKind::DataBytes, guard::DATA_MAX_BYTES),
    (ItemKind::Scattered, guard::COPIED_PAGES_MAX),
    (ItemKind::Tables, guard::TABLES_MAX as u64),
    (ItemKind::Entries, guard::TABLE_MAX_ENTRIES),
    (ItemKind::Elements, guard::ELEMENTS_MAX - 1),
    (ItemKind::Locals, 50_000),
    (ItemKind::Blocks, INSTRUCTIONS_MAX),
    (ItemKind::Nesting, guard::NESTING_MAX as u64),
    (ItemKind::Calls, INSTRUCTIONS_MAX),
    (
        ItemKind::CallsByPointer,
        INSTRUCTIONS_MAX / guard::BLOCKS_OF_A_CALL_BY_POINTER,
    ),
    (ItemKind::Targets, INSTRUCTIONS_MAX - 3),
    (ItemKind::Plain, (guard::FUNCTION_MAX_BYTES as u64 - 16) / 7),
    (ItemKind::Standing, 20_000),
    (
        ItemKind::ExportNameBytes,
        guard::EXPORT_NAME_MAX_BYTES as u64,
    ),
    (ItemKind::Fills, INSTRUCTIONS_MAX),
    (ItemKind::Copies, INSTRUCTIONS_MAX),
    (ItemKind::Inits, INSTRUCTIONS_MAX),
    (ItemKind::TableFills, INSTRUCTIONS_MAX),
    (ItemKind::TableCopies, INSTRUCTIONS_MAX),
    (ItemKind::TableInits, INSTRUCTIONS_MAX),
];

/// The number of items of each kind; a few by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    many: Vec<(ItemKind, u64)>,
    /// Whether its code also runs when it is instantiated.
    is_started: bool,
}

fn count(most: u64, u: &mut Unstructured<'_>) -> arbitrary::Result<u64> {
    Ok(match u.int_in_range(0..=5)? {
        0 => most,
        1 => most + 1,
        _ => 1 << u.int_in_range(0..=most.ilog2())?,
    })
}

/// A number that is far too large is a limit, doubled up to this many times.
const DOUBLINGS_MAX: u32 = 6;

/// The largest number of all, so that a module has some tens of megabytes at most.
const FAR_BEYOND_MAX: u64 = 1 << 24;

/// The logarithm of the number of calls beside a number that is far too large: parameters and
/// results are only expensive in calls.
const FEW_CALLS_LOG2: u32 = 8;

/// The types that every module has, by index.
const CODE: u32 = 0;
const NOTHING: u32 = 1;
const WIDE: u32 = 2;
const LENGTH: u32 = 3;

/// Returns a function that only returns this many values.
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
    /// Draws large numbers for up to four kinds, or one that is far too large.
    pub fn arbitrary(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        if u.ratio(1, 8)? {
            return Self::far_beyond(u);
        }
        let mut many = Vec::new();
        for _ in 0..u.int_in_range(1..=4)? {
            let (kind, most) = *u.choose(&ALL)?;
            many.push((kind, count(most, u)?));
        }
        Ok(Self {
            many,
            is_started: u.ratio(1, 4)?,
        })
    }

    /// Draws far more of one kind than the guard allows. Right above a limit, a module that is
    /// wrongly accepted still costs little.
    fn far_beyond(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let (kind, most) = *u.choose(&ALL)?;
        let number = most << u.int_in_range(1..=DOUBLINGS_MAX)?;
        let calls = 1 << u.int_in_range(0..=FEW_CALLS_LOG2)?;
        Ok(Self {
            many: vec![(kind, number.min(FAR_BEYOND_MAX)), (ItemKind::Calls, calls)],
            is_started: u.ratio(1, 4)?,
        })
    }

    fn number_of(&self, kind: ItemKind) -> u64 {
        let many = self.many.iter().find(|(other, _)| *other == kind);
        many.map_or(0, |(_, count)| *count)
    }

    /// Does the same for kinds of which a module has at least one.
    fn at_least_one(&self, kind: ItemKind) -> u64 {
        self.number_of(kind).max(1)
    }

    /// Returns a module with these numbers of items.
    pub fn module(&self) -> Vec<u8> {
        let mut module = Module::new();
        module.section(&self.types());
        let imported = self.at_least_one(ItemKind::Imports) as u32;
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
        if self.number_of(ItemKind::NameBytes) > 0 {
            let mut names = NameMap::new();
            names.append(
                imported,
                &"n".repeat(self.number_of(ItemKind::NameBytes) as usize),
            );
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
        let parameters = self.at_least_one(ItemKind::Parameters) as usize;
        let results = self.at_least_one(ItemKind::Results) as usize;
        types.ty().function(
            std::iter::repeat_n(ValType::I32, parameters),
            std::iter::repeat_n(ValType::I32, results),
        );
        types.ty().function([], [ValType::I64]);
        for _ in types.len()..self.number_of(ItemKind::Types) as u32 {
            types.ty().function([], []);
        }
        types
    }

    /// Returns the wire function, a wide function, a function that does the same as the first and
    /// returns nothing, functions that a host can call, and others.
    fn functions(&self, imported: u32) -> (FunctionSection, CodeSection) {
        let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
        let mut add = |ty: u32, body: Function| {
            functions.function(ty);
            code.function(&body);
        };
        add(CODE, self.busy(imported, 1));
        add(WIDE, idle(self.at_least_one(ItemKind::Results)));
        add(NOTHING, self.busy(imported, 0));
        for _ in 0..self.number_of(ItemKind::Callable) {
            add(CODE, idle(1));
        }
        for _ in u64::from(imported) + 3..self.number_of(ItemKind::Functions) {
            add(NOTHING, idle(0));
        }
        (functions, code)
    }

    /// Returns a function with everything that the counts say, which returns this many values.
    fn busy(&self, imported: u32, results: u64) -> Function {
        let locals = self.number_of(ItemKind::Locals) as u32;
        let mut body = Function::new([(locals, ValType::I32)]);
        self.body(&mut body.instructions(), imported);
        end(body, results)
    }

    fn body(&self, code: &mut InstructionSink<'_>, imported: u32) {
        for _ in 0..self.number_of(ItemKind::Standing) {
            code.i32_const(0);
        }
        self.inside(code, imported);
        for _ in 0..self.number_of(ItemKind::Standing) {
            code.drop();
        }
    }

    fn inside(&self, code: &mut InstructionSink<'_>, imported: u32) {
        for _ in 0..self.number_of(ItemKind::Plain) {
            code.f32_const(0.0.into()).f32_nearest().drop();
        }
        for _ in 0..self.number_of(ItemKind::Blocks) {
            code.block(BlockType::Empty).end();
        }
        let depth = self.number_of(ItemKind::Nesting);
        for _ in 0..depth {
            code.loop_(BlockType::Empty);
        }
        for _ in 0..depth {
            code.end();
        }
        for _ in 0..self.number_of(ItemKind::Calls) {
            for _ in 0..self.at_least_one(ItemKind::Parameters) {
                code.i32_const(0);
            }
            code.call(imported + 1);
            for _ in 0..self.at_least_one(ItemKind::Results) {
                code.drop();
            }
        }
        for _ in 0..self.number_of(ItemKind::CallsByPointer) {
            code.i32_const(0).call_indirect(0, NOTHING);
        }
        let targets = self.number_of(ItemKind::Targets);
        if targets > 0 {
            code.block(BlockType::Empty).i32_const(0);
            code.br_table(std::iter::repeat_n(0, targets as usize), 0)
                .end();
        }
        let bytes = (self.pages().min(guard::MEMORY_MAX_PAGES) << 16) as i32;
        let data = self.passive_bytes() as i32;
        let entries = self.entries() as i32;
        for _ in 0..self.number_of(ItemKind::Fills) {
            code.i32_const(0)
                .i32_const(1)
                .i32_const(bytes)
                .memory_fill(0);
        }
        for _ in 0..self.number_of(ItemKind::Copies) {
            code.i32_const(0)
                .i32_const(1)
                .i32_const(bytes - 1)
                .memory_copy(0, 0);
        }
        for _ in 0..self.number_of(ItemKind::Inits) {
            let last = self.segments() as u32;
            code.i32_const(0)
                .i32_const(0)
                .i32_const(data)
                .memory_init(0, last);
        }
        for _ in 0..self.number_of(ItemKind::TableFills) {
            code.i32_const(0)
                .ref_func(imported + 2)
                .i32_const(entries)
                .table_fill(0);
        }
        for _ in 0..self.number_of(ItemKind::TableCopies) {
            code.i32_const(0)
                .i32_const(0)
                .i32_const(entries)
                .table_copy(0, 0);
        }
        for _ in 0..self.number_of(ItemKind::TableInits) {
            let all = self.passive_elements() as i32;
            code.i32_const(0)
                .i32_const(0)
                .i32_const(all)
                .table_init(0, 1);
        }
    }

    fn tables(&self) -> TableSection {
        let mut tables = TableSection::new();
        for _ in 0..self.at_least_one(ItemKind::Tables) {
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
        let mut more = self.number_of(ItemKind::ConstantInstructions).div_ceil(2);
        let count = self.number_of(ItemKind::Globals).max(u64::from(more > 0));
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
        let long = self.number_of(ItemKind::ExportNameBytes) as usize;
        exports.export(&"x".repeat(long), ExportKind::Func, imported);
        for index in 0..self.number_of(ItemKind::Callable) as u32 {
            exports.export(&format!("f{index}"), ExportKind::Func, imported + 3 + index);
        }
        for index in 0..self.number_of(ItemKind::Exports) {
            exports.export(&format!("m{index}"), ExportKind::Memory, 0);
        }
        exports
    }

    fn elements(&self, imported: u32) -> ElementSection {
        let mut elements = ElementSection::new();
        let functions = |count: u64| Elements::Functions(vec![imported + 2; count as usize].into());
        let filled = functions(self.number_of(ItemKind::Elements));
        elements.active(None, &ConstExpr::i32_const(0), filled);
        elements.passive(functions(self.passive_elements()));
        elements
    }

    /// Returns the data segments, followed by a passive one.
    fn data(&self) -> DataSection {
        let mut data = DataSection::new();
        let segments = self.segments();
        let bytes =
            (self.number_of(ItemKind::DataBytes) / segments).max(self.is_scattered().into());
        let bytes = vec![b'z'; bytes as usize];
        for index in 0..segments {
            let at = if self.is_scattered() { index << 12 } else { 0 };
            data.active(0, &ConstExpr::i32_const(at as i32), bytes.iter().copied());
        }
        data.passive(vec![b'z'; self.passive_bytes() as usize]);
        data
    }

    fn is_scattered(&self) -> bool {
        self.number_of(ItemKind::Scattered) > 0
    }

    fn segments(&self) -> u64 {
        self.at_least_one(ItemKind::DataSegments)
            .max(self.number_of(ItemKind::Scattered))
    }

    /// Returns what instructions can copy, if there are such instructions.
    fn passive_bytes(&self) -> u64 {
        if self.number_of(ItemKind::Inits) > 0 {
            1 << 20
        } else {
            0
        }
    }

    fn passive_elements(&self) -> u64 {
        match self.number_of(ItemKind::TableInits) {
            0 => 1,
            _ => guard::ELEMENTS_MAX / 2,
        }
    }

    /// Returns the size of each table: everything that is put into it, and the limit if there are
    /// instructions on tables.
    fn entries(&self) -> u64 {
        let on_tables = [
            ItemKind::TableFills,
            ItemKind::TableCopies,
            ItemKind::TableInits,
        ];
        let most = on_tables.iter().any(|kind| self.number_of(*kind) > 0);
        let most = if most { guard::TABLE_MAX_ENTRIES } else { 1 };
        let size = match self.number_of(ItemKind::Entries) {
            0 => most,
            told => told,
        };
        size.max(self.number_of(ItemKind::Elements))
    }

    /// Returns the size of the memory: everything that is put into it, and the limit if there are
    /// instructions on it.
    fn pages(&self) -> u64 {
        let on_memory = [ItemKind::Fills, ItemKind::Copies];
        let most = on_memory.iter().any(|kind| self.number_of(*kind) > 0);
        let most = if most { guard::MEMORY_MAX_PAGES } else { 1 };
        let held = self
            .number_of(ItemKind::DataBytes)
            .max(self.number_of(ItemKind::Scattered) << 12);
        match self.number_of(ItemKind::Pages) {
            0 => most.max((held >> 16) + 1),
            told => told,
        }
    }
}
