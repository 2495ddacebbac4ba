//! Generation of arbitrary puppet programs.

use arbitrary::Unstructured;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::answers;
use super::malformed_json::one_in;
use crate::case::Step;
use crate::puppet::{Bytes, Import, Op, Operand, Program, TrapOp};
use crate::wire::{Function, Vocabulary};

/// About one in this many programs stalls, in a loop or in straight-line code. Each takes the whole
/// wall-clock limit, 200 ms.
const STALL_ONE_IN: u32 = 6_000;

/// About one in this many programs spins. Each takes all the fuel, about 10 ms.
const SPIN_ONE_IN: u32 = 2_000;

/// About one in this many programs burns almost all the fuel. Each takes about 20 ms.
const EDGE_ONE_IN: u32 = 2_000;

/// About one in this many programs answers healthily after it burns a part of the fuel. Each takes
/// a few ms.
const DEAR_ONE_IN: u32 = 1_500;

/// The numbers of loops that they burn: from a tenth of the fuel to almost all of it.
const DEAR: [u32; 4] = [150_000, 400_000, 700_000, 1_200_000];

/// About one in this many answers begins with a long run of white space.
const LONG_ONE_IN: u32 = 64;

/// The longest run of one byte that a generated program emits, in bytes.
const REPEAT_MAX: u32 = 64 * 1024;

/// The error texts that guests set.
const ERRORS: [&str; 9] = [
    "unsupported model",
    "",
    " ",
    "Timeout: please retry",
    "a\nb\u{1b}[31m",
    "timeout",
    "Returned non-zero exit code: 3",
    "plugin ran out of fuel",
    "\0",
];

/// The exit codes that guests return.
const CODES: [i32; 10] = [1, -1, 0, 2, 75, 134, 256, -256, i32::MIN, i32::MAX];

/// The kind of programs to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wildness {
    /// Programs whose outcome the model predicts.
    Scripted,
    /// As above, but one in four calls Extism's functions with arbitrary operands. Their outcome is
    /// not predicted; they must only do no harm. Some programs leave the puppet half-way.
    Wild,
}

/// About one in this many programs is wild under [`Wildness::Wild`].
const WILD_ONE_IN: u32 = 4;

/// About one in this many programs leaves the puppet half-way under [`Wildness::Wild`], unless the
/// call returns by itself. The published host goes on using such an instance, which hides most
/// other bugs.
const HOLD_ONE_IN: u32 = 64;

/// About one in this many wild programs first fills the memory for blocks.
const FULL_ONE_IN: u32 = 8;

/// About one in this many wild programs uses blocks in several roles.
const ROLES_ONE_IN: u32 = 3;

/// Sizes of the memory for blocks, in bytes: the allowance of the guard for a call, a page, and the
/// initial memory of the kernel.
const ROOMS: [i64; 4] = [1 << 20, 1 << 20, 65_536, 15 << 16];

/// Constants near the limits of Extism's bookkeeping, of blocks and pages, and of integers.
const EDGES: [i64; 22] = [
    0,
    1,
    8,
    57,
    63,
    64,
    65,
    128,
    4096,
    65_535,
    65_536,
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 12,
    1 << 32,
    i64::MAX,
    i64::MIN,
    -1,
    -8,
    -20,
    -58,
];

impl Program {
    /// Draws an arbitrary program for a call of the function.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    pub fn arbitrary_for(
        function: &Function,
        wildness: Wildness,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<Self> {
        let mut ops = Vec::new();
        if wildness == Wildness::Wild {
            if one_in(HOLD_ONE_IN, u)? {
                ops.push(Op::Hold);
            }
            if one_in(WILD_ONE_IN, u)? {
                wild(function, u, &mut ops)?;
                return Ok(Self(ops));
            }
        }
        if one_in(EDGE_ONE_IN, u)? {
            fuel_edge(u, &mut ops)?;
        } else if one_in(STALL_ONE_IN, u)? {
            let end = match wildness {
                Wildness::Wild if u.arbitrary()? => Op::Line(*u.choose(&[0, 958, 2_048])?),
                _ => Op::Stall,
            };
            costly(end, u, &mut ops)?;
        } else if one_in(SPIN_ONE_IN, u)? {
            // Without a fuel limit, the second program ends and answers.
            let end = u.choose(&[Op::Spin, Op::Burn(1_300_000)])?.clone();
            costly(end, u, &mut ops)?;
        } else if one_in(DEAR_ONE_IN, u)? {
            ops.extend([Op::LogCall, Op::Burn(*u.choose(&DEAR)?), Op::EmitHealthy]);
        } else {
            cheap(function, u, &mut ops)?;
        }
        Ok(Self(ops))
    }

