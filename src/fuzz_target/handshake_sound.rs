//! The check that what the targets of this folder find is of.

use crate::check::{Check, Violation};
use crate::record::CaseRecord;

/// The name of the check.
pub const HANDSHAKE_SOUND: &str = "handshake_sound";

/// Holds when a host opens what it must open and refuses all else, within its limits. The targets judge that themselves: no
/// record of a case says how its plugin was opened.
#[derive(Debug)]
pub(super) struct HandshakeSound;

impl Check for HandshakeSound {
    fn name(&self) -> &'static str {
        HANDSHAKE_SOUND
    }

    fn check(&self, _: &CaseRecord) -> Vec<Violation> {
        Vec::new()
    }
}
