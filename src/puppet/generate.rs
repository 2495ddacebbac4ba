//! Arbitrary programs.

use arbitrary::Unstructured;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::answer;
use super::bytes::Bytes;
use super::program::{Import, Op, Operand, Program, TrapOp};
use crate::wire::Function;

/// About one in so many programs stalls, in a loop or in a line: each takes the whole wall-clock limit, 200 ms.
const STALL_ONE_IN: u32 = 6_000;

/// About one in so many programs spins: each takes all the fuel, some 10 ms.
const SPIN_ONE_IN: u32 = 2_000;

/// About one in so many programs burns all but a little fuel: each takes some 20 ms.
const EDGE_ONE_IN: u32 = 2_000;

/// About one in so many answers begins with a lot of white space.
const LONG_ONE_IN: u32 = 64;

/// The longest run of one byte that a generated program emits.
const REPEAT_MAX: u32 = 64 * 1024;

/// The errors that guests set.
const ERRORS: [&str; 6] = [
    "unsupported model",
    "",
    "timeout",
    "Returned non-zero exit code: 3",
    "plugin ran out of fuel",
    "\0",
];

/// The codes that guests return.
const CODES: [i32; 8] = [1, -1, 0, 2, 134, 256, i32::MIN, i32::MAX];

/// Which programs are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wildness {
    /// Those whose outcome the model foretells.
    Scripted,
    /// One in four calls Extism's functions with whatever operands: what comes of it is not foretold, only
    /// that it harms nothing. Some leave the puppet half-way.
    Wild,
}

/// About one in so many programs is wild, where wild ones are drawn.
const WILD_ONE_IN: u32 = 4;

/// About one in so many programs leaves the puppet half-way if it does not end by itself, where wild ones are drawn. The
/// published host goes on with such an instance, and shows little else then.
const HOLD_ONE_IN: u32 = 64;

/// About one in so many wild programs fills the memory of blocks first.
const FULL_ONE_IN: u32 = 8;

/// About one in so many wild programs is about what blocks are used for.
const ROLES_ONE_IN: u32 = 3;

/// How much room there may be for blocks, in bytes: what the guard gives to a call, and what a page or the kernel's first memory
/// holds.
const ROOMS: [i64; 4] = [1 << 20, 1 << 20, 65_536, 15 << 16];

/// Constants around which Extism keeps its bookkeeping, blocks and pages end, and numbers wrap.
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
    /// An arbitrary program for a call of this function.
    ///
    /// # Errors
    /// Those of `arbitrary`.
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
            // Without a limit, the second ends and answers.
            let end = u.choose(&[Op::Spin, Op::Burn(1_300_000)])?.clone();
            costly(end, u, &mut ops)?;
        } else {
            cheap(function, u, &mut ops)?;
        }
        Ok(Self(ops))
    }

    /// The same as a strategy, from bytes that shrink.
    pub fn strategy_for(function: &'static Function, wildness: Wildness) -> BoxedStrategy<Self> {
        proptest::collection::vec(any::<u8>(), 0..256)
            .prop_map(move |bytes| {
                // Never fails: what the bytes do not decide is 0.
                Self::arbitrary_for(function, wildness, &mut Unstructured::new(&bytes))
                    .unwrap_or_default()
            })
            .boxed()
    }
}

/// An answer, an echo, a failure, or a few of everything.
fn cheap(
    function: &Function,
    u: &mut Unstructured<'_>,
    ops: &mut Vec<Op>,
) -> arbitrary::Result<()> {
    if one_in(8, u)? {
        ops.push(Op::Knock);
    }
    match u.int_in_range(0..=9)? {
        0..=3 => {
            if one_in(LONG_ONE_IN, u)? {
                let times = *u.choose(&[4096, REPEAT_MAX])?;
                ops.push(Op::Repeat { byte: b' ', times });
            }
            ops.push(Op::Emit(Bytes(answer::arbitrary(function, u)?)));
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

/// Calls of a few functions of Extism, each program another few, with operands that matter to them. Some programs begin with
/// nearly all of the room that there is for blocks.
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
            // Something to point at.
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

/// Allocates all but a little: in one block or in many, the last one in register 0.
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
        // What is left of it, or a little more than that.
        let left = (room - rest) % block + u.int_in_range(0..=64)?;
        ops.push(alloc(left, 0));
    }
    Ok(())
}

/// Allocates a block of so many bytes, and keeps where it is in a register.
fn alloc(bytes: i64, to: u8) -> Op {
    Op::Call {
        function: Import::Alloc,
        operands: [constant(bytes), constant(0)],
        to,
    }
}

/// Two blocks, and what Extism may take each for, one after the other: an output that is freed, a key that is an error, what
/// it handed back, some of it many times.
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

/// All that a host may get wrong about a call that takes all the fuel or time there is: such calls are few.
fn costly(end: Op, u: &mut Unstructured<'_>, ops: &mut Vec<Op>) -> arbitrary::Result<()> {
    for op in [Op::Knock, Op::EmitHealthy, Op::Publish] {
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

/// An answer, an error or both, and so little fuel left that what Extism does behind the call may not be paid.
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

/// The functions that take a block, for what they do to it.
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

/// The functions that change what others find.
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

/// Sends the input back: in a string of the response, where that has one, or as it is.
fn echo(function: &Function, u: &mut Unstructured<'_>, ops: &mut Vec<Op>) -> arbitrary::Result<()> {
    match answer::around_a_string(function) {
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

/// An operation that ends the call.
fn ending(u: &mut Unstructured<'_>) -> arbitrary::Result<Op> {
    Ok(match u.int_in_range(0..=2)? {
        0 => Op::Trap(*u.choose(&TrapOp::ALL)?),
        1 => Op::SetError(error(u)?),
        _ => Op::Return(*u.choose(&CODES)?),
    })
}

fn anything(function: &Function, u: &mut Unstructured<'_>) -> arbitrary::Result<Op> {
    Ok(match u.int_in_range(0..=11)? {
        0 => Op::Knock,
        1 | 2 => Op::EmitHealthy,
        3 => Op::Emit(Bytes(answer::arbitrary(function, u)?)),
        4 => Op::Repeat {
            byte: *u.choose(b" [{\"0\0\xff")?,
            times: *u.choose(&[0, 1, 127, 128, 129, 4096, REPEAT_MAX])?,
        },
        5 => Op::Publish,
        6 => Op::SetError(error(u)?),
        7 => Op::Grow(*u.choose(&[0, 1, 16, 65_536, u32::MAX])?),
        // Half of the fuel, nearly all of it, more than there is.
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

/// Never where the entropy has run out, unlike `Unstructured::ratio`.
fn one_in(n: u32, u: &mut Unstructured<'_>) -> arbitrary::Result<bool> {
    Ok(u.int_in_range(0..=n - 1)? == n - 1)
}

fn error(u: &mut Unstructured<'_>) -> arbitrary::Result<Bytes> {
    Ok(match u.int_in_range(0..=3)? {
        0..=2 => (*u.choose(&ERRORS)?).into(),
        _ => Bytes(u.bytes(u.len().min(4))?.to_vec()),
    })
}
