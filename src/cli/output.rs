//! Prints output, and writes the files of findings.
//!
//! If the reader of the standard output is gone, a command finishes its work silently, and its exit code says what it found.

use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use cc_lb_fuzz::finding::Finding;
use cc_lb_fuzz::fingerprint::Fingerprint;
use cc_lb_fuzz::untrusted_text::{harmless, shortened};
use cc_lb_fuzz::{exit_code, files, report};

use super::config;
use super::error::CliError;
use super::plugin::PluginArgs;
use super::shell_quote::quote_path;

/// Prints one line to the standard error, which may be closed. The message may contain untrusted text.
pub fn note(message: &str) {
    let words: Vec<_> = message.split_whitespace().collect();
    // Some of the words may be untrusted.
    let line = shortened(&harmless(&words.join(" ")));
    let _ = writeln!(io::stderr(), "cc-lb-fuzz: {line}");
}

/// Prints text for people.
pub fn print(text: &str) -> Result<(), CliError> {
    print_bytes(harmless(text).as_bytes())
}

/// Prints bytes for other programs.
pub fn print_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    unless_gone(out.write_all(bytes).and_then(|()| out.flush()))
}

/// The first words of findings and limits, with colors: findings are bold red, limits yellow.
const FOUND: [(&str, &str); 2] = [
    ("finding", "\u{1b}[1;31mfinding\u{1b}[0m"),
    ("limit", "\u{1b}[33mlimit\u{1b}[0m"),
];

/// Prints text for people, with colored findings where colors are enabled.
pub fn print_findings(text: &str) -> Result<(), CliError> {
    let mut painted = String::new();
    for line in harmless(text).split_inclusive('\n') {
        let found = FOUND.iter().find_map(|(word, painted)| {
            let rest = line.strip_prefix(word)?;
            rest.starts_with([':', ' ']).then_some((painted, rest))
        });
        match found {
            Some((word, rest)) => {
                painted += word;
                painted += rest;
            }
            None => painted += line,
        }
    }
    let mut out = anstream::stdout().lock();
    unless_gone(write!(out, "{painted}").and_then(|()| out.flush()))
}

/// The error of writing to a closed terminal, on every system.
const GONE_TERMINAL: i32 = nix::errno::Errno::EIO as i32;

/// Ignores the error of printing to a reader that is gone.
fn unless_gone(written: io::Result<()>) -> Result<(), CliError> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) if error.raw_os_error() == Some(GONE_TERMINAL) => Ok(()),
        written => written.map_err(|source| CliError::Write {
            path: "the standard output".into(),
            source,
        }),
    }
}

/// Writes the case of a finding, unless it is stored already, and prints the finding with the command that replays it.
/// Returns that command even if writing or printing failed: it is still a finding.
pub fn report_finding(
    finding: &Finding,
    stored: Option<&Path>,
    artifacts: &Path,
    plugin: Option<&Path>,
    options: &PluginArgs,
    found_on: &Fingerprint,
) -> (String, Result<(), CliError>) {
    let path = stored.map_or_else(
        || artifacts.join(finding.file_stem(found_on) + ".json"),
        Path::to_owned,
    );
    let mut replay = format!("{} replay {}", program_name(), quote_path(&path));
    if let Some(plugin) = plugin {
        replay += &format!(" --plugin {}", quote_path(plugin));
    }
    replay += &options.as_flags();
    // The command is complete without the configuration.
    if config::is_there() {
        replay += " --no-config";
    }
    let written = match stored {
        Some(_) => Ok(()),
        None => make_folder(artifacts).and_then(|()| Ok(finding.case.write(&path)?)),
    };
    let printed = print_findings(&(report::finding_text(finding, &replay) + "\n"));
    (replay, written.and(printed))
}

/// The exit code of a command. Findings outrank failures. Every failure is printed, except one that is returned.
pub fn finish(found: bool, mut failures: Vec<CliError>) -> Result<u8, CliError> {
    let last = if found { None } else { failures.pop() };
    failures.iter().for_each(|error| note(&error.to_string()));
    match last {
        Some(error) => Err(error),
        None if found => Ok(exit_code::FINDINGS),
        None => Ok(exit_code::CLEAN),
    }
}

/// Creates a folder to write to.
pub fn make_folder(folder: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(folder).map_err(|source| CliError::Write {
        path: folder.to_owned(),
        source,
    })
}

/// Checks before the work that a folder can be written to or created.
pub fn check_folder(folder: &Path) -> Result<(), CliError> {
    files::check_folder(folder).map_err(|source| CliError::Write {
        path: folder.to_owned(),
        source,
    })
}

/// How this program was called, so that a printed command can be pasted.
fn program_name() -> String {
    let name = std::env::args_os().next();
    name.map_or_else(
        || "cc-lb-fuzz".to_owned(),
        |name| quote_path(Path::new(&name)),
    )
}
