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

/// The words that begin what is found: findings are bold and red, limits yellow.
const FOUND: [(&str, &str); 2] = [
    ("finding", "\u{1b}[1;31mfinding\u{1b}[0m"),
    ("limit", "\u{1b}[33mlimit\u{1b}[0m"),
];

/// The same, with findings that are seen from afar, where colors are wanted.
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
    let written = write!(out, "{painted}").and_then(|()| out.flush());
    written.map_err(could_not_write)
}

fn could_not_write(source: std::io::Error) -> CliError {
    CliError::Write {
        path: "the standard output".into(),
        source,
    }
}

/// Writes the case of a finding and prints it with the command that replays it, which is returned, whatever of these
/// failed: it is a finding all the same.
pub fn tell(
    finding: &Finding,
    artifacts: &Path,
    plugin: Option<&Path>,
    options: &PluginArgs,
) -> (String, Result<(), CliError>) {
    let path = artifacts.join(finding.file_stem() + ".json");
    let mut replay = format!("{} replay {}", program_name(), quoted(&path));
    if let Some(plugin) = plugin {
        replay += &format!(" --plugin {}", quoted(plugin));
    }
    replay += &options.as_flags();
    let written = make_folder(artifacts).and_then(|()| Ok(finding.case.write(&path)?));
    let printed = print_findings(&(report::finding_text(finding, &replay) + "\n"));
    (replay, written.and(printed))
}

/// A folder to write to.
pub fn make_folder(folder: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(folder).map_err(|source| CliError::Write {
        path: folder.to_owned(),
        source,
    })
}

/// How this program was called, so that a printed command can be pasted.
fn program_name() -> String {
    std::env::args_os()
        .next()
        .map_or_else(|| "cc-lb-fuzz".to_owned(), |name| quoted(Path::new(&name)))
}

/// A path as a word of a shell command, and as no flag.
pub fn quoted(path: &Path) -> String {
    let mut text = path.display().to_string();
    // Or it would be a flag.
    if text.starts_with('-') {
        text.insert_str(0, "./");
    }
    word(&text)
}

/// A text as a word of a shell command.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if text.chars().all(plain) && !text.is_empty() {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
