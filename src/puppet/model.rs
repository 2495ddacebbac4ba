//! The model of the puppet: predicts the outcome of a program without WebAssembly.
//!
//! The model reads the guest's input as the puppet does, so it also predicts the effect of a mark
//! that is in a request by accident. Where the outcome depends on fuel, the model knows an upper
//! and a lower bound and returns [`Ending::Unknown`] between them.

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;
use memchr::memmem;

use super::fuel;
use super::program::{Import, MARK, Op, PROGRAM_MAX_BYTES, TALLY_MAX, TrapOp, disassemble};

/// The largest input that the puppet reads, in bytes; it traps on a larger one.
pub const INPUT_MAX_BYTES: usize = 1 << 20;

/// The largest answer that the puppet holds, in bytes; it traps on a larger one.
const ANSWER_MAX_BYTES: usize = 1 << 21;

/// The size of the puppet's scratch area, in bytes.
const SCRATCH_BYTES: u32 = 1 << 20;

/// The most bytes that a program the model does not follow may leave in Extism's memory: to copy
/// more takes all the fuel of a call.
const WILD_MAX_BYTES: u64 = 3 << 19;

/// The way in which a call of the puppet ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The call returns 0 and sets no error: the output that it set last, which may be empty, is
    /// its answer.
    Answer,
    /// The call returns a code other than 0 and sets no error.
    ExitCode(i32),
    /// The call sets an error, whatever it returns.
    Error,
    /// The call traps.
    Trap(TrapOp),
    /// The call runs out of fuel.
    OutOfFuel,
    /// The call runs out of time.
    Timeout,
    /// The outcome depends on fuel within the model's bounds, or the program calls Extism directly.
    Unknown,
}

/// The predicted outcome of a call of the puppet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// How the call ends.
    pub ending: Ending,
    /// The output that the call sets last; empty if none.
    pub output: Vec<u8>,
    /// Whether the output depends on the input.
    pub echoes: bool,
    /// The number of log calls, regardless of earlier calls.
    pub guest_calls: u32,
    /// The number of log calls for each call that the instance has seen: see [`Op::Tally`].
    pub tallies: u32,
    /// The most bytes that the call leaves in Extism's memory, including the input. The next call
    /// may have to zero some of them.
    pub allocates: u64,
    /// The least fuel that the call leaves, after Extism zeroed what the previous call allocated; 0
    /// if unknown.
    pub spare_fuel: u64,
    /// Whether the call reads nothing that an earlier call may have left behind, such as a
    /// variable. If so, its outcome is the same in any session, unless fuel decides.
    pub forgetful: bool,
    /// Whether the call may leave the session with more memory than before.
    pub grows: bool,
    /// Whether the call may end while the puppet changes its own state, which makes the instance
    /// unusable.
    pub half_way: bool,
}

impl Prediction {
    /// Returns the bytes of the guest's answer, or `None` if it does not answer.
    pub fn answer(&self) -> Option<&[u8]> {
        (self.ending == Ending::Answer).then_some(&self.output[..])
    }

    /// Returns whether the call certainly returns, with whatever result.
    fn ends_by_itself(&self) -> bool {
        matches!(
            self.ending,
            Ending::Answer | Ending::ExitCode(_) | Ending::Error
        )
    }

    /// Returns whether the outcome is the same after a call that allocated `carried` bytes, which
    /// Extism zeroes with the fuel of this call.
    pub fn holds_after(&self, carried: u64) -> bool {
        self.ending != Ending::Answer || self.spare_fuel >= fuel::CARRIED_BYTE * carried
    }

    /// Returns whether the call must fail.
    pub fn fails(&self) -> bool {
        !matches!(self.ending, Ending::Answer | Ending::Unknown)
    }
}

/// Predicts the outcome of a call of the puppet.
///
/// `healthy` is the function's healthy answer, `carried` the number of bytes that the previous call
/// allocated.
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
            guest_calls: 0,
            tallies: 0,
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
    /// Whether the program did something that the model does not follow.
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

    /// Performs an operation; returns `None` if it ends the call.
    fn perform(&mut self, op: Op) -> Option<()> {
        self.most_fuel += fuel::OP;
        match op {
            Op::LogCall => self.result.guest_calls += 1,
            Op::Tally => {
                self.result.tallies += 1;
                self.most_fuel += fuel::OP * u64::from(TALLY_MAX);
            }
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
                    self.answer.push(byte.max(b' '));
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
            Op::StoreRange { .. } => self.wild = true,
            Op::GrowTable(_) | Op::Flood(_) | Op::Line(_) => {
                self.wild = true;
                self.result.grows = true;
            }
            Op::Fill(bytes) | Op::Copy(bytes) if bytes >= SCRATCH_BYTES => {
                // The outcome depends on how far the memory has grown.
                self.wild = true;
                self.result.forgetful = false;
            }
            Op::Fill(_) | Op::Copy(_) => {}
            // `BurnTo` and `In` are never assembled. `Times` only repeats a `Call`, which is not
            // followed.
            Op::BurnTo(_) | Op::In(_) | Op::Times(_) => {}
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

    /// Checks that the answer has room; returns `None` if the puppet traps because it has not.
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
            // A call that fails in any case fails either way, by fuel or by itself.
            self.result.ending = Ending::Unknown;
        }
    }
}

/// Returns whether the result of a function depends on earlier calls: variables, the space for them
/// and the size of Extism's memory outlive a call.
fn reads_the_past(function: Import) -> bool {
    matches!(
        function,
        Import::VarGet | Import::VarSet | Import::MemoryBytes
    )
}

/// Decodes the pairs of lower-case hex digits at the start of the text.
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
