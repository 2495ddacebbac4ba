//! Exit codes of the command line tool.

/// Nothing was found.
pub const CLEAN: u8 = 0;

/// Something was found, even if there was no time to examine it, or if the run then ended with an error.
pub const FINDINGS: u8 = 1;

/// It could not run, or could not write its output: a wrong flag, an unreadable file, a plugin without a valid
/// handshake, a full disk.
pub const COULD_NOT_RUN: u8 = 2;
