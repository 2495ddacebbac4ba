//! What a function costs to compile: its blocks and calls, what these hand on, and how many values there are meanwhile.
//!
//! A discrepancy here is a small function that takes the memory or the time of whoever compiles it.

use wasmparser::{
    BlockType, ContType, FrameKind, FuncType, FunctionBody, ModuleArity, Operator, RefType, SubType,
};

use super::bounds::{BLOCKS_OF_A_CALL_BY_POINTER, NESTING_MAX};
use super::rejection::Rejection;

/// The types of a module, and of which its functions are.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    pub(super) types: Vec<SubType>,
    /// The type of each function.
    pub(super) functions: Vec<u32>,
}

/// The number of parameters and of results.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arity {
    pub(super) parameters: u64,
    pub(super) results: u64,
}

impl Signatures {
    pub(super) fn arity(&self, ty: u32) -> Arity {
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

pub(super) fn arity(ty: &FuncType) -> Arity {
    Arity {
        parameters: ty.params().len() as u64,
        results: ty.results().len() as u64,
    }
}

/// What a function has.
#[derive(Debug, Default)]
pub(super) struct FunctionCosts {
    /// Its locals, with its parameters.
    pub(super) locals: u64,
    pub(super) blocks: u64,
    /// Calls, and what the runtime is called for.
    pub(super) calls: u64,
    /// What calls and branches hand on beyond the first value of each.
    pub(super) handed_on: u64,
    /// The locals and the values on the stack at each block, added.
    pub(super) values: u64,
}

impl FunctionCosts {
    /// Of a function of this type.
    ///
    /// # Errors
    /// [`Rejection`] where it is none, or its loops are too deep in each other.
    pub(super) fn of(
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
            // What stands behind its end, the validator refuses.
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

/// A block that is open.
struct Open {
    ty: BlockType,
    kind: FrameKind,
    /// How many values stand on the stack below those that are the block's.
    height: u64,
}

/// A walk over the instructions of a function.
struct Walk<'s> {
    signatures: &'s Signatures,
    open: Vec<Open>,
    /// How many values stand on the stack. Behind a branch, where nothing runs, it may be any number.
    height: u64,
    /// How many loops and conditions are open.
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

    /// What a branch to an open block carries beyond the first value.
    fn carried(&self, depth: u32) -> u64 {
        let place = self.open.len().checked_sub(depth as usize + 1);
        let carried = place.map(|place| {
            let Open { ty, kind, .. } = self.open[place];
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

    /// Adds the blocks that an instruction is when it is compiled, and what it hands on.
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
                // What has no arity is no instruction of a plugin's: the validator says so.
                let (takes, gives) = arity.unwrap_or_default();
                self.height = self.height.saturating_sub(takes.into()) + u64::from(gives);
            }
        }
        self.add_blocks(blocks);
    }

    /// What an instruction hands on beyond the first value, and the blocks that it is.
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
            // Entries are made when they are first looked at.
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
        let place = self.open.len().checked_sub(depth as usize + 1)?;
        let open = &self.open[place];
        Some((open.ty, open.kind))
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
