//! What a plugin's module costs before any of it runs: memory to compile its functions, time to instantiate it.
//!
//! A discrepancy here is a small module that takes the memory or the time of whoever opens it.

use wasmparser::{
    BlockType, ConstExpr, DataKind, ElementItems, ElementKind, FunctionBody, Operator, Payload,
    TableInit, TypeRef,
};

use super::bounds::{
    BLOCKS_MAX, BLOCKS_OF_A_CALL_BY_POINTER, BLOCKS_OF_ALL_MAX, CODE_MAX_BYTES, CONSTANT_MAX,
    COPIED_PAGES_MAX, DATA_MAX_BYTES, ELEMENTS_MAX, EXPORTS_MAX, FUNCTIONS_MAX, GLOBALS_MAX,
    HANDED_ON_MAX, IMPORTS_MAX, LOCALS_IN_BLOCKS_MAX, LOCALS_IN_BLOCKS_OF_ALL_MAX, LOCALS_MAX,
    MAPPED_MAX_BYTES, MEMORY_MAX_PAGES, NESTING_MAX, PARAMETERS_MAX, RESULTS_MAX, SEGMENTS_MAX,
    SIGNATURES_MAX, TABLE_MAX_ENTRIES, TABLES_MAX, TYPES_MAX,
};
use super::rejection::Rejection;

/// The number of parameters and of results.
#[derive(Clone, Copy, Debug, Default)]
struct Arity {
    parameters: u64,
    results: u64,
}

/// What the sections so far come to.
#[derive(Debug, Default)]
pub(super) struct Costs {
    types: Vec<Arity>,
    /// The type of each function.
    functions: Vec<u32>,
    imported: usize,
    /// How many functions have been looked at.
    bodies: usize,
    constants: u64,
    handed_on: u64,
    /// The parameters and results of all types and functions.
    signatures: u64,
    blocks: u64,
    locals: u64,
    locals_in_blocks: u64,
}

/// What a function has so far.
#[derive(Default)]
struct Function {
    blocks: u64,
    /// Calls, and what the runtime is called for.
    calls: u64,
    /// What a branch to each open block carries, and whether it is a loop or a condition.
    open: Vec<(u64, bool)>,
    /// How many loops and conditions are open.
    depth: usize,
}

