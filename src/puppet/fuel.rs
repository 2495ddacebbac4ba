//! Upper bounds of the fuel of a call. `tests/it/puppet.rs` compares them with measurements.

/// For each call, including Extism's own share and setting the output.
pub(super) const BASE: u64 = 20_000;
/// For each byte of input: to read it and to look for the mark.
pub(super) const INPUT_BYTE: u64 = 24;
/// For each byte of the program: to decode it, and to set it as an error if the program does so.
pub(super) const PROGRAM_BYTE: u64 = 80;
/// For each byte of the answer: to make it and to set it as the output.
pub(super) const ANSWER_BYTE: u64 = 40;
/// For each operation.
pub(super) const OP: u64 = 1_000;
/// For each byte that the previous call left in Extism's memory and that this call may have to
/// zero.
pub(super) const CARRIED_BYTE: u64 = 4;
/// For each loop of `Burn`; this is exact.
pub(in crate::puppet) const LOOP: u64 = 8;