    /// Returns the parts of a healthy answer before and after a string that the function's response
    /// may hold, or `None` if it has no string.
    pub(crate) fn around_a_string(function: &Function) -> Option<(String, String)> {
        answers::around_a_string(function)
    }

    /// Returns a valid answer with a list of `items` items, or `None` if the function's response
    /// has no list.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    pub(crate) fn answer_with(
        function: &Function,
        items: usize,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<Option<String>> {
        answers::with_a_list(function, items, u)
    }

    /// Returns a strategy of the same programs, which shrinks by the bytes that they are drawn
    /// from.
    pub fn strategy_for(function: &'static Function, wildness: Wildness) -> BoxedStrategy<Self> {
        proptest::collection::vec(any::<u8>(), 0..256)
            .prop_map(move |bytes| {
                // Never fails: missing bytes count as 0.
                Self::arbitrary_for(function, wildness, &mut Unstructured::new(&bytes))
                    .unwrap_or_default()
            })
            .boxed()
    }
}

/// Returns the step that dispatches the request once, with a program of these operations.
pub(super) fn step_with_program<R: Vocabulary>(request: R, ops: impl Into<Vec<Op>>) -> Step<R> {
    Step {
        program: Some(Program(ops.into())),
        ..Step::without_program(request)
    }
}

/// Appends an answer, an echo, a failure, or a mixture.
fn cheap(
    function: &Function,
    u: &mut Unstructured<'_>,
    ops: &mut Vec<Op>,
) -> arbitrary::Result<()> {
    if one_in(4, u)? {
        ops.push(Op::In(u.int_in_range(0..=24)?));
    }
    if one_in(8, u)? {
        ops.push(if u.ratio(1, 4)? {
            Op::Tally
        } else {
            Op::LogCall
        });
    }
    match u.int_in_range(0..=9)? {
        0..=3 => {
            if one_in(LONG_ONE_IN, u)? {
                let times = *u.choose(&[4096, REPEAT_MAX])?;
                ops.push(Op::Repeat { byte: b' ', times });
            }
            ops.push(Op::Emit(Bytes(answers::arbitrary(function, u)?)));
        }
        4 => echo(function, u, ops)?,
        5 | 6 => ops.push(ending(u)?),
        _ => {
            for _ in 0..u.int_in_range(0..=6)? {
                ops.push(anything(function, u)?);
            }
        }
    }
    Ok(())
}

/// Appends calls of a few functions of Extism, a different few in each program, with operands that
/// matter to them. Some programs first use up almost all the memory for blocks.
fn wild(function: &Function, u: &mut Unstructured<'_>, ops: &mut Vec<Op>) -> arbitrary::Result<()> {
    if one_in(FULL_ONE_IN, u)? {
        fill_up(u, ops)?;
    }
    if one_in(ROLES_ONE_IN, u)? {
        return roles(u, ops);
    }
    let swarm = [
        u.choose(&CHANGING)?,
        u.choose(&CHANGING)?,
        u.choose(&CHANGING)?,
        u.choose(&Import::ALL)?,
    ];
    for _ in 0..u.int_in_range(1..=12)? {
        ops.push(match u.int_in_range(0..=15)? {
            // A block for later operands to point at.
            0..=3 => Op::Call {
                function: Import::Alloc,
                operands: [operand(u)?, operand(u)?],
                to: u.int_in_range(0..=3)?,
            },
            4..=12 => Op::Call {
                function: **u.choose(&swarm)?,
                operands: [operand(u)?, operand(u)?],
                to: u.int_in_range(0..=3)?,
            },
            13 if one_in(40, u)? => Op::Flood(*u.choose(&[1, 958, 2_048, 4_096, 65_470])?),
            13 if one_in(24, u)? => {
                Op::GrowTable(*u.choose(&[1, 65_535, 1 << 25, 1 << 28, u32::MAX])?)
            }
            _ => anything(function, u)?,
        });
    }
    Ok(())
}

