//! `cc-lb-fuzz.toml`: default flags. Every key is the name of a flag of some command; a flag on the command line overrides
//! it.
//!
//! ```toml
//! workers = 4
//! time = "60s"
//! function = ["shape", "sign"]
//! report = ["html=report.html"]
//! ```
//!
//! The plugin that `run` fuzzes is an argument, not a flag, and stays on the command line. A number above 2^63 is written as
//! a string. `--no-config` ignores the file: a key `plugin`, for example, would replay a finding of the puppet on the wrong
//! plugin.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Command;
use thiserror::Error;
use toml::Value;

/// The file that is read if it exists and no other is named.
const FILE: &str = "cc-lb-fuzz.toml";

/// Flags that are ignored if the other is given.
const EITHER_OR: [(&str, &str); 3] = [("cases", "time"), ("time", "cases"), ("seed", "resume")];

/// Flags that select the file itself.
const OF_THE_FILE: [&str; 2] = ["config", "no-config"];

#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: {reason}", path.display())]
    NotToml { path: PathBuf, reason: String },
    #[error("{}: no command has the flag --{key}", path.display())]
    UnknownKey { path: PathBuf, key: String },
    #[error("{}: {key} must be a string, a number, a boolean, or a list of these", path.display())]
    Value { path: PathBuf, key: String },
}

/// Whether the default file exists.
pub fn is_there() -> bool {
    Path::new(FILE).exists()
}

/// The program's arguments, with those of the configuration after the command.
pub fn with_config(
    tool: &Command,
    mut arguments: Vec<OsString>,
) -> Result<Vec<OsString>, ConfigError> {
    let named = named_file(&arguments);
    let path = named.clone().unwrap_or_else(|| FILE.into());
    let ignored = arguments.iter().any(|argument| argument == "--no-config");
    if ignored || (named.is_none() && !is_there()) {
        return Ok(arguments);
    }
    let first = arguments.get(1).and_then(|argument| argument.to_str());
    if matches!(first, Some("worker" | "assemble" | "help")) {
        return Ok(arguments);
    }
    let place = match place_of_command(tool, &arguments) {
        CommandPlace::At(place) => place,
        CommandPlace::None => {
            arguments.push("run".into());
            arguments.len() - 1
        }
        CommandPlace::Unknown => return Ok(arguments),
    };
    let Some(command) = tool.find_subcommand(&arguments[place]) else {
        return Ok(arguments);
    };
    let given = |flag: &str| {
        let mut of_it = command
            .get_arguments()
            .filter(|known| known.get_long() == Some(flag));
        let short = of_it
            .find_map(|known| known.get_short())
            .map(|c| format!("-{c}"));
        let (flag, with_value) = (format!("--{flag}"), format!("--{flag}="));
        arguments.iter().any(|argument| {
            let text = argument.to_string_lossy();
            text == flag || text.starts_with(&with_value) || Some(&*text) == short.as_deref()
        })
    };
    let mut flags = Vec::new();
    for (key, value) in read(&path)? {
        let other = EITHER_OR.iter().find(|(one, _)| key == *one);
        let other = other.map(|(_, other)| *other);
        let everywhere = !OF_THE_FILE.contains(&&*key) && has(tool, &key);
        if !everywhere && !tool.get_subcommands().any(|command| has(command, &key)) {
            return Err(ConfigError::UnknownKey { path, key });
        }
        if !(everywhere || has(command, &key)) || given(&key) || other.is_some_and(given) {
            continue;
        }
        let Some(of_it) = flags_of(&key, &value) else {
            return Err(ConfigError::Value { path, key });
        };
        flags.extend(of_it);
    }
    arguments.splice(place + 1..place + 1, flags);
    Ok(arguments)
}

/// Where the command is among the arguments.
enum CommandPlace {
    At(usize),
    /// There are only flags that all commands have, and `run` is meant.
    None,
    /// Before any command there is something else, which clap refuses, or reads as a request for help.
    Unknown,
}

fn place_of_command(tool: &Command, arguments: &[OsString]) -> CommandPlace {
    let mut places = 1..arguments.len();
    while let Some(place) = places.next() {
        let argument = arguments[place].to_string_lossy();
        if tool.find_subcommand(&*argument).is_some() {
            return CommandPlace::At(place);
        }
        match argument.strip_prefix("--").map(|flag| flag.split_once('=')) {
            Some(Some((flag, _))) if has(tool, flag) => {}
            // Its value is not a command.
            Some(None) if has(tool, &argument[2..]) => drop(places.next()),
            _ => return CommandPlace::Unknown,
        }
    }
    CommandPlace::None
}

/// The value of `--config`.
fn named_file(arguments: &[OsString]) -> Option<PathBuf> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--config" {
            return arguments.next().map(PathBuf::from);
        }
        if let Some(path) = argument.to_str().and_then(|a| a.strip_prefix("--config=")) {
            return Some(path.into());
        }
    }
    None
}

fn read(path: &Path) -> Result<BTreeMap<String, Value>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    // The byte order mark of some editors.
    toml::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| ConfigError::NotToml {
        path: path.to_owned(),
        reason: error.message().to_owned(),
    })
}

fn has(command: &Command, key: &str) -> bool {
    let mut flags = command.get_arguments().filter_map(|flag| flag.get_long());
    flags.any(|flag| flag == key)
}

/// The flag with each of its values.
fn flags_of(key: &str, value: &Value) -> Option<Vec<OsString>> {
    let with = |value: String| Some(vec![format!("--{key}={value}").into()]);
    match value {
        Value::String(text) => with(text.to_owned()),
        Value::Integer(number) => with(number.to_string()),
        Value::Boolean(true) => Some(vec![format!("--{key}").into()]),
        Value::Boolean(false) => Some(Vec::new()),
        Value::Array(values) => {
            let flags = values.iter().map(|value| match value {
                Value::Array(_) => None,
                value => flags_of(key, value),
            });
            flags
                .collect::<Option<Vec<_>>>()
                .map(|flags| flags.concat())
        }
        _ => None,
    }
}
