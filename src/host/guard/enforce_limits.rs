//! Enforces the limits of a plugin's module: adds up what it costs before any of it runs, memory to
//! compile its functions and time to instantiate it, and refuses what costs too much.
//!
//! Bugs in this module look like a small module that exhausts the memory or the time of the process
//! that opens it.

use wasmparser::{
    ConstExpr, DataKind, ElementItems, ElementKind, FunctionBody, Operator, Payload, SubType,
    TableInit, TypeRef,
};

use super::function_cost::{Arity, FunctionCosts, Signatures, arity};
use super::limits::{
    BLOCKS_MAX, BLOCKS_OF_ALL_MAX, CODE_MAX_BYTES, CONSTANT_MAX, COPIED_PAGES_MAX, DATA_MAX_BYTES,
    ELEMENTS_MAX, EXPORT_NAME_MAX_BYTES, EXPORT_NAMES_MAX_BYTES, EXPORTS_MAX, EXPRESSION_TIMES,
    FUNCTION_MAX_BYTES, FUNCTIONS_MAX, GLOBALS_MAX, GLOBALS_OF_RENEWAL_MAX, HANDED_ON_MAX,
    IMPORTS_MAX, LOCALS_MAX, MAPPED_MAX_BYTES, MEMORY_MAX_PAGES, PARAMETERS_MAX,
    RENEWAL_MAX_PERCENT, RESULTS_MAX, SEGMENTS_MAX, SIGNATURES_MAX, TABLE_MAX_ENTRIES, TABLES_MAX,
    TYPES_MAX, VALUES_IN_BLOCKS_MAX, VALUES_IN_BLOCKS_OF_ALL_MAX,
};
use super::rejection::Rejection;

/// The costs of the sections so far.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    signatures: Signatures,
    imported: usize,
    /// The number of function bodies so far.
    bodies: usize,
    constants: u64,
    handed_on: u64,
    /// The parameters and results of all types and functions.
    signature_values: u64,
    blocks: u64,
    locals: u64,
    values_in_blocks: u64,
    /// The time to instantiate the module, in millionths of a percent: see [`RENEWAL_MAX_PERCENT`].
    renewal: u64,
}

