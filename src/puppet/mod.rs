//! The puppet: the guest that a request tells what to do.
//!
//! Compiling a plugin for every hostile behaviour would cap the harness at a few hundred cases a second.
//! The puppet is compiled once; a [`Program`] in the request tells it what to answer, or how to fail. So
//! hostile guests are explored as fast as requests, and a finding shrinks to the operations that matter.
//!
//! [`predict`] says what a program must come to. A discrepancy between that and what a host made of it is
//! a finding about the host; one that the tests of this room find is a mistake in the puppet's model.

use std::sync::LazyLock;

mod answer;
mod bytes;
mod effect;
mod generate;
mod model;
mod program;

pub use bytes::Bytes;
pub use effect::MEANS;
pub use generate::Wildness;
pub use model::{Ending, INPUT_MAX_BYTES, Prediction, predict};
pub use program::{Import, MARK, Op, Operand, PROGRAM_MAX_BYTES, Program, TrapOp};

/// The puppet's source text, with comments.
pub const PUPPET_WAT: &str = include_str!("puppet.wat");

/// The puppet as a WebAssembly module: all seven wire functions, a valid identity and handshake.
pub fn wasm() -> &'static [u8] {
    static WASM: LazyLock<Vec<u8>> =
        LazyLock::new(|| wat::parse_str(PUPPET_WAT).expect("puppet.wat is valid"));
    &WASM
}
