//! What is printed, and the files of findings.

use std::io::Write as _;
use std::path::Path;

use cc_lb_fuzz::finding::Finding;
use cc_lb_fuzz::report::{self, harmless};

use super::error::CliError;
use super::plugin::PluginArgs;

/// Prints for people, to the standard output, which may be a closed pipe.
pub fn print(text: &str) -> Result<(), CliError> {
    print_bytes(harmless(text).as_bytes())
}

/// Prints for other programs.
pub fn print_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(could_not_write)
}

/// The word that begins what is found, bold and red.
const FINDING: &str = "\u{1b}[1;31mfinding\u{1b}[0m";

/// The same, with findings that are seen from afar, where colors are wanted.
pub fn print_findings(text: &str) -> Result<(), CliError> {
    let mut painted = String::new();
    for line in harmless(text).split_inclusive('\n') {
        match line.strip_prefix("finding") {
            Some(rest) if rest.starts_with([':', ' ']) => {
                painted += FINDING;
                painted += rest;
            }
            _ => painted += line,
        }
    }
    let mut out = anstream::stdout().lock();
    let written = write!(out, "{painted}").and_then(|()| out.flush());
    written.map_err(could_not_write)
}

fn could_not_write(source: std::io::Error) -> CliError {
    CliError::Write {
        path: "the standard output".into(),
        source,
    }
}

/// Prints a finding with the command that replays it, writes its case, and returns the command.
pub fn tell(
    finding: &Finding,
    artifacts: &Path,
    plugin: Option<&Path>,
    options: &PluginArgs,
) -> Result<String, CliError> {
    let path = artifacts.join(finding.file_stem() + ".json");
    let mut replay = format!("{} replay {}", program_name(), quoted(&path));
    if let Some(plugin) = plugin {
        replay += &format!(" --plugin {}", quoted(plugin));
    }
    replay += &options.as_flags();
    print_findings(&(report::finding_text(finding, &replay) + "\n"))?;
    std::fs::create_dir_all(artifacts).map_err(|source| CliError::Write {
        path: artifacts.to_owned(),
        source,
    })?;
    finding.case.write(&path)?;
    Ok(replay)
}

/// How this program was called, so that a printed command can be pasted.
fn program_name() -> String {
    std::env::args_os()
        .next()
        .map_or_else(|| "cc-lb-fuzz".to_owned(), |name| quoted(Path::new(&name)))
}

/// A path as a word of a shell command.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if text.chars().all(plain) && !text.is_empty() {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
