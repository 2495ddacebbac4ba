//! The command line tool. The library does the work; `cli` reads flags and files, and prints.
#![forbid(unsafe_code)]

#[cfg(not(unix))]
compile_error!(
    "the command line tool needs Unix, where its workers can be watched; the library does not"
);

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::main()
}
