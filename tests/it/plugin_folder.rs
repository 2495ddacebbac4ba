//! A folder with a plugin, in which the tool runs as a user would run it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::cli::{folder, traps_on_a_query};

/// Arguments of a short run, whose only finding is the bug of [`traps_on_a_query`].
pub const RUN: [&str; 5] = ["run", "plugin.wasm", "--cases", "60", "--seed=1"];

/// Returns a folder with a plugin that traps on a query.
pub fn folder_with_plugin() -> TempDir {
    let folder = folder();
    put(folder.path(), "plugin.wasm", &traps_on_a_query());
    folder
}

/// Writes a file into a folder.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).expect("it can be written");
}

/// Returns the names of all entries of a folder, including hidden ones.
pub fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("it can be read");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("it can be read").file_name();
    entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect()
}

/// Runs a command line in `sh`, as a user who pastes it would.
pub fn run_in_shell(folder: &Path, line: &str) -> Output {
    let mut sh = Command::new("sh");
    let pasted = sh.current_dir(folder).arg("-c").arg(line).output();
    pasted.expect("it runs")
}

/// Returns the replay commands that a run printed. There is at least one.
pub fn replay_commands(printed: &str) -> Vec<String> {
    let lines = printed.lines().map(str::trim);
    let replays: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("replay: "))
        .map(str::to_owned)
        .collect();
    assert!(!replays.is_empty(), "{printed}");
    replays
}
