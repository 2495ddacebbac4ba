//! The opening: how a plugin becomes a session, with whatever identity, handshake and offer.
//!
//! A [`HandshakeCase`] is a small plugin and an offer, a value like a [`Case`](crate::case::Case): it is generated,
//! mutated, shrunk, and stored as JSON. [`HandshakeCase::terms`] foretells what it must come to, and
//! [`HandshakeTarget`](crate::fuzz_target::HandshakeTarget) holds a [`Loader`](crate::host::Loader) to that.
//!
//! A discrepancy here is a host that opens a session on terms nobody agreed on, or turns a sound plugin away.

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

/// The latest format version of stored openings. Every older one keeps loading.
///
/// Format 2 has [`Reply::Loops`]. What needs none of that is written in format 1.
pub const FORMAT: u32 = 2;

/// The most smaller openings that shrinking tries; each costs a compilation.
const SHRINK_CANDIDATES: u32 = 1_000;

/// A plugin's identity and handshake, and what the host offers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandshakeCase {
    /// The contents of its identity sections.
    pub identities: Vec<Bytes>,
    /// What its handshake comes to.
    pub reply: Reply,
    /// The functions that it exports beside the handshake. When called they return a code.
    pub exports: BTreeSet<String>,
    /// The functions that the host offers, each with its versions.
    pub offered: BTreeMap<String, Vec<u32>>,
    /// The capabilities that the host offers.
    pub capabilities: BTreeSet<String>,
}

/// What a handshake comes to.
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
    /// The module does not export it.
    Missing,
    /// It loops so many times, sets this output and returns 0. A round takes seven fuel or some more. More than
    /// [`LOOPS_MAX`] are too many, and [`LOOPS_TOO_MANY`] at least.
    Loops(Bytes, u32),
}

/// So many rounds leave a handshake the fuel for its answer.
pub const LOOPS_MAX: u32 = 500_000;

/// So many rounds take more fuel than there is.
pub const LOOPS_TOO_MANY: u32 = 1_500_000;

/// How many rounds a handshake loops: none of which nobody knows whether they are too many.
fn rounds(loops: u32) -> u32 {
    if loops > LOOPS_MAX {
        loops.max(LOOPS_TOO_MANY)
    } else {
        loops
    }
}

/// Why bytes are no opening.
#[derive(Debug, Error)]
pub enum HandshakeCaseError {
    /// They are not the JSON of one.
    #[error("not a handshake case: {0}")]
    NotAnOpening(#[from] serde_json::Error),
    /// It is of a later format.
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
    /// Pretty JSON with a newline at its end.
    ///
    /// # Errors
    /// None: an opening always serializes.
    pub fn to_json(&self) -> Result<String, HandshakeCaseError> {
        let opening = self.clone();
        let format = match opening.reply {
            Reply::Loops(..) => 2,
            _ => 1,
        };
        Ok(serde_json::to_string_pretty(&File { format, opening })? + "\n")
    }

    /// Reads the JSON of an opening.
    ///
    /// # Errors
    /// [`HandshakeCaseError`] where the bytes are none, or one of a later format.
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
    /// Makes the opening smaller, towards a sound one, as long as `fails` says that the finding is still there.
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
