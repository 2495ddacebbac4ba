//! Puppet programs, and their encoding in a string field of a request.

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;
use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::fuel;

/// The prefix of a program in a request; hex digits follow.
pub const MARK: &str = "puppet:";

/// The longest program, in bytes before hex encoding. The puppet traps on a longer one.
pub const PROGRAM_MAX_BYTES: usize = 64 * 1024;

/// The most log calls of one [`Op::Tally`].
pub const TALLY_MAX: u32 = 32;

/// A program for the puppet: operations in the order in which they run. At its end the puppet sets
/// the emitted bytes as its output and returns 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Program(pub Vec<Op>);

/// An operation of the puppet. Append new ones at the end: stored cases refer to them by index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Log that the guest was called. The harness counts these log calls: one dispatch must make at
    /// most one for each in the program.
    #[serde(rename = "knock")]
    LogCall,
    /// Append bytes to the answer.
    Emit(Bytes),
    /// Append a byte to the answer, many times.
    Repeat {
        /// The byte to append.
        byte: u8,
        /// The number of repetitions.
        times: u32,
    },
    /// Append the input to the answer.
    EmitInput,
    /// Append the input to the answer, escaped as the inside of a JSON string.
    QuoteInput,
    /// Append the function's healthy answer.
    EmitHealthy,
    /// Set the answer so far as the output of the call.
    Publish,
    /// Set an error. An empty text sets none.
    SetError(Bytes),
    /// Grow the memory by a number of pages, if it can.
    Grow(u32),
    /// Count down from a number: uses fuel, then goes on.
    Burn(u32),
    /// Trap.
    Trap(TrapOp),
    /// Loop until the fuel is used up.
    Spin,
    /// Loop until the time is used up.
    Stall,
    /// Set the answer so far as the output and return this code.
    Return(i32),
    /// Call a function of Extism. The outcome of the program is then not predicted.
    Call {
        /// The function.
        function: Import,
        /// The operands, as many of them as the function takes.
        operands: [Operand; 2],
        /// The register for the result: 0 to 3.
        to: u8,
    },
    /// Grow a table by a number of entries, if it can.
    GrowTable(u32),
    /// Grow the memory by a number of pages, if it can, and write to all of it.
    Flood(u32),
    /// Fill this many bytes from the start of the scratch area, which has 1 MiB, in one
    /// instruction.
    Fill(u32),
    /// Move this many bytes within the scratch area, which has 1 MiB, in one instruction.
    Copy(u32),
    /// Burn fuel until about this much is left at the end of the call, later operations included.
    /// The runner finds the number of loops with a trial call if the host reports fuel; otherwise
    /// nothing is burnt.
    BurnTo(u32),
    /// Begin to change the puppet's own state; the change is complete when the call returns by
    /// itself. An instance that is interrupted before that traps in every later call.
    Hold,
    /// Repeat the next [`Op::Call`] of the program this many more times.
    Times(u32),
    /// Grow the memory by a number of pages, if it can, and move all of it many times, in
    /// straight-line code without a loop or a call. The outcome depends on the clock.
    Line(u32),
    /// Make one log call for each call that the instance has seen, this one included, up to
    /// [`TALLY_MAX`].
    Tally,
    /// No operation of the puppet: it puts the program into another text of the request than the
    /// function's usual one. The value is the index of that text, modulo their number. A host that
    /// alters one text is found by a program in another.
    In(u8),
    /// Store 1 in each byte of a range of Extism's memory, eight bytes at a time; the last eight may
    /// reach beyond its end. The outcome of the program is then not predicted.
    StoreRange {
        /// The address of the first byte.
        from: Operand,
        /// The number of bytes. Only fuel limits it.
        bytes: u32,
    },
}

/// An operand of a call: the value of a register, if its number is 0 to 3, plus a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operand {
    /// The number of the register, 0 to 3; `None` for a constant alone.
    pub register: Option<u8>,
    /// The constant to add.
    pub add: i64,
}

/// The functions that a guest may import from `extism:host/env`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Import {
    /// `alloc`.
    Alloc,
    /// `free`.
    Free,
    /// `length`.
    Length,
    /// `length_unsafe`.
    LengthUnsafe,
    /// `load_u8`.
    LoadU8,
    /// `load_u64`.
    LoadU64,
    /// `input_load_u8`.
    InputLoadU8,
    /// `input_load_u64`.
    InputLoadU64,
    /// `store_u8`.
    StoreU8,
    /// `store_u64`.
    StoreU64,
    /// `input_set`.
    InputSet,
    /// `output_set`.
    OutputSet,
    /// `input_length`.
    InputLength,
    /// `input_offset`.
    InputOffset,
    /// `output_length`.
    OutputLength,
    /// `output_offset`.
    OutputOffset,
    /// `reset`.
    Reset,
    /// `error_set`.
    ErrorSet,
    /// `error_get`.
    ErrorGet,
    /// `memory_bytes`.
    MemoryBytes,
    /// `config_get`.
    ConfigGet,
    /// `var_get`.
    VarGet,
    /// `var_set`.
    VarSet,
    /// `http_request`.
    HttpRequest,
    /// `http_status_code`.
    HttpStatusCode,
    /// `http_headers`.
    HttpHeaders,
    /// `log_trace`.
    LogTrace,
    /// `log_debug`.
    LogDebug,
    /// `log_info`.
    LogInfo,
    /// `log_warn`.
    LogWarn,
    /// `log_error`.
    LogError,
    /// `get_log_level`.
    GetLogLevel,
}

