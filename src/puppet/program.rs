//! Programs: what a request tells the puppet to do, and how that is written into a string field.

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;
use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::model::fuel;

/// What a program in a request begins with; hex digits follow.
pub const MARK: &str = "puppet:";

/// The longest program in bytes before it is written in hex. The puppet traps on a longer one.
pub const PROGRAM_MAX_BYTES: usize = 64 * 1024;

/// A program for the puppet: operations in the order in which they happen. At its end the puppet sets
/// what it emitted as its output and returns 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Program(pub Vec<Op>);

/// One operation of the puppet. New ones go to the end: stored cases count them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Log that the guest was called. The harness counts these: one dispatch is at most one knock for
    /// each in the program.
    Knock,
    /// Append bytes to the answer.
    Emit(Bytes),
    /// Append a byte to the answer, many times.
    Repeat {
        /// The byte.
        byte: u8,
        /// How often.
        times: u32,
    },
    /// Append the input to the answer.
    EmitInput,
    /// Append the input to the answer as the inside of a JSON string.
    QuoteInput,
    /// Append the function's healthy answer.
    EmitHealthy,
    /// Set the answer so far as the output.
    Publish,
    /// Set an error. An empty text sets none.
    SetError(Bytes),
    /// Grow the memory by a number of pages, if it can.
    Grow(u32),
    /// Count down from a number: takes fuel and ends.
    Burn(u32),
    /// Trap.
    Trap(TrapOp),
    /// Loop until the fuel is used up.
    Spin,
    /// Loop until the time is used up.
    Stall,
    /// Set the answer so far as the output and return this code.
    Return(i32),
    /// Call a function of Extism. With this, what the program comes to is no more foretold.
    Call {
        /// The function.
        function: Import,
        /// Its operands, as many as it takes.
        operands: [Operand; 2],
        /// The register that takes what it returns: 0 to 3.
        to: u8,
    },
    /// Grow a table by a number of entries, if it can.
    GrowTable(u32),
    /// Grow the memory by a number of pages, if it can, and write to all of it.
    Flood(u32),
    /// Fill so many bytes from the scratch on, of which there is a MiB, in one instruction.
    Fill(u32),
    /// Move so many bytes within the scratch, of which there is a MiB, in one instruction.
    Copy(u32),
    /// Burn what leaves the call about so much fuel, all that comes behind it included. The runner finds the
    /// number of loops by a trial, where the host tells the fuel; otherwise nothing is burnt.
    BurnTo(u32),
    /// Begin to change the puppet's own state, until the call ends by itself. An instance that is left half-way traps
    /// in every later call.
    Hold,
    /// Make the next [`Op::Call`] of the program so many times more.
    Times(u32),
    /// Grow the memory by a number of pages, if it can, and move all of it many times, by instructions in a line without a loop
    /// or a call between them. It depends on the clock what comes of that.
    Line(u32),
}

/// An operand of a call: a register's value, if there is one of this number (0 to 3), and a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operand {
    /// The register.
    pub register: Option<u8>,
    /// What is added.
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
    /// All of them, in the order of their codes.
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
    /// Division whose result does not fit.
    DivisionOverflow,
    /// Conversion of a float that is no integer.
    BadConversion,
    /// A load outside the memory.
    Memory,
    /// An indirect call outside the table.
    Table,
    /// An indirect call of an empty entry.
    NullCall,
    /// An indirect call of a function of another type.
    BadSignature,
    /// Recursion without end.
    StackOverflow,
}

impl TrapOp {
    /// All of them, in the order of their codes.
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
    /// The text that carries the program: the mark and hex digits.
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

    /// Whether the program leaves the call a given rest of fuel.
    pub fn burns_to(&self) -> bool {
        self.0.iter().any(|op| matches!(op, Op::BurnTo(_)))
    }

    /// The program with its [`Op::BurnTo`]s as [`Op::Burn`]s, given the fuel that a call takes in which they
    /// burn nothing. Both are equally long, so that nothing else of the call changes.
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

    /// Whether what the guest answers depends on its input.
    pub fn echoes(&self) -> bool {
        let echo = |op: &Op| matches!(op, Op::EmitInput | Op::QuoteInput);
        self.0.iter().any(echo)
    }
}

impl Op {
    fn assemble(&self, to: &mut Vec<u8>) {
        // The codes of puppet.wat.
        match self {
            Self::Knock => to.push(1),
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
                    to.push(operand.register.unwrap_or(u8::MAX));
                    to.extend(operand.add.to_le_bytes());
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
        }
    }
}

fn assemble_number(code: u8, number: u32, to: &mut Vec<u8>) {
    to.push(code);
    to.extend(number.to_le_bytes());
}

fn assemble_bytes(code: u8, bytes: &Bytes, to: &mut Vec<u8>) {
    // Programs are bounded far below 4 GiB: the puppet traps on longer ones.
    assemble_number(code, bytes.0.len() as u32, to);
    to.extend(&bytes.0);
}

/// Reads the next operation of assembled bytes as the puppet does: `None` where it traps.
pub(super) fn disassemble(bytes: &mut &[u8]) -> Option<Op> {
    Some(match take(bytes, 1)?[0] {
        1 => Op::Knock,
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
