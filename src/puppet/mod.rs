//! The puppet: a guest that a request controls.
//!
//! Compiling a plugin for each hostile behaviour would limit the harness to a few hundred cases a
//! second. The puppet is compiled once, and a [`Program`] in the request makes it answer or fail in
//! a given way. So hostile guests are explored as fast as requests, and a finding shrinks to the
//! operations that matter.
//!
//! [`predict`] returns the outcome that a program must have. A host with another outcome has a bug,
//! which is a finding. `tests/it/puppet.rs` compares the prediction with the puppet itself: a
//! difference there is a bug of the model.

use std::sync::LazyLock;

use cc_lb_plugin_wire::wire_function::all_wire_functions;

mod bytes;
mod effects;
mod fuel;
mod model;
mod program;

pub use bytes::Bytes;
pub use effects::{HALF_WAY, MEANS};
pub use model::{Ending, INPUT_MAX_BYTES, Prediction, predict};
pub use program::{Import, MARK, Op, Operand, PROGRAM_MAX_BYTES, Program, TALLY_MAX, TrapOp};

/// The source text of the puppet, with comments.
pub const PUPPET_WAT: &str = include_str!("puppet.wat");

/// Returns the puppet as a WebAssembly module. It exports all wire functions, a valid identity and
/// a valid handshake.
pub fn wasm() -> &'static [u8] {
    static WASM: LazyLock<Vec<u8>> =
        LazyLock::new(|| wat::parse_str(PUPPET_WAT).expect("puppet.wat is valid"));
    &WASM
}

/// Returns a puppet whose functions have [versions] of their own. The published functions all have
/// version 1, which hides a host that confuses them.
pub fn versioned() -> &'static [u8] {
    static WASM: LazyLock<Vec<u8>> = LazyLock::new(|| {
        // The healthy answers are in the order of the functions.
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

/// Returns the versions of the [`versioned`] puppet: 1 for the first wire function, 2 for the
/// second, and so on.
pub fn versions() -> impl Iterator<Item = (&'static str, u32)> {
    all_wire_functions().iter().copied().zip(1..)
}
