//! The puppet: the guest that a request tells what to do.
//!
//! Compiling a plugin for every hostile behaviour would cap the harness at a few hundred cases a second.
//! The puppet is compiled once; a [`Program`] in the request tells it what to answer, or how to fail. So
//! hostile guests are explored as fast as requests, and a finding shrinks to the operations that matter.
//!
//! [`predict`] says what a program must come to. A discrepancy between that and what a host made of it is
//! a finding about the host; one that the tests of this room find is a mistake in the puppet's model.

use std::sync::LazyLock;

use cc_lb_plugin_wire::wire_function::all_wire_functions;

mod answer;
mod bytes;
mod effect;
mod generate;
mod model;
mod program;

pub use bytes::Bytes;
pub use effect::{HALF_WAY, MEANS};
pub use generate::Wildness;
pub use model::{Ending, INPUT_MAX_BYTES, Prediction, predict};
pub use program::{Import, MARK, Op, Operand, PROGRAM_MAX_BYTES, Program, TrapOp};

/// The puppet's source text, with comments.
pub const PUPPET_WAT: &str = include_str!("puppet.wat");

/// The puppet as a WebAssembly module: all wire functions, a valid identity and handshake.
pub fn wasm() -> &'static [u8] {
    static WASM: LazyLock<Vec<u8>> =
        LazyLock::new(|| wat::parse_str(PUPPET_WAT).expect("puppet.wat is valid"));
    &WASM
}

/// A puppet whose functions have [versions] of their own. Those that are published all have version 1, which does not
/// tell a host that takes one for another.
pub fn versioned() -> &'static [u8] {
    static WASM: LazyLock<Vec<u8>> = LazyLock::new(|| {
        // The healthy answers stand in the order of the functions.
        let mut parts = PUPPET_WAT.split(r"\22_v\22:1");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for ((name, version), part) in versions().zip(parts) {
            text += &format!(r"\22_v\22:{version}{part}");
            for (before, behind) in [("", ""), ("[", "]")] {
                let published = format!(r"\22{name}\22:{before}1{behind}");
                let own = format!(r"\22{name}\22:{before}{version}{behind}");
                text = text.replacen(&published, &own, 1);
            }
        }
        wat::parse_str(text).expect("puppet.wat is valid")
    });
    &WASM
}

/// The versions of the [`versioned`] puppet: 1 of the first wire function, 2 of the second, and so on.
pub fn versions() -> impl Iterator<Item = (&'static str, u32)> {
    all_wire_functions().iter().copied().zip(1..)
}
