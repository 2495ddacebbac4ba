//! The cost of compiling a function: its blocks and calls, the values that they pass on, and the
//! number of live values.
//!
//! Bugs in this module look like a small function that exhausts the memory or the time of the
//! process that compiles it.

use wasmparser::{
    BlockType, ContType, FrameKind, FuncType, FunctionBody, ModuleArity, Operator, RefType, SubType,
};

use super::limits::{BLOCKS_OF_A_CALL_BY_POINTER, NESTING_MAX};
use super::rejection::Rejection;

/// The types of a module and of its functions.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    pub(crate) types: Vec<SubType>,
    /// The index of the type of each function.
    pub(crate) functions: Vec<u32>,
}

/// The numbers of parameters and results.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arity {
    pub(crate) parameters: u64,
    pub(crate) results: u64,
}

impl Signatures {
    pub(crate) fn arity(&self, ty: u32) -> Arity {
        let ty = self.types.get(ty as usize);
        ty.map(|ty| arity(ty.unwrap_func())).unwrap_or_default()
    }

    fn arity_of_function(&self, function: u32) -> Arity {
        let ty = self.functions.get(function as usize).copied();
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
}

pub(crate) fn arity(ty: &FuncType) -> Arity {
    Arity {
        parameters: ty.params().len() as u64,
        results: ty.results().len() as u64,
    }
}

/// The costs of one function.
#[derive(Debug, Default)]
pub(crate) struct FunctionCosts {
    /// The number of locals, parameters included.
    pub(crate) locals: u64,
    pub(crate) blocks: u64,
    /// The number of calls, including instructions that are compiled to calls of the runtime.
    pub(crate) calls: u64,
    /// The number of values that calls and branches pass on, without the first value of each.
    pub(crate) handed_on: u64,
    /// The sum over all blocks of the locals and the values on the stack.
    pub(crate) values: u64,
}

impl FunctionCosts {
    /// Measures a function of type `ty`.
    ///
    /// # Errors
    /// Returns a [`Rejection`] if the body does not parse, or its loops and conditions are nested
    /// too deep.
    pub(crate) fn measure(
        body: &FunctionBody<'_>,
        ty: u32,
        signatures: &Signatures,
    ) -> Result<Self, Rejection> {
        let mut walk = Walk {
            signatures,
            open: Vec::new(),
            height: 0,
            depth: 0,
            costs: Self::default(),
        };
        walk.costs.locals = signatures.arity(ty).parameters;
        for group in body.get_locals_reader()? {
            walk.costs.locals += u64::from(group?.0);
        }
        walk.enter(BlockType::FuncType(ty), FrameKind::Block);
        walk.add_blocks(1);
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            // The validator refuses instructions after the end.
            if walk.open.is_empty() {
                break;
            }
            walk.add(&operator);
            let depth = walk.depth;
            if depth > NESTING_MAX {
                return Err(Rejection::Nesting { depth });
            }
        }
        Ok(walk.costs)
    }
}

/// An open block.
struct Open {
    ty: BlockType,
    kind: FrameKind,
    /// The number of values on the stack below those of the block.
    height: u64,
}

/// A walk over the instructions of a function.
struct Walk<'s> {
    signatures: &'s Signatures,
    open: Vec<Open>,
    /// The number of values on the stack. After a branch, in unreachable code, it may be any
    /// number.
    height: u64,
    /// The number of open loops and conditions.
    depth: usize,
    costs: FunctionCosts,
}

fn is_deep(kind: FrameKind) -> bool {
    matches!(kind, FrameKind::Loop | FrameKind::If | FrameKind::Else)
}

fn beyond_the_first(values: u64) -> u64 {
    values.saturating_sub(1)
}

