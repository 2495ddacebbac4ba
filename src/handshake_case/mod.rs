//! Handshake cases: how a host opens a plugin, with any identity, handshake and offer.
//!
//! A [`HandshakeCase`] is a small plugin and an offer. Like a [`Case`](crate::case::Case), it is a
//! value that is generated, mutated, shrunk, and stored as JSON. [`HandshakeCase::terms`] predicts
//! the outcome, and [`HandshakeTarget`](crate::fuzz_target::HandshakeTarget) checks a
//! [`Loader`](crate::host::Loader) against it.
//!
//! Bugs in this module look like a false report of a host that opens a session on wrong terms, or
//! refuses a valid plugin.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::case::{Numbers, tree};
use crate::files::without_byte_order_mark;
use crate::puppet::Bytes;

mod generate;
mod module;
mod terms;

pub use module::with_handshake;

/// The latest format version of stored handshake cases. All older versions can be read.
///
/// Format 2 adds [`Reply::Loops`]. A case without it is written in format 1.
pub const FORMAT: u32 = 2;

/// The most candidates that shrinking tries. Each costs a compilation.
const SHRINK_CANDIDATES: u32 = 1_000;

/// A plugin's identity and handshake, and the offer of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandshakeCase {
    /// The contents of the identity sections of the module.
    pub identities: Vec<Bytes>,
    /// The behaviour of the handshake.
    pub reply: Reply,
    /// The exported functions besides the handshake. Each returns a code when called.
    pub exports: BTreeSet<String>,
    /// The offered functions, with the versions of each.
    pub offered: BTreeMap<String, Vec<u32>>,
    /// The offered capabilities.
    pub capabilities: BTreeSet<String>,
}

/// The behaviour of a handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It sets this output and returns 0.
    Answer(Bytes),
    /// It sets this output and this error, and returns 0.
    Error(Bytes, Bytes),
    /// It sets this output and returns a code.
    ExitCode(Bytes, i32),
    /// It sets this output and traps.
    Trap(Bytes),
    /// The module does not export the handshake.
    Missing,
    /// It loops this many times, sets this output and returns 0. An iteration takes at least seven
    /// fuel. More than [`LOOPS_MAX`] iterations run out of fuel: the module loops at least
    /// [`LOOPS_TOO_MANY`] times then.
    Loops(Bytes, u32),
}

/// The most iterations that leave a handshake enough fuel for its answer.
pub const LOOPS_MAX: u32 = 500_000;

/// The least iterations that certainly run out of fuel.
pub const LOOPS_TOO_MANY: u32 = 1_500_000;

/// Returns the number of iterations that the module makes: none between the two limits, where the
/// outcome is unknown.
fn rounds(loops: u32) -> u32 {
    if loops > LOOPS_MAX {
        loops.max(LOOPS_TOO_MANY)
    } else {
        loops
    }
}

/// The reason why bytes are not a handshake case.
#[derive(Debug, Error)]
pub enum HandshakeCaseError {
    /// The bytes are not the JSON of a handshake case.
    #[error("not a handshake case: {0}")]
    NotAnOpening(#[from] serde_json::Error),
    /// The case has a later format than this version reads.
    #[error("a handshake case of format {0}; this version reads formats up to {FORMAT}")]
    Format(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    opening: HandshakeCase,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl HandshakeCase {
    /// Serializes the case as pretty-printed JSON that ends with a newline.
    ///
    /// # Errors
    /// Never fails in practice: a handshake case always serializes.
    pub fn to_json(&self) -> Result<String, HandshakeCaseError> {
        let opening = self.clone();
        let format = match opening.reply {
            Reply::Loops(..) => 2,
            _ => 1,
        };
        Ok(serde_json::to_string_pretty(&File { format, opening })? + "\n")
    }

    /// Reads the JSON of a handshake case.
    ///
    /// # Errors
    /// Returns a [`HandshakeCaseError`] if the bytes are not a handshake case, or have a later
    /// format.
    pub fn decode(bytes: &[u8]) -> Result<Self, HandshakeCaseError> {
        let bytes = without_byte_order_mark(bytes);
        let FormatOnly { format } = serde_json::from_slice(bytes)?;
        if format > FORMAT {
            return Err(HandshakeCaseError::Format(format));
        }
        let file: File = serde_json::from_slice(bytes)?;
        Ok(file.opening)
    }
}

impl HandshakeCase {
    /// Makes the case smaller, towards a valid one, as long as `fails` returns true for the result.
    pub fn shrink(&self, mut fails: impl FnMut(&Self) -> bool) -> Self {
        let mut best = self.clone();
        let sound = Self::sound(self.exports.iter().map(String::as_str));
        let trees = (serde_json::to_value(&best), serde_json::to_value(sound));
        let (Ok(mut root), Ok(target)) = trees else {
            return best;
        };
        let mut left = SHRINK_CANDIDATES;
        tree::shrink(&mut root, &target, Numbers::Least, &mut |root| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            let Ok(candidate) = serde_json::from_value::<Self>(root.clone()) else {
                return ControlFlow::Continue(false);
            };
            let accepted = candidate != best && fails(&candidate);
            if accepted {
                best = candidate;
            }
            ControlFlow::Continue(accepted)
        });
        best
    }
}
