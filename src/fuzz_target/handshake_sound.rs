//! The check to which violations of these fuzz targets belong.

use crate::check::{Check, Violation};
use crate::record::CaseRecord;

/// The name of the check.
pub const HANDSHAKE_SOUND: &str = "handshake_sound";

/// Holds when a host opens valid plugins and refuses all others, within its limits. The fuzz
/// targets judge this themselves, because the record of a case does not say how its plugin was
/// opened.
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
