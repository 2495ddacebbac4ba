//! What the command line tool returns to its caller.

/// Nothing was found.
pub const CLEAN: u8 = 0;

/// Something was found.
pub const FINDINGS: u8 = 1;

/// It could not run: a wrong flag, an unreadable file, a plugin without a valid handshake.
pub const COULD_NOT_RUN: u8 = 2;
