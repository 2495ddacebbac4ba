//! What the command line tool returns to its caller.

/// Nothing was found.
pub const CLEAN: u8 = 0;

/// Something was found, be it that there was no time to look into it, or that the run ended in an error behind it.
pub const FINDINGS: u8 = 1;

/// It could not run, or could not write what it was to write: a wrong flag, an unreadable file, a plugin without a valid
/// handshake, a full disk.
pub const COULD_NOT_RUN: u8 = 2;
