//! What a program must come to, worked out without WebAssembly.
//!
//! The model reads the guest's input as the puppet does, so that a mark that got into a request by
//! accident is foretold too. Where fuel decides, it knows bounds, and says [`Ending::Unknown`] between
//! them.

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;
use memchr::memmem;

use super::program::{Import, MARK, Op, PROGRAM_MAX_BYTES, TrapOp, disassemble};

/// The largest input that the puppet reads, in bytes; it traps on a larger one.
pub const INPUT_MAX_BYTES: usize = 1 << 20;

/// The largest answer that the puppet holds, in bytes; it traps on a larger one.
const ANSWER_MAX_BYTES: usize = 1 << 21;

/// The size of the puppet's scratch, in bytes.
const SCRATCH_BYTES: u32 = 1 << 20;

/// What a program that the model does not follow may leave in Extism's memory, in bytes: more takes all the fuel of a call to
/// copy.
const WILD_MAX_BYTES: u64 = 3 << 19;

/// Upper bounds of what a call takes, in fuel. `tests/it/puppet.rs` holds them against measurements.
pub(super) mod fuel {
    /// Every call, with Extism's own share and the setting of the output.
    pub(super) const BASE: u64 = 20_000;
    /// Each byte of input: reading it and looking for the mark.
    pub(super) const INPUT_BYTE: u64 = 24;
    /// Each byte of program: decoding it, and setting it as an error if it comes to that.
    pub(super) const PROGRAM_BYTE: u64 = 80;
    /// Each byte of answer: making it and setting it as the output.
    pub(super) const ANSWER_BYTE: u64 = 40;
    /// Each operation.
    pub(super) const OP: u64 = 1_000;
    /// Each byte that the call before had left in Extism's memory, which may be zeroed at the expense of this one.
    pub(super) const CARRIED_BYTE: u64 = 4;
    /// Each loop of `Burn`, exactly.
    pub(in crate::puppet) const LOOP: u64 = 8;
}

/// How a call of the puppet ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It returns 0 and sets no error: what it published, which may be nothing, is its answer.
    Answer,
    /// It returns a code other than 0 and sets no error.
    ExitCode(i32),
    /// It sets an error, whatever it returns.
    Error,
    /// It traps.
    Trap(TrapOp),
    /// It runs out of fuel.
    OutOfFuel,
    /// It runs out of time.
    Timeout,
    /// Fuel decides, and the model does not know it exactly enough; or the program calls Extism by itself.
    Unknown,
}

/// What a call of the puppet must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// How it ends.
    pub ending: Ending,
    /// What it published last; empty if nothing.
    pub output: Vec<u8>,
    /// Whether the output depends on the input.
    pub echoes: bool,
    /// How often it knocks.
    pub knocks: u32,
    /// Bytes that it leaves in Extism's memory at most, input and all: some of them may be zeroed in the next call.
    pub allocates: u64,
    /// The fuel that it leaves at least, with what the call before makes Extism zero; 0 where that is not known.
    pub spare_fuel: u64,
    /// Whether it reads nothing that an earlier call may have left behind, such as a variable, so that it
    /// comes to the same on any session if the fuel is no matter.
    pub forgetful: bool,
    /// Whether it may leave the session with more memory than it had.
    pub grows: bool,
    /// Whether it may leave the puppet half-way through changing its own state, so that its instance is of no more use.
    pub half_way: bool,
}

impl Prediction {
    /// The bytes that the guest answers with, where it answers.
    pub fn answer(&self) -> Option<&[u8]> {
        (self.ending == Ending::Answer).then_some(&self.output[..])
    }

    /// Whether the call surely returns, with whatever.
    fn ends_by_itself(&self) -> bool {
        matches!(
            self.ending,
            Ending::Answer | Ending::ExitCode(_) | Ending::Error
        )
    }

    /// Whether the same comes of the call behind another one that allocated so many bytes: Extism zeroes them at its
    /// expense.
    pub fn holds_behind(&self, carried: u64) -> bool {
        self.ending != Ending::Answer || self.spare_fuel >= fuel::CARRIED_BYTE * carried
    }

    /// Whether the call must fail.
    pub fn fails(&self) -> bool {
        !matches!(self.ending, Ending::Answer | Ending::Unknown)
    }
}

/// Foretells a call of the puppet.
///
/// `healthy` is the function's healthy answer, `carried` the bytes that the call before had allocated.
pub fn predict(input: &[u8], healthy: &[u8], carried: u64) -> Prediction {
    let mut run = Run {
        input,
        healthy,
        answer: Vec::new(),
        error: false,
        wild: false,
        least_fuel: 0,
        most_fuel: fuel::BASE
            + fuel::INPUT_BYTE * input.len() as u64
            + fuel::CARRIED_BYTE * carried,
        result: Prediction {
            ending: Ending::Answer,
            output: Vec::new(),
            echoes: false,
            knocks: 0,
            allocates: input.len() as u64,
            spare_fuel: 0,
            forgetful: true,
            grows: false,
            half_way: false,
        },
    };
    run.call();
    run.settle_fuel();
    run.result.half_way &= !run.result.ends_by_itself();
    run.result
}

struct Run<'a> {
    input: &'a [u8],
    healthy: &'a [u8],
    answer: Vec<u8>,
    error: bool,
    /// Whether something happened that the model does not follow.
    wild: bool,
    least_fuel: u64,
    most_fuel: u64,
    result: Prediction,
}

