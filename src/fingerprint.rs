//! The fingerprint of a module, its host and the offered capabilities.
//!
//! Several plugins, and several versions of one, can share a folder. Bugs in this module look like
//! a file of one campaign that another one overwrites.

use std::collections::BTreeSet;
use std::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256 of what a campaign runs on. It does not depend on the machine or on the path of the
/// module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Hashes a module, the name of the host that runs it, and the capabilities that it is offered.
    pub fn new(wasm: &[u8], host: &str, capabilities: &BTreeSet<String>) -> Self {
        let parts = [wasm, host.as_bytes()];
        Self::of_parts(
            parts
                .into_iter()
                .chain(capabilities.iter().map(String::as_bytes)),
        )
    }

    /// Hashes a text.
    pub fn of_text(text: &str) -> Self {
        Self::of_parts([text.as_bytes()])
    }

    /// Hashes this fingerprint and a text.
    #[must_use]
    pub fn with(&self, text: &str) -> Self {
        Self::of_parts([&self.0[..], text.as_bytes()])
    }

    /// Hashes each part after its length, so that different lists of parts have different hashes.
    fn of_parts<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Returns the first eight hexadecimal digits.
    pub fn short(&self) -> String {
        hex(&self.0[..4])
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
