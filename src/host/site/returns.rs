//! Analysis of whether a function can return, from its code alone.
//!
//! Bugs in this module look like a function that is wrongly taken for one that only aborts, or for
//! one that returns.

use wasmparser::{BinaryReaderError, FunctionBody, Operator};

/// Returns whether the end of a function or a return can be reached, given that calls of functions
/// that only abort do not return.
pub(crate) fn returns(
    body: &FunctionBody<'_>,
    only_aborts: impl Fn(u32) -> bool,
) -> Result<bool, BinaryReaderError> {
    let mut blocks = vec![Block::function()];
    let mut reachable = true;
    for operator in body.get_operators_reader()? {
        match operator? {
            Operator::Block { .. } => blocks.push(Block::new(false, reachable)),
            Operator::Loop { .. } => blocks.push(Block::new(true, reachable)),
            Operator::If { .. } => blocks.push(Block {
                falls_through: true,
                ..Block::new(false, reachable)
            }),
            Operator::Else => {
                if let Some(block) = blocks.last_mut() {
                    block.end_is_reached |= reachable;
                    block.falls_through = false;
                    reachable = block.entered;
                }
            }
            Operator::End => {
                let Some(block) = blocks.pop() else { break };
                reachable |= block.end_is_reached || (block.falls_through && block.entered);
            }
            Operator::Unreachable => reachable = false,
            Operator::Call { function_index } if only_aborts(function_index) => {
                reachable = false;
            }
            Operator::ReturnCall { function_index } if only_aborts(function_index) => {
                reachable = false;
            }
            Operator::Return
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
                if reachable =>
            {
                return Ok(true);
            }
            Operator::Br { relative_depth } if reachable => {
                branch(&mut blocks, relative_depth);
                reachable = false;
            }
            Operator::BrIf { relative_depth } if reachable => {
                branch(&mut blocks, relative_depth);
            }
            Operator::BrTable { targets } if reachable => {
                for target in targets.targets() {
                    branch(&mut blocks, target?);
                }
                branch(&mut blocks, targets.default());
                reachable = false;
            }
            _ => {}
        }
    }
    Ok(reachable)
}

/// An open block in a function's code.
struct Block {
    is_loop: bool,
    /// Whether its start can be reached.
    entered: bool,
    /// Whether a reachable branch targets its end.
    end_is_reached: bool,
    /// Whether its start leads to its end: an `if` without an `else`.
    falls_through: bool,
}

impl Block {
    fn new(is_loop: bool, entered: bool) -> Self {
        Self {
            is_loop,
            entered,
            end_is_reached: false,
            falls_through: false,
        }
    }

    fn function() -> Self {
        Self::new(false, true)
    }
}

/// Records a branch out of `depth` blocks. A branch to a loop goes to its start.
fn branch(blocks: &mut [Block], depth: u32) {
    let target = blocks.len().checked_sub(depth as usize + 1);
    if let Some(block) = target.and_then(|target| blocks.get_mut(target)) {
        block.end_is_reached |= !block.is_loop;
    }
}