impl Import {
    /// All functions, in the order of their codes.
    pub const ALL: [Self; 32] = [
        Self::Alloc,
        Self::Free,
        Self::Length,
        Self::LengthUnsafe,
        Self::LoadU8,
        Self::LoadU64,
        Self::InputLoadU8,
        Self::InputLoadU64,
        Self::StoreU8,
        Self::StoreU64,
        Self::InputSet,
        Self::OutputSet,
        Self::InputLength,
        Self::InputOffset,
        Self::OutputLength,
        Self::OutputOffset,
        Self::Reset,
        Self::ErrorSet,
        Self::ErrorGet,
        Self::MemoryBytes,
        Self::ConfigGet,
        Self::VarGet,
        Self::VarSet,
        Self::HttpRequest,
        Self::HttpStatusCode,
        Self::HttpHeaders,
        Self::LogTrace,
        Self::LogDebug,
        Self::LogInfo,
        Self::LogWarn,
        Self::LogError,
        Self::GetLogLevel,
    ];
}

/// The ways in which the puppet traps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, arbitrary::Arbitrary)]
#[serde(rename_all = "snake_case")]
pub enum TrapOp {
    /// `unreachable`.
    Unreachable,
    /// Division by zero.
    DivisionByZero,
    /// Division whose result overflows.
    DivisionOverflow,
    /// Conversion of a float that has no integer value.
    BadConversion,
    /// A load outside of the memory.
    Memory,
    /// An indirect call outside of the table.
    Table,
    /// An indirect call of an empty table entry.
    NullCall,
    /// An indirect call of a function of another type.
    BadSignature,
    /// Infinite recursion.
    StackOverflow,
}

impl TrapOp {
    /// All traps, in the order of their codes.
    pub const ALL: [Self; 9] = [
        Self::Unreachable,
        Self::DivisionByZero,
        Self::DivisionOverflow,
        Self::BadConversion,
        Self::Memory,
        Self::Table,
        Self::NullCall,
        Self::BadSignature,
        Self::StackOverflow,
    ];
}

impl Program {
    /// Returns the text that carries the program: the mark and hex digits.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::new();
        for op in &self.0 {
            op.assemble(&mut bytes);
        }
        let mut text = String::with_capacity(MARK.len() + 2 * bytes.len());
        text.push_str(MARK);
        for byte in bytes {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        text
    }

    /// Returns whether the program burns fuel down to a given rest, with [`Op::BurnTo`].
    pub fn burns_to(&self) -> bool {
        self.0.iter().any(|op| matches!(op, Op::BurnTo(_)))
    }

    /// Replaces each [`Op::BurnTo`] with an [`Op::Burn`]. `taken` is the fuel that the call takes
    /// if they burn nothing. The encoded program keeps its length, so that nothing else of the call
    /// changes.
    #[must_use]
    pub fn burning(&self, taken: Option<u64>) -> Self {
        let spare = taken.map_or(0, |taken| HANDSHAKE_FUEL.saturating_sub(taken));
        let mut left = spare;
        let ops = self.0.iter().map(|op| match op {
            Op::BurnTo(rest) => {
                let loops = left.saturating_sub(u64::from(*rest)) / fuel::LOOP;
                left -= loops * fuel::LOOP;
                Op::Burn(u32::try_from(loops).unwrap_or(u32::MAX))
            }
            op => op.clone(),
        });
        Self(ops.collect())
    }

    /// Returns the index of the request's text that carries the program, if not the function's
    /// usual one.
    pub(crate) fn carrier_index(&self) -> Option<u8> {
        self.0.iter().find_map(|op| match op {
            Op::In(place) => Some(*place),
            _ => None,
        })
    }

    /// Returns whether the program makes log calls.
    pub fn logs_calls(&self) -> bool {
        self.0
            .iter()
            .any(|op| matches!(op, Op::LogCall | Op::Tally))
    }

    /// Returns whether the guest's answer depends on its input.
    pub fn echoes(&self) -> bool {
        let echo = |op: &Op| matches!(op, Op::EmitInput | Op::QuoteInput);
        self.0.iter().any(echo)
    }
}

