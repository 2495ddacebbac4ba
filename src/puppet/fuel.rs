//! Upper bounds of what a call takes, in fuel. `tests/it/puppet.rs` holds them against measurements.

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