impl Costs {
    /// Adds a section, or a function. Sections come in the order of a module.
    ///
    /// # Errors
    /// [`Rejection`] where it costs too much.
    pub(super) fn add(&mut self, payload: &Payload<'_>) -> Result<(), Rejection> {
        match payload {
            Payload::TypeSection(section) => {
                at_most("types", section.count(), TYPES_MAX)?;
                self.add_types(section.clone())
            }
            Payload::ImportSection(section) => {
                for (before, import) in section.clone().into_imports().enumerate() {
                    at_most("imports", before as u32 + 1, IMPORTS_MAX)?;
                    if let TypeRef::Func(ty) = import?.ty {
                        self.functions.push(ty);
                    }
                }
                self.imported = self.functions.len();
                Ok(())
            }
            Payload::FunctionSection(section) => {
                let imported = self.functions.len() as u32;
                let functions = section.count().saturating_add(imported);
                at_most("functions", functions, FUNCTIONS_MAX)?;
                for ty in section.clone() {
                    let ty = ty?;
                    self.functions.push(ty);
                    self.add_signature(self.arity(ty))?;
                }
                Ok(())
            }
            Payload::TableSection(section) => {
                at_most("tables", section.count(), TABLES_MAX)?;
                for table in section.clone() {
                    let table = table?;
                    let entries = table.ty.initial;
                    if entries > TABLE_MAX_ENTRIES {
                        return Err(Rejection::Table { entries });
                    }
                    if let TableInit::Expr(expression) = table.init {
                        self.add_constant(&expression)?;
                    }
                }
                Ok(())
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    let pages = memory?.initial;
                    if pages > MEMORY_MAX_PAGES {
                        return Err(Rejection::Memory { pages });
                    }
                }
                Ok(())
            }
            Payload::GlobalSection(section) => {
                at_most("globals", section.count(), GLOBALS_MAX)?;
                for global in section.clone() {
                    self.add_constant(&global?.init_expr)?;
                }
                Ok(())
            }
            Payload::ExportSection(section) => at_most("exports", section.count(), EXPORTS_MAX),
            Payload::ElementSection(section) => {
                at_most("segments of tables", section.count(), SEGMENTS_MAX)?;
                self.add_elements(section.clone())
            }
            Payload::DataSection(section) => {
                at_most("segments of data", section.count(), SEGMENTS_MAX)?;
                self.add_data(section.clone())
            }
            Payload::CodeSectionStart { size, .. } if *size as usize > CODE_MAX_BYTES => {
                let size = *size as usize;
                Err(Rejection::TooMuchCode { size })
            }
            Payload::CodeSectionEntry(body) => self.add_function(body),
            _ => Ok(()),
        }
    }

    fn add_types(&mut self, section: wasmparser::TypeSectionReader<'_>) -> Result<(), Rejection> {
        for ty in section.into_iter_err_on_gc_types() {
            let ty = ty?;
            let (parameters, results) = (ty.params().len() as u64, ty.results().len() as u64);
            if parameters > u64::from(PARAMETERS_MAX) || results > u64::from(RESULTS_MAX) {
                return Err(Rejection::Signature {
                    parameters,
                    results,
                });
            }
            let arity = Arity {
                parameters,
                results,
            };
            self.types.push(arity);
            self.add_signature(arity)?;
        }
        Ok(())
    }

    fn add_signature(&mut self, arity: Arity) -> Result<(), Rejection> {
        self.signatures += arity.parameters + arity.results;
        sum_at_most("parameters and results", self.signatures, SIGNATURES_MAX)
    }

    fn add_elements(
        &mut self,
        section: wasmparser::ElementSectionReader<'_>,
    ) -> Result<(), Rejection> {
        let mut entries = 0;
        for element in section {
            let element = element?;
            if let ElementKind::Active { offset_expr, .. } = element.kind {
                self.add_constant(&offset_expr)?;
            }
            match element.items {
                ElementItems::Functions(items) => entries += u64::from(items.count()),
                ElementItems::Expressions(_, items) => {
                    entries += u64::from(items.count());
                    for item in items {
                        self.add_constant(&item?)?;
                    }
                }
            }
        }
        if entries > ELEMENTS_MAX {
            return Err(Rejection::Elements { entries });
        }
        Ok(())
    }

    fn add_data(&mut self, section: wasmparser::DataSectionReader<'_>) -> Result<(), Rejection> {
        const PAGE_BYTES: u64 = 4096;
        let (mut bytes, mut pages) = (0, 0);
        let mut is_mapped = true;
        for segment in section {
            let segment = segment?;
            let length = segment.data.len() as u64;
            bytes += length;
            if let DataKind::Active { offset_expr, .. } = segment.kind {
                self.add_constant(&offset_expr)?;
                pages += length / PAGE_BYTES + 1;
                let end = constant(&offset_expr).map(|offset| u64::from(offset) + length);
                is_mapped &= end.is_some_and(|end| end <= MAPPED_MAX_BYTES);
            }
        }
        if bytes > DATA_MAX_BYTES {
            return Err(Rejection::Data { bytes });
        }
        if !is_mapped && pages > COPIED_PAGES_MAX {
            return Err(Rejection::Scattered { pages });
        }
        Ok(())
    }

    fn add_constant(&mut self, expression: &ConstExpr<'_>) -> Result<(), Rejection> {
        // One instruction, and its end: that much is bounded where it stands.
        const SHORTEST: u64 = 2;
        let mut instructions = 0;
        for operator in expression.get_operators_reader() {
            operator?;
            instructions += 1;
        }
        self.constants += u64::saturating_sub(instructions, SHORTEST);
        let instructions = self.constants;
        if instructions > CONSTANT_MAX {
            return Err(Rejection::Constants { instructions });
        }
        Ok(())
    }

    fn arity(&self, ty: u32) -> Arity {
        self.types.get(ty as usize).copied().unwrap_or_default()
    }

    fn arity_of_function(&self, function: usize) -> Arity {
        let ty = self.functions.get(function).copied();
        ty.map(|ty| self.arity(ty)).unwrap_or_default()
    }

    fn arity_of_block(&self, ty: BlockType) -> Arity {
        match ty {
            BlockType::Empty => Arity::default(),
            BlockType::Type(_) => Arity {
                parameters: 0,
                results: 1,
            },
            BlockType::FuncType(ty) => self.arity(ty),
        }
    }

    fn add_function(&mut self, body: &FunctionBody<'_>) -> Result<(), Rejection> {
        let own = self.arity_of_function(self.imported + self.bodies);
        self.bodies += 1;
        let mut locals = own.parameters;
        for group in body.get_locals_reader()? {
            locals += u64::from(group?.0);
        }
        let mut function = Function {
            blocks: 1,
            open: vec![(own.results, false)],
            ..Function::default()
        };
        for operator in body.get_operators_reader()? {
            self.add_operator(&operator?, &mut function);
            let depth = function.depth;
            if depth > NESTING_MAX {
                return Err(Rejection::Nesting { depth });
            }
        }
        let blocks = function.blocks;
        let product = locals.saturating_mul(blocks);
        if product > LOCALS_IN_BLOCKS_MAX {
            return Err(Rejection::Function { locals, blocks });
        }
        let both = blocks + function.calls;
        sum_at_most("blocks and calls in one function", both, BLOCKS_MAX)?;
        self.blocks += both;
        self.locals += locals;
        self.locals_in_blocks += product;
        sum_at_most("blocks and calls", self.blocks, BLOCKS_OF_ALL_MAX)?;
        sum_at_most("locals", self.locals, LOCALS_MAX)?;
        let of_all = LOCALS_IN_BLOCKS_OF_ALL_MAX;
        sum_at_most("locals in blocks", self.locals_in_blocks, of_all)?;
        let values = self.handed_on;
        if values > HANDED_ON_MAX {
            return Err(Rejection::HandedOn { values });
        }
        Ok(())
    }

    /// Adds the blocks that an instruction is when it is compiled, and what it hands on beyond the first value.
    fn add_operator(&mut self, operator: &Operator<'_>, function: &mut Function) {
        let beyond_the_first = |values: u64| values.saturating_sub(1);
        let carries = |open: &[(u64, bool)], depth: u32| {
            let place = open.len().checked_sub(depth as usize + 1);
            beyond_the_first(place.map_or(0, |place| open[place].0))
        };
        let (values, blocks) = match operator {
            Operator::Block { blockty } => {
                let results = self.arity_of_block(*blockty).results;
                function.open.push((results, false));
                (0, 1)
            }
            Operator::Loop { blockty } => {
                let parameters = self.arity_of_block(*blockty).parameters;
                function.open.push((parameters, true));
                function.depth += 1;
                (beyond_the_first(parameters), 5)
            }
            Operator::If { blockty } => {
                let arity = self.arity_of_block(*blockty);
                function.open.push((arity.results, true));
                function.depth += 1;
                (beyond_the_first(arity.parameters), 2)
            }
            Operator::Else => (0, 1),
            Operator::End => {
                let (results, is_deep) = function.open.pop().unwrap_or_default();
                function.depth -= usize::from(is_deep);
                (beyond_the_first(results), 0)
            }
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                (carries(&function.open, *relative_depth), 1)
            }
            Operator::BrTable { targets } => {
                let all = targets.targets().filter_map(Result::ok);
                let all = all.chain([targets.default()]);
                let values = all.map(|depth| carries(&function.open, depth)).sum();
                (values, u64::from(targets.len()) + 1)
            }
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                let arity = self.arity_of_function(*function_index as usize);
                (beyond_the_first(arity.results), 0)
            }
            Operator::CallIndirect { type_index, .. }
            | Operator::ReturnCallIndirect { type_index, .. } => {
                let values = beyond_the_first(self.arity(*type_index).results);
                (values, BLOCKS_OF_A_CALL_BY_POINTER)
            }
            // What a garbage collector has to know of.
            Operator::TableGet { .. } => (0, 6),
            Operator::TableSet { .. } => (0, 10),
            Operator::MemoryGrow { .. } | Operator::TableGrow { .. } => (0, 3),
            _ => (0, 0),
        };
        self.handed_on += values;
        function.blocks += blocks;
        function.calls += u64::from(is_call(operator));
    }
}

/// Whether an instruction is a call when it is compiled, and no more than that.
fn is_call(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Call { .. }
            | Operator::ReturnCall { .. }
            | Operator::RefFunc { .. }
            | Operator::DataDrop { .. }
            | Operator::ElemDrop { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryInit { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
    )
}

/// The place that a constant expression says, where it is a number.
fn constant(expression: &ConstExpr<'_>) -> Option<u32> {
    let mut operators = expression.get_operators_reader();
    match (operators.read().ok()?, operators.read().ok()?) {
        (Operator::I32Const { value }, Operator::End) => Some(value as u32),
        _ => None,
    }
}

fn at_most(what: &'static str, count: u32, most: u32) -> Result<(), Rejection> {
    sum_at_most(what, u64::from(count), u64::from(most))
}

fn sum_at_most(what: &'static str, count: u64, most: u64) -> Result<(), Rejection> {
    if count > most {
        return Err(Rejection::TooMany { what, count, most });
    }
    Ok(())
}
