//! Wild puppet programs: they call Extism's functions with arbitrary operands. Their outcome is not
//! predicted; they must only do no harm.
//!
//! Bugs in this module look like a bug in a host's bookkeeping of blocks that no program reaches.

use arbitrary::Unstructured;

use super::malformed_json::one_in;
use super::single_operations::anything;
use crate::puppet::{Import, Op, Operand};
use crate::wire::Function;

/// About one in this many wild programs first fills the memory for blocks.
const FULL_ONE_IN: u32 = 8;

/// About one in this many wild programs uses blocks in several roles.
const ROLES_ONE_IN: u32 = 3;

/// The same for those that first fill the memory.
const FULL_ROLES_ONE_IN: u32 = 2;

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

/// The sizes of the two blocks of [`roles`]. A free block of 200 bytes or more is split when a small
/// one is allocated: Extism's kernel does so if at least 128 bytes are left.
const SIZES: [i64; 13] = [
    1, 8, 57, 63, 64, 65, 128, 200, 256, 1000, 4096, 65_535, 65_536,
];

/// Sizes for which the kernel has no room behind the other blocks, so that it looks for a free block.
const LARGE_SIZES: [i64; 4] = [1 << 15, 65_536, 65_536, 65_536];

/// The sizes of small blocks.
const SMALL_SIZES: [i64; 4] = [1, 8, 16, 64];

/// The functions that read a block up to its end, wherever the kernel believes that is.
const READING: [Import; 4] = [
    Import::ErrorSet,
    Import::LogInfo,
    Import::VarGet,
    Import::ConfigGet,
];

/// The registers of the blocks that plugins use: mostly the first that [`roles`] allocates. Register 3
/// is not among them: it has the results of functions without a result.
const BLOCKS: [u8; 6] = [1, 1, 1, 2, 2, 0];

/// The registers of the results.
const RESULTS: [u8; 3] = [0, 0, 3];

/// The functions that make a block a message of the plugin or to it. The last one is there once:
/// behind the guard it traps.
const MESSAGES: [Import; 5] = [
    Import::OutputSet,
    Import::OutputSet,
    Import::ErrorSet,
    Import::ErrorSet,
    Import::InputSet,
];

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

/// Appends calls of functions of Extism with operands that matter to them. Every other program
/// answers afterwards: what came before shows in whether the answer arrives.
pub(super) fn wild(
    function: &Function,
    u: &mut Unstructured<'_>,
    ops: &mut Vec<Op>,
) -> arbitrary::Result<()> {
    calls(function, u, ops)?;
    if u.arbitrary()? {
        ops.push(Op::EmitHealthy);
    }
    Ok(())
}

/// Appends calls of a few functions of Extism, a different few in each program. Some programs first
/// use up almost all the memory for blocks.
fn calls(
    function: &Function,
    u: &mut Unstructured<'_>,
    ops: &mut Vec<Op>,
) -> arbitrary::Result<()> {
    let mut roles_one_in = ROLES_ONE_IN;
    if one_in(FULL_ONE_IN, u)? {
        fill_up(u, ops)?;
        roles_one_in = FULL_ROLES_ONE_IN;
    }
    if one_in(roles_one_in, u)? {
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

/// Appends calls that use two blocks in changing roles, one after the other: an output that is
/// freed, a key that is an error, a block that Extism returned. Most steps are what plugins do with
/// blocks; the others are arbitrary calls. In most programs both blocks have the same size, so that
/// one may take the place of the other.
fn roles(u: &mut Unstructured<'_>, ops: &mut Vec<Op>) -> arbitrary::Result<()> {
    let first = if u.arbitrary()? {
        *u.choose(&LARGE_SIZES)?
    } else {
        *u.choose(&SIZES)?
    };
    let second = if u.ratio(3, 4)? {
        first
    } else {
        *u.choose(&SIZES)?
    };
    let sizes = [first, second];
    ops.extend([alloc(first, 1), alloc(second, 2)]);
    for _ in 0..u.int_in_range(4..=14)? {
        if one_in(8, u)? {
            role(u, ops)?;
        } else {
            script(sizes, u, ops)?;
        }
    }
    // A damaged block shows where it is read, a damaged list of blocks at the next allocation.
    match u.int_in_range(0..=2)? {
        0 => {
            ops.push(alloc(*u.choose(&SMALL_SIZES)?, 0));
            ops.push(alloc(*u.choose(&sizes)?, 3));
        }
        _ => ops.push(call(*u.choose(&READING)?, [whole(0), constant(0)])),
    }
    Ok(())
}

/// Appends a call that uses a block in an arbitrary role. Some calls are repeated many times.
fn role(u: &mut Unstructured<'_>, ops: &mut Vec<Op>) -> arbitrary::Result<()> {
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
        to: *u.choose(&RESULTS)?,
    });
    Ok(())
}