impl Walk<'_> {
    fn enter(&mut self, ty: BlockType, kind: FrameKind) {
        let parameters = self.signatures.arity_of_block(ty).parameters;
        let height = self.height.saturating_sub(parameters);
        self.depth += usize::from(is_deep(kind));
        self.open.push(Open { ty, kind, height });
    }

    /// Returns the number of values that a branch to an open block carries, without the first.
    fn carried(&self, depth: u32) -> u64 {
        let index = self.open.len().checked_sub(depth as usize + 1);
        let carried = index.map(|index| {
            let Open { ty, kind, .. } = self.open[index];
            let arity = self.signatures.arity_of_block(ty);
            match kind {
                FrameKind::Loop => arity.parameters,
                _ => arity.results,
            }
        });
        beyond_the_first(carried.unwrap_or(0))
    }

    fn add_blocks(&mut self, blocks: u64) {
        self.costs.blocks += blocks;
        self.costs.values += blocks * (self.costs.locals + self.height);
    }

    /// Adds the blocks to which an instruction is compiled, and the values that it passes on.
    fn add(&mut self, operator: &Operator<'_>) {
        let arity = operator.operator_arity(self);
        let (handed_on, blocks) = self.cost(operator);
        self.costs.handed_on += handed_on;
        self.costs.calls += u64::from(is_call(operator));
        match operator {
            Operator::Block { blockty } => self.enter(*blockty, FrameKind::Block),
            Operator::Loop { blockty } => self.enter(*blockty, FrameKind::Loop),
            Operator::If { blockty } => {
                self.height = self.height.saturating_sub(1);
                self.enter(*blockty, FrameKind::If);
            }
            Operator::Else => {
                if let Some(open) = self.open.last_mut() {
                    open.kind = FrameKind::Else;
                    self.height = open.height + self.signatures.arity_of_block(open.ty).parameters;
                }
            }
            Operator::End => {
                if let Some(open) = self.open.pop() {
                    self.depth -= usize::from(is_deep(open.kind));
                    self.height = open.height + self.signatures.arity_of_block(open.ty).results;
                }
            }
            _ => {
                // The validator refuses instructions without an arity.
                let (takes, gives) = arity.unwrap_or_default();
                self.height = self.height.saturating_sub(takes.into()) + u64::from(gives);
            }
        }
        self.add_blocks(blocks);
    }

    /// Returns the number of values that an instruction passes on, without the first, and the
    /// number of blocks to which it is compiled.
    fn cost(&self, operator: &Operator<'_>) -> (u64, u64) {
        let of_block = |ty: BlockType| self.signatures.arity_of_block(ty);
        match operator {
            Operator::Block { .. } => (0, 1),
            Operator::Loop { blockty } => (beyond_the_first(of_block(*blockty).parameters), 5),
            Operator::If { blockty } => (beyond_the_first(of_block(*blockty).parameters), 2),
            Operator::Else | Operator::End => {
                let results = self.open.last().map_or(0, |open| of_block(open.ty).results);
                let is_else = matches!(operator, Operator::Else);
                (beyond_the_first(results), u64::from(is_else))
            }
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                (self.carried(*relative_depth), 1)
            }
            Operator::BrTable { targets } => {
                let all = targets.targets().filter_map(Result::ok);
                let all = all.chain([targets.default()]);
                let values = all.map(|depth| self.carried(depth)).sum();
                (values, u64::from(targets.len()) + 1)
            }
            Operator::Return => (self.carried(self.open.len() as u32 - 1), 0),
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                let arity = self.signatures.arity_of_function(*function_index);
                (beyond_the_first(arity.results), 0)
            }
            Operator::CallIndirect { type_index, .. }
            | Operator::ReturnCallIndirect { type_index, .. } => {
                let results = self.signatures.arity(*type_index).results;
                (beyond_the_first(results), BLOCKS_OF_A_CALL_BY_POINTER)
            }
            // Table entries are initialized when they are first read.
            Operator::TableGet { .. } => (0, 6),
            Operator::TableSet { .. } => (0, 10),
            Operator::MemoryGrow { .. } | Operator::TableGrow { .. } => (0, 3),
            _ => (0, 0),
        }
    }
}

impl ModuleArity for Walk<'_> {
    fn sub_type_at(&self, type_idx: u32) -> Option<&SubType> {
        self.signatures.types.get(type_idx as usize)
    }

    fn tag_type_arity(&self, _: u32) -> Option<(u32, u32)> {
        None
    }

    fn type_index_of_function(&self, function_idx: u32) -> Option<u32> {
        let functions = &self.signatures.functions;
        functions.get(function_idx as usize).copied()
    }

    fn func_type_of_cont_type(&self, _: &ContType) -> Option<&FuncType> {
        None
    }

    fn sub_type_of_ref_type(&self, _: &RefType) -> Option<&SubType> {
        None
    }

    fn control_stack_height(&self) -> u32 {
        self.open.len() as u32
    }

    fn label_block(&self, depth: u32) -> Option<(BlockType, FrameKind)> {
        let index = self.open.len().checked_sub(depth as usize + 1)?;
        let open = &self.open[index];
        Some((open.ty, open.kind))
    }
}

/// Returns whether an instruction is compiled to a call and to nothing else.
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