/// Allocates almost all the memory in one block or in many; register 0 holds the last one.
fn fill_up(u: &mut Unstructured<'_>, ops: &mut Vec<Op>) -> arbitrary::Result<()> {
    let room = *u.choose(&ROOMS)?;
    let rest = *u.choose(&EDGES[..9])?;
    let block = *u.choose(&[room - rest, 1 << 16, 4096, 512])?;
    let times = (room - rest) / block;
    if times > 1 {
        ops.push(Op::Times(times as u32 - 1));
    }
    ops.push(alloc(block, 0));
    if u.arbitrary()? {
        // The rest of the memory, or slightly more.
        let left = (room - rest) % block + u.int_in_range(0..=64)?;
        ops.push(alloc(left, 0));
    }
    Ok(())
}

/// Returns a call that allocates a block of this many bytes and stores its address in a register.
fn alloc(bytes: i64, to: u8) -> Op {
    Op::Call {
        function: Import::Alloc,
        operands: [constant(bytes), constant(0)],
        to,
    }
}

/// Appends calls that use two blocks in changing roles, one after the other: an output that is
/// freed, a key that is an error, a block that Extism returned. Some calls are repeated many times.
fn roles(u: &mut Unstructured<'_>, ops: &mut Vec<Op>) -> arbitrary::Result<()> {
    for to in [1, 2] {
        ops.push(alloc(*u.choose(&EDGES[1..11])?, to));
    }
    for _ in 0..u.int_in_range(2..=12)? {
        if one_in(8, u)? {
            ops.push(Op::Times(*u.choose(&[1, 63, 1_000, 10_000])?));
        }
        let block = |u: &mut Unstructured<'_>| -> arbitrary::Result<Operand> {
            let inside = *u.choose(&[0, 0, 0, 0, 8, -8, 64, 4096])?;
            Ok(Operand {
                register: Some(u.int_in_range(0..=3)?),
                add: inside,
            })
        };
        let function = *u.choose(&ROLES)?;
        let second = match function {
            Import::VarSet | Import::HttpRequest => block(u)?,
            _ => operand(u)?,
        };
        ops.push(Op::Call {
            function,
            operands: [block(u)?, second],
            to: *u.choose(&[0, 3])?,
        });
    }
    Ok(())
}

/// Appends the operations around which a host may fail when a call takes all the fuel or time, and
/// `end`. Such calls are rare, so one tries several.
fn costly(end: Op, u: &mut Unstructured<'_>, ops: &mut Vec<Op>) -> arbitrary::Result<()> {
    for op in [Op::LogCall, Op::EmitHealthy, Op::Publish] {
        if u.ratio(3, 4)? {
            ops.push(op);
        }
    }
    if u.ratio(1, 4)? {
        ops.push(Op::SetError(error(u)?));
    }
    ops.push(end);
    Ok(())
}

/// Appends an answer, an error or both, and leaves so little fuel that Extism's work after the call
/// may run out of it.
fn fuel_edge(u: &mut Unstructured<'_>, ops: &mut Vec<Op>) -> arbitrary::Result<()> {
    if u.ratio(3, 4)? {
        ops.push(Op::EmitHealthy);
    }
    if u.ratio(1, 2)? {
        ops.push(Op::Publish);
    }
    if u.ratio(3, 4)? {
        ops.push(Op::SetError(error(u)?));
    }
    ops.push(Op::BurnTo(u.int_in_range(0..=160)?));
    if u.ratio(1, 4)? {
        ops.push(Op::Return(*u.choose(&CODES)?));
    }
    Ok(())
}