/// Appends one of the things that plugins do with whole blocks. Bugs in the bookkeeping of blocks
/// need several of these in a certain order, which arbitrary calls hardly ever have.
fn script(sizes: [i64; 2], u: &mut Unstructured<'_>, ops: &mut Vec<Op>) -> arbitrary::Result<()> {
    let register = *u.choose(&BLOCKS)?;
    match u.int_in_range(0..=4)? {
        0 => variable(register, sizes, u, ops)?,
        1 => ops.push(call(Import::Free, [whole(register), constant(0)])),
        2 => {
            let size = *u.choose(&sizes)?;
            // A part of a block, so that a free block is split.
            let part = [size / 2, size - 200, size - 200, size - 1000];
            let bytes = match u.int_in_range(0..=3)? {
                0 => *u.choose(&SMALL_SIZES)?,
                1 => size,
                _ => u.choose(&part)?.abs(),
            };
            ops.push(alloc(bytes, *u.choose(&RESULTS)?));
        }
        3 => {
            // Seldom a part is before the block or behind it: behind the guard that ends the call.
            let (add, more) = match u.int_in_range(0..=15)? {
                0 => (-8, 0),
                1 => (8, 0),
                2 => (0, *u.choose(&[8, 16, 64])?),
                _ => (0, 0),
            };
            let size = *u.choose(&sizes)?;
            // The beginning of a large block is enough in most cases, and takes less time.
            let bytes = size.min(*u.choose(&[256, 256, 1024, size])?) + more;
            ops.push(Op::StoreRange {
                from: Operand {
                    register: Some(register),
                    add,
                },
                bytes: bytes as u32,
            });
        }
        _ => {
            let function = *u.choose(&MESSAGES)?;
            let length = constant(*u.choose(&sizes)?);
            ops.push(call(function, [whole(register), length]));
        }
    }
    Ok(())
}

/// Appends the round trip of a variable. Setting it frees its key and its value, so the key is
/// allocated again every other time; otherwise it is used after it was freed.
fn variable(
    key: u8,
    sizes: [i64; 2],
    u: &mut Unstructured<'_>,
    ops: &mut Vec<Op>,
) -> arbitrary::Result<()> {
    let value = *u.choose(&BLOCKS)?;
    ops.push(call(Import::VarSet, [whole(key), whole(value)]));
    if u.arbitrary()? {
        let size = if key == 2 { sizes[1] } else { sizes[0] };
        ops.push(alloc(size, key));
    }
    ops.push(Op::Call {
        function: Import::VarGet,
        operands: [whole(key), constant(0)],
        to: *u.choose(&RESULTS)?,
    });
    Ok(())
}

/// Returns a call of a function without a result. Register 3 is 0 afterwards.
fn call(function: Import, operands: [Operand; 2]) -> Op {
    Op::Call {
        function,
        operands,
        to: 3,
    }
}

/// Returns a call that allocates a block of this many bytes and stores its address in a register.
fn alloc(bytes: i64, to: u8) -> Op {
    Op::Call {
        function: Import::Alloc,
        operands: [constant(bytes), constant(0)],
        to,
    }
}

fn constant(add: i64) -> Operand {
    Operand {
        register: None,
        add,
    }
}

/// Returns the address of the block in a register.
fn whole(register: u8) -> Operand {
    Operand {
        register: Some(register),
        add: 0,
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
