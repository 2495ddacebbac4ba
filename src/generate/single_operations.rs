//! Single operations of puppet programs, which do not depend on the operations around them.
//!
//! Bugs in this module look like an operation, an error text or an exit code that no program has.

use arbitrary::Unstructured;

use super::answers;
use super::malformed_json::one_in;
use crate::puppet::{Bytes, Op, TrapOp};
use crate::wire::Function;

/// The longest run of one byte that a generated program emits, in bytes.
pub(super) const REPEAT_MAX: u32 = 64 * 1024;

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
pub(super) const CODES: [i32; 10] = [1, -1, 0, 2, 75, 134, 256, -256, i32::MIN, i32::MAX];

/// Draws an operation that ends the call.
pub(super) fn ending(u: &mut Unstructured<'_>) -> arbitrary::Result<Op> {
    Ok(match u.int_in_range(0..=2)? {
        0 => Op::Trap(*u.choose(&TrapOp::ALL)?),
        1 => Op::SetError(error(u)?),
        _ => Op::Return(*u.choose(&CODES)?),
    })
}

/// Draws an operation of any common kind. None of them calls a function of Extism by its name.
pub(super) fn anything(function: &Function, u: &mut Unstructured<'_>) -> arbitrary::Result<Op> {
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

/// Draws an error text.
pub(super) fn error(u: &mut Unstructured<'_>) -> arbitrary::Result<Bytes> {
    Ok(match u.int_in_range(0..=3)? {
        0..=2 => (*u.choose(&ERRORS)?).into(),
        _ => Bytes(u.bytes(u.len().min(4))?.to_vec()),
    })
}
