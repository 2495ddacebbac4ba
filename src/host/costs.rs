//! What a plugin's module costs before any of it runs: memory to compile its functions, time to instantiate it.
//!
//! A discrepancy here is a small module that takes the memory or the time of whoever opens it.

use wasmparser::{
    BlockType, ConstExpr, DataKind, ElementItems, ElementKind, FunctionBody, Operator, Payload,
    TableInit, TypeRef,
};

use super::bounds::{
    CODE_MAX_BYTES, CONSTANT_MAX, DATA_MAX_BYTES, ELEMENTS_MAX, EXPORTS_MAX, FUNCTIONS_MAX,
    GLOBALS_MAX, HANDED_ON_MAX, IMPORTS_MAX, LOCALS_IN_BLOCKS_MAX, MEMORY_MAX_PAGES,
    PARAMETERS_MAX, RESULTS_MAX, SEGMENTS_MAX, TABLE_MAX_ENTRIES, TABLES_MAX, TYPES_MAX,
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
                    self.functions.push(ty?);
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
            self.types.push(Arity {
                parameters,
                results,
            });
        }
        Ok(())
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
        let mut bytes = 0;
        for segment in section {
            let segment = segment?;
            if let DataKind::Active { offset_expr, .. } = segment.kind {
                self.add_constant(&offset_expr)?;
                bytes += segment.data.len() as u64;
            }
        }
        if bytes > DATA_MAX_BYTES {
            return Err(Rejection::Data { bytes });
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
        let mut blocks = 1u64;
        // What a branch to each open block carries.
        let mut carried = vec![own.results];
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            blocks += self.add_operator(&operator, &mut carried);
        }
        if locals.saturating_mul(blocks) > LOCALS_IN_BLOCKS_MAX {
            return Err(Rejection::Function { locals, blocks });
        }
        let values = self.handed_on;
        if values > HANDED_ON_MAX {
            return Err(Rejection::HandedOn { values });
        }
        Ok(())
    }

    /// Adds what an instruction hands on, and returns how many blocks and branches it is.
    fn add_operator(&mut self, operator: &Operator<'_>, carried: &mut Vec<u64>) -> u64 {
        let beyond_the_first = |values: u64| values.saturating_sub(1);
        let carries = |carried: &[u64], depth: u32| {
            let place = carried.len().checked_sub(depth as usize + 1);
            beyond_the_first(place.map_or(0, |place| carried[place]))
        };
        let (values, blocks) = match operator {
            Operator::Block { blockty } => {
                carried.push(self.arity_of_block(*blockty).results);
                (0, 1)
            }
            Operator::Loop { blockty } => {
                let parameters = self.arity_of_block(*blockty).parameters;
                carried.push(parameters);
                (beyond_the_first(parameters), 1)
            }
            Operator::If { blockty } => {
                let arity = self.arity_of_block(*blockty);
                carried.push(arity.results);
                (beyond_the_first(arity.parameters), 1)
            }
            Operator::Else => (0, 1),
            Operator::End => (beyond_the_first(carried.pop().unwrap_or_default()), 0),
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                (carries(carried, *relative_depth), 1)
            }
            Operator::BrTable { targets } => {
                let all = targets.targets().filter_map(Result::ok);
                let all = all.chain([targets.default()]);
                let values = all.map(|depth| carries(carried, depth)).sum();
                (values, u64::from(targets.len()) + 1)
            }
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                let arity = self.arity_of_function(*function_index as usize);
                (beyond_the_first(arity.results), 0)
            }
            Operator::CallIndirect { type_index, .. }
            | Operator::ReturnCallIndirect { type_index, .. } => {
                (beyond_the_first(self.arity(*type_index).results), 0)
            }
            _ => (0, 0),
        };
        self.handed_on += values;
        blocks
    }
}

fn at_most(what: &'static str, count: u32, most: u32) -> Result<(), Rejection> {
    if count > most {
        let (count, most) = (u64::from(count), u64::from(most));
        return Err(Rejection::TooMany { what, count, most });
    }
    Ok(())
}