impl Run<'_> {
    fn call(&mut self) {
        if self.input.len() > INPUT_MAX_BYTES {
            return self.trap(TrapOp::Unreachable);
        }
        let Some(at) = memmem::find(self.input, MARK.as_bytes()) else {
            self.emit(self.healthy);
            return self.finish(0);
        };
        let program = decode_hex(&self.input[at + MARK.len()..]);
        self.most_fuel += fuel::PROGRAM_BYTE * program.len() as u64;
        if program.len() > PROGRAM_MAX_BYTES {
            return self.trap(TrapOp::Unreachable);
        }
        let mut rest = &program[..];
        while !rest.is_empty() {
            let Some(op) = disassemble(&mut rest) else {
                return self.trap(TrapOp::Unreachable);
            };
            if self.perform(op).is_none() {
                return;
            }
        }
        self.finish(0);
    }

    /// Performs an operation; `None` where it ends the call.
    fn perform(&mut self, op: Op) -> Option<()> {
        self.most_fuel += fuel::OP;
        match op {
            Op::Knock => self.result.knocks += 1,
            Op::Emit(bytes) => self.emit(&bytes.0)?,
            Op::Repeat { byte, times } => {
                self.reserve(times as usize)?;
                self.answer.resize(self.answer.len() + times as usize, byte);
            }
            Op::EmitInput => {
                self.result.echoes = true;
                self.emit(self.input)?;
            }
            Op::QuoteInput => {
                self.result.echoes = true;
                self.reserve(2 * self.input.len())?;
                for &byte in self.input {
                    if byte == b'"' || byte == b'\\' {
                        self.answer.push(b'\\');
                    }
                    self.answer.push(byte);
                }
                self.most_fuel += fuel::ANSWER_BYTE * self.input.len() as u64;
            }
            Op::EmitHealthy => self.emit(self.healthy)?,
            Op::Publish => self.publish(),
            Op::SetError(text) => self.error |= !text.0.is_empty(),
            Op::Grow(_) => self.result.grows = true,
            Op::Hold => self.result.half_way = true,
            Op::Call { function, .. } => {
                self.wild = true;
                self.result.forgetful &= !reads_the_past(function);
            }
            Op::GrowTable(_) | Op::Flood(_) | Op::Line(_) => {
                self.wild = true;
                self.result.grows = true;
            }
            Op::Fill(bytes) | Op::Copy(bytes) if bytes >= SCRATCH_BYTES => {
                // It depends on how far the memory has grown.
                self.wild = true;
                self.result.forgetful = false;
            }
            Op::Fill(_) | Op::Copy(_) => {}
            // The one is never assembled. The other makes more of what is not followed.
            Op::BurnTo(_) | Op::Times(_) => {}
            Op::Burn(loops) => {
                self.least_fuel += fuel::LOOP * u64::from(loops);
                self.most_fuel += fuel::LOOP * u64::from(loops);
            }
            Op::Trap(kind) => {
                self.trap(kind);
                return None;
            }
            Op::Spin => {
                self.result.ending = Ending::OutOfFuel;
                self.least_fuel = u64::MAX;
                return None;
            }
            Op::Stall => {
                self.result.ending = Ending::Timeout;
                return None;
            }
            Op::Return(code) => {
                self.finish(code);
                return None;
            }
        }
        Some(())
    }

    /// Checks that the answer has room; `None` where the puppet traps for want of it.
    fn reserve(&mut self, length: usize) -> Option<()> {
        if length > ANSWER_MAX_BYTES - self.answer.len() {
            self.trap(TrapOp::Unreachable);
            return None;
        }
        Some(())
    }

    fn emit(&mut self, bytes: &[u8]) -> Option<()> {
        self.reserve(bytes.len())?;
        self.answer.extend_from_slice(bytes);
        Some(())
    }

    fn publish(&mut self) {
        if !self.answer.is_empty() {
            self.most_fuel += fuel::ANSWER_BYTE * self.answer.len() as u64;
            self.result.allocates += self.answer.len() as u64;
            self.result.output.clone_from(&self.answer);
        }
    }

    fn finish(&mut self, code: i32) {
        self.publish();
        self.result.ending = match (self.error, code) {
            (true, _) => Ending::Error,
            (false, 0) => Ending::Answer,
            (false, code) => Ending::ExitCode(code),
        };
    }

    fn trap(&mut self, kind: TrapOp) {
        self.result.ending = Ending::Trap(kind);
    }

    fn settle_fuel(&mut self) {
        if !self.wild {
            self.result.spare_fuel = HANDSHAKE_FUEL.saturating_sub(self.most_fuel);
        }
        if self.wild {
            self.result.ending = Ending::Unknown;
            self.result.allocates += WILD_MAX_BYTES;
        } else if self.least_fuel > HANDSHAKE_FUEL {
            self.result.ending = Ending::OutOfFuel;
        } else if self.most_fuel > HANDSHAKE_FUEL && !self.result.fails() {
            // A call that fails in any case fails by fuel or by itself.
            self.result.ending = Ending::Unknown;
        }
    }
}

/// Whether what a function gives depends on earlier calls: variables, the room for them, and the size of Extism's
/// memory outlive a call.
fn reads_the_past(function: Import) -> bool {
    matches!(
        function,
        Import::VarGet | Import::VarSet | Import::MemoryBytes
    )
}

/// The bytes of the pairs of lower-case hex digits that the text begins with.
fn decode_hex(text: &[u8]) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    text.chunks_exact(2)
        .map_while(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}
