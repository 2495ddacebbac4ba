//! The opening: how a plugin becomes a session, with whatever identity, handshake and offer.
//!
//! An [`Opening`] is a small plugin and an offer, a value like a [`Case`](crate::case::Case): it is generated,
//! mutated, shrunk, and stored as JSON. [`Opening::terms`] foretells what it must come to, and
//! [`OpeningTarget`] holds a [`Loader`](crate::host::Loader) to that.
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
mod target;
mod terms;

pub use module::with_handshake;
pub use target::{HANDSHAKE_SOUND, ModuleTarget, OpeningTarget, mutate};

/// The format version of stored openings. Every older one keeps loading.
pub const FORMAT: u32 = 1;

/// The most smaller openings that shrinking tries; each costs a compilation.
const SHRINK_CANDIDATES: u32 = 1_000;

/// A plugin's identity and handshake, and what the host offers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
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
}

/// Why bytes are no opening.
#[derive(Debug, Error)]
pub enum OpeningError {
    /// They are not the JSON of one.
    #[error("not an opening: {0}")]
    NotAnOpening(#[from] serde_json::Error),
    /// It is of a later format.
    #[error("an opening of format {0}; this version reads formats up to {FORMAT}")]
    Format(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    opening: Opening,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl Opening {
    /// Pretty JSON with a newline at its end.
    ///
    /// # Errors
    /// None: an opening always serializes.
    pub fn to_json(&self) -> Result<String, OpeningError> {
        let opening = self.clone();
        let format = FORMAT;
        Ok(serde_json::to_string_pretty(&File { format, opening })? + "\n")
    }

    /// Reads the JSON of an opening.
    ///
    /// # Errors
    /// [`OpeningError`] where the bytes are none, or one of a later format.
    pub fn decode(bytes: &[u8]) -> Result<Self, OpeningError> {
        let bytes = without_byte_order_mark(bytes);
        let FormatOnly { format } = serde_json::from_slice(bytes)?;
        if format > FORMAT {
            return Err(OpeningError::Format(format));
        }
        let file: File = serde_json::from_slice(bytes)?;
        Ok(file.opening)
    }
}

impl Opening {
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