/// The functions that take a block, in the role that they give it.
const ROLES: [Import; 16] = [
    Import::Free,
    Import::Free,
    Import::Length,
    Import::LengthUnsafe,
    Import::LoadU64,
    Import::StoreU8,
    Import::StoreU64,
    Import::StoreU64,
    Import::InputSet,
    Import::OutputSet,
    Import::ErrorSet,
    Import::VarGet,
    Import::VarSet,
    Import::ConfigGet,
    Import::HttpRequest,
    Import::LogInfo,
];

/// The functions with an effect on the results of others.
const CHANGING: [Import; 14] = [
    Import::Free,
    Import::StoreU8,
    Import::StoreU64,
    Import::StoreU64,
    Import::OutputSet,
    Import::OutputSet,
    Import::ErrorSet,
    Import::ErrorSet,
    Import::InputSet,
    Import::Reset,
    Import::VarSet,
    Import::VarGet,
    Import::ConfigGet,
    Import::LogInfo,
];

fn constant(add: i64) -> Operand {
    Operand {
        register: None,
        add,
    }
}

fn operand(u: &mut Unstructured<'_>) -> arbitrary::Result<Operand> {
    Ok(match u.int_in_range(0..=5)? {
        0 => constant(u.int_in_range(0..=64)?),
        1 => constant(*u.choose(&EDGES)?),
        2 | 3 => Operand {
            register: Some(u.int_in_range(0..=3)?),
            add: 0,
        },
        4 => Operand {
            register: Some(u.int_in_range(0..=3)?),
            add: u.int_in_range(-24..=24)?,
        },
        _ => Operand {
            register: Some(u.int_in_range(0..=3)?),
            add: *u.choose(&EDGES)?,
        },
    })
}

/// Appends an echo of the input: inside a string of the response if it has one, or as it is.
fn echo(function: &Function, u: &mut Unstructured<'_>, ops: &mut Vec<Op>) -> arbitrary::Result<()> {
    match answers::around_a_string(function) {
        Some((before, behind)) if u.ratio(3, 4)? => {
            ops.extend([
                Op::Emit(before.into()),
                Op::QuoteInput,
                Op::Emit(behind.into()),
            ]);
        }
        _ => ops.push(Op::EmitInput),
    }
    Ok(())
}

/// Draws an operation that ends the call.
fn ending(u: &mut Unstructured<'_>) -> arbitrary::Result<Op> {
    Ok(match u.int_in_range(0..=2)? {
        0 => Op::Trap(*u.choose(&TrapOp::ALL)?),
        1 => Op::SetError(error(u)?),
        _ => Op::Return(*u.choose(&CODES)?),
    })
}

fn anything(function: &Function, u: &mut Unstructured<'_>) -> arbitrary::Result<Op> {
    Ok(match u.int_in_range(0..=11)? {
        0 => Op::LogCall,
        1 | 2 => Op::EmitHealthy,
        3 => Op::Emit(Bytes(answers::arbitrary(function, u)?)),
        4 => Op::Repeat {
            byte: *u.choose(b" [{\"0\0\xff")?,
            times: *u.choose(&[0, 1, 127, 128, 129, 4096, REPEAT_MAX])?,
        },
        5 => Op::Publish,
        6 => Op::SetError(error(u)?),
        7 => Op::Grow(*u.choose(&[0, 1, 16, 65_536, u32::MAX])?),
        // Half of the fuel, almost all of it, more than there is.
        8 if one_in(100, u)? => Op::Burn(*u.choose(&[625_000, 1_230_000, 1_300_000])?),
        8 => Op::Burn(u.int_in_range(0..=1000)?),
        9 => Op::EmitInput,
        10 => {
            let bytes = *u.choose(&[0, 1, 65_536, (1 << 20) - 1, 1 << 20, u32::MAX])?;
            if u.arbitrary()? {
                Op::Fill(bytes)
            } else {
                Op::Copy(bytes)
            }
        }
        _ => ending(u)?,
    })
}

fn error(u: &mut Unstructured<'_>) -> arbitrary::Result<Bytes> {
    Ok(match u.int_in_range(0..=3)? {
        0..=2 => (*u.choose(&ERRORS)?).into(),
        _ => Bytes(u.bytes(u.len().min(4))?.to_vec()),
    })
}
