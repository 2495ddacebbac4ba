//! Generation of arbitrary puppet programs.

use arbitrary::Unstructured;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::answers;
use super::malformed_json::one_in;
use super::single_operations::{CODES, REPEAT_MAX, anything, ending, error};
use super::wild_programs::wild;
use crate::case::Step;
use crate::puppet::{Bytes, Op, Program};
use crate::wire::{Function, Vocabulary};

/// About one in this many programs stalls, in a loop or in straight-line code. Each takes the whole
/// wall-clock limit, 200 ms.
const STALL_ONE_IN: u32 = 9_000;

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