impl Op {
    fn assemble(&self, to: &mut Vec<u8>) {
        // These are the codes in puppet.wat.
        match self {
            Self::LogCall => to.push(1),
            Self::Emit(bytes) => assemble_bytes(2, bytes, to),
            Self::Repeat { byte, times } => {
                to.extend([3, *byte]);
                to.extend(times.to_le_bytes());
            }
            Self::EmitInput => to.push(4),
            Self::QuoteInput => to.push(5),
            Self::EmitHealthy => to.push(6),
            Self::Publish => to.push(7),
            Self::SetError(bytes) => assemble_bytes(8, bytes, to),
            Self::Grow(pages) => assemble_number(9, *pages, to),
            Self::Burn(loops) => assemble_number(10, *loops, to),
            Self::BurnTo(_) => assemble_number(10, 0, to),
            Self::Trap(kind) => to.extend([11, *kind as u8]),
            Self::Spin => to.push(12),
            Self::Stall => to.push(13),
            Self::Return(code) => assemble_number(14, *code as u32, to),
            Self::Call {
                function,
                operands,
                to: register,
            } => {
                to.extend([15, *function as u8]);
                for operand in operands {
                    assemble_operand(*operand, to);
                }
                to.push(*register);
            }
            Self::GrowTable(entries) => assemble_number(16, *entries, to),
            Self::Flood(pages) => assemble_number(17, *pages, to),
            Self::Fill(bytes) => assemble_number(18, *bytes, to),
            Self::Copy(bytes) => assemble_number(19, *bytes, to),
            Self::Hold => to.push(20),
            Self::Times(times) => assemble_number(21, *times, to),
            Self::Line(pages) => assemble_number(22, *pages, to),
            Self::Tally => to.push(23),
            Self::StoreRange { from, bytes } => {
                to.push(24);
                assemble_operand(*from, to);
                to.extend(bytes.to_le_bytes());
            }
            // It only selects the text that carries the program.
            Self::In(_) => {}
        }
    }
}

fn assemble_number(code: u8, number: u32, to: &mut Vec<u8>) {
    to.push(code);
    to.extend(number.to_le_bytes());
}

fn assemble_operand(operand: Operand, to: &mut Vec<u8>) {
    to.push(operand.register.unwrap_or(u8::MAX));
    to.extend(operand.add.to_le_bytes());
}

fn assemble_bytes(code: u8, bytes: &Bytes, to: &mut Vec<u8>) {
    // Programs are far shorter than 4 GiB: the puppet traps on longer ones.
    assemble_number(code, bytes.0.len() as u32, to);
    to.extend(&bytes.0);
}

/// Decodes the next operation as the puppet does; returns `None` where the puppet traps.
pub(super) fn disassemble(bytes: &mut &[u8]) -> Option<Op> {
    Some(match take(bytes, 1)?[0] {
        1 => Op::LogCall,
        2 => Op::Emit(take_bytes(bytes)?),
        3 => Op::Repeat {
            byte: take(bytes, 1)?[0],
            times: take_number(bytes)?,
        },
        4 => Op::EmitInput,
        5 => Op::QuoteInput,
        6 => Op::EmitHealthy,
        7 => Op::Publish,
        8 => Op::SetError(take_bytes(bytes)?),
        9 => Op::Grow(take_number(bytes)?),
        10 => Op::Burn(take_number(bytes)?),
        11 => {
            let kind = usize::from(take(bytes, 1)?[0]);
            Op::Trap(*TrapOp::ALL.get(kind).unwrap_or(&TrapOp::Unreachable))
        }
        12 => Op::Spin,
        13 => Op::Stall,
        14 => Op::Return(take_number(bytes)? as i32),
        15 => Op::Call {
            function: *Import::ALL.get(usize::from(take(bytes, 1)?[0]))?,
            operands: [take_operand(bytes)?, take_operand(bytes)?],
            to: take(bytes, 1)?[0],
        },
        16 => Op::GrowTable(take_number(bytes)?),
        17 => Op::Flood(take_number(bytes)?),
        18 => Op::Fill(take_number(bytes)?),
        19 => Op::Copy(take_number(bytes)?),
        20 => Op::Hold,
        21 => Op::Times(take_number(bytes)?),
        22 => Op::Line(take_number(bytes)?),
        23 => Op::Tally,
        24 => Op::StoreRange {
            from: take_operand(bytes)?,
            bytes: take_number(bytes)?,
        },
        _ => return None,
    })
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

fn take_number(bytes: &mut &[u8]) -> Option<u32> {
    let number = take(bytes, 4)?;
    Some(u32::from_le_bytes(number.try_into().ok()?))
}

fn take_operand(bytes: &mut &[u8]) -> Option<Operand> {
    let register = take(bytes, 1)?[0];
    let add = i64::from_le_bytes(take(bytes, 8)?.try_into().ok()?);
    Some(Operand {
        register: (register < 4).then_some(register),
        add,
    })
}

fn take_bytes(bytes: &mut &[u8]) -> Option<Bytes> {
    let length = take_number(bytes)?;
    Some(Bytes(take(bytes, length as usize)?.to_vec()))
}