impl Costs {
    /// Adds a section or a function. Sections must come in the order of a module.
    ///
    /// # Errors
    /// Returns a [`Rejection`] if the module costs too much.
    pub(crate) fn add(&mut self, payload: &Payload<'_>) -> Result<(), Rejection> {
        match payload {
            Payload::TypeSection(section) => {
                at_most("types", section.count(), TYPES_MAX)?;
                self.add_types(section.clone())
            }
            Payload::ImportSection(section) => {
                for (before, import) in section.clone().into_imports().enumerate() {
                    at_most("imports", before as u32 + 1, IMPORTS_MAX)?;
                    if let TypeRef::Func(ty) = import?.ty {
                        self.signatures.functions.push(ty);
                    }
                }
                self.imported = self.signatures.functions.len();
                Ok(())
            }
            Payload::FunctionSection(section) => {
                let imported = self.signatures.functions.len() as u32;
                let functions = section.count().saturating_add(imported);
                at_most("functions", functions, FUNCTIONS_MAX)?;
                for ty in section.clone() {
                    let ty = ty?;
                    self.signatures.functions.push(ty);
                    self.add_signature(self.signatures.arity(ty))?;
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
                self.add_renewal(section.count().into(), GLOBALS_OF_RENEWAL_MAX)?;
                for global in section.clone() {
                    self.add_constant(&global?.init_expr)?;
                }
                Ok(())
            }
            Payload::ExportSection(section) => {
                at_most("exports", section.count(), EXPORTS_MAX)?;
                add_exports(section.clone())
            }
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
            let arity = arity(&ty);
            let Arity {
                parameters,
                results,
            } = arity;
            if parameters > u64::from(PARAMETERS_MAX) || results > u64::from(RESULTS_MAX) {
                return Err(Rejection::Signature {
                    parameters,
                    results,
                });
            }
            self.signatures.types.push(SubType::func(ty, false));
            self.add_signature(arity)?;
        }
        Ok(())
    }

    fn add_signature(&mut self, arity: Arity) -> Result<(), Rejection> {
        self.signature_values += arity.parameters + arity.results;
        let values = self.signature_values;
        sum_at_most("parameters and results", values, SIGNATURES_MAX)
    }

    fn add_elements(
        &mut self,
        section: wasmparser::ElementSectionReader<'_>,
    ) -> Result<(), Rejection> {
        let (mut entries, mut active, mut segments) = (0, 0, 0);
        for element in section {
            let element = element?;
            let (count, times) = match &element.items {
                ElementItems::Functions(items) => (items.count(), 1),
                ElementItems::Expressions(_, items) => (items.count(), EXPRESSION_TIMES),
            };
            let count = u64::from(count);
            entries += count;
            if let ElementKind::Active { offset_expr, .. } = element.kind {
                segments += 1;
                // A segment counts for its first entry too.
                active += (times * count).saturating_sub(1);
                self.add_constant(&offset_expr)?;
            }
            if let ElementItems::Expressions(_, items) = element.items {
                for item in items {
                    self.add_constant(&item?)?;
                }
            }
        }
        if entries > ELEMENTS_MAX {
            return Err(Rejection::Elements { entries });
        }
        self.add_renewal(segments, SEGMENTS_MAX.into())?;
        self.add_renewal(active, ELEMENTS_MAX)
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
        if is_mapped {
            return Ok(());
        }
        self.add_renewal(pages, COPIED_PAGES_MAX)
    }

    /// Adds the time of `count` items of a kind, of which `most` take all the time that
    /// instantiating a module may take.
    fn add_renewal(&mut self, count: u64, most: u64) -> Result<(), Rejection> {
        const PERCENT: u64 = 1_000_000;
        self.renewal += count * 100 * PERCENT / most;
        let percent = self.renewal / PERCENT;
        if percent > RENEWAL_MAX_PERCENT {
            return Err(Rejection::Renewal { percent });
        }
        Ok(())
    }

    fn add_constant(&mut self, expression: &ConstExpr<'_>) -> Result<(), Rejection> {
        // One instruction and its end. Their number is bounded by that of the items.
        const SHORTEST: u64 = 2;
        let mut instructions = 0;
        for operator in expression.get_operators_reader() {
            operator?;
            instructions += 1;
        }
        let more = u64::saturating_sub(instructions, SHORTEST);
        self.constants += more;
        let instructions = self.constants;
        if instructions > CONSTANT_MAX {
            return Err(Rejection::Constants { instructions });
        }
        self.add_renewal(more, CONSTANT_MAX)
    }

    fn add_function(&mut self, body: &FunctionBody<'_>) -> Result<(), Rejection> {
        let bytes = body.range().len();
        if bytes > FUNCTION_MAX_BYTES {
            return Err(Rejection::LargeFunction { bytes });
        }
        let index = self.imported + self.bodies;
        self.bodies += 1;
        // The validator reports a function without a type.
        let ty = self.signatures.functions.get(index).copied();
        let function = FunctionCosts::measure(body, ty.unwrap_or(u32::MAX), &self.signatures)?;
        let FunctionCosts {
            locals,
            blocks,
            values,
            ..
        } = function;
        if values > VALUES_IN_BLOCKS_MAX {
            return Err(Rejection::Function {
                locals,
                blocks,
                values,
            });
        }
        let both = blocks + function.calls;
        sum_at_most("blocks and calls in one function", both, BLOCKS_MAX)?;
        self.blocks += both;
        self.locals += locals;
        self.values_in_blocks += values;
        self.handed_on += function.handed_on;
        sum_at_most("blocks and calls", self.blocks, BLOCKS_OF_ALL_MAX)?;
        sum_at_most("locals", self.locals, LOCALS_MAX)?;
        let of_all = VALUES_IN_BLOCKS_OF_ALL_MAX;
        sum_at_most("values at blocks", self.values_in_blocks, of_all)?;
        let values = self.handed_on;
        if values > HANDED_ON_MAX {
            return Err(Rejection::PassedOn { values });
        }
        Ok(())
    }
}

fn add_exports(section: wasmparser::ExportSectionReader<'_>) -> Result<(), Rejection> {
    let at_most = |what, bytes, most| {
        if bytes > most {
            return Err(Rejection::ExportNames { what, bytes, most });
        }
        Ok(())
    };
    let mut names = 0;
    for export in section {
        let name = export?.name.len() as u64;
        at_most("the name of an export", name, EXPORT_NAME_MAX_BYTES as u64)?;
        names += name;
        at_most("the names of exports", names, EXPORT_NAMES_MAX_BYTES)?;
    }
    Ok(())
}

/// Returns the offset that a constant expression consists of, if it is a plain number.
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
