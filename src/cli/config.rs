//! `cc-lb-fuzz.toml`: what one would repeat on the command line. Every key is a flag of a command, by its name; a flag on
//! the command line comes before it.
//!
//! ```toml
//! workers = 4
//! time = "60s"
//! function = ["shape", "sign"]
//! report = ["html=report.html"]
//! ```
//!
//! What `run` fuzzes is no flag of it, and stays on the command line. A number above 2^63 is written as a text. With
//! `--no-config` it is not read: `plugin`, say, is for cases of that plugin, and the finding of a campaign on the host is of
//! the puppet.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Command;
use thiserror::Error;
use toml::Value;

/// The file that is read where there is one and no other is named.
const FILE: &str = "cc-lb-fuzz.toml";

/// Flags that are left out where the other is given.
const EITHER_OR: [(&str, &str); 3] = [("cases", "time"), ("time", "cases"), ("seed", "resume")];

/// Flags that say whether and where there is one.
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
    #[error("{}: {key} is neither a text, a number, true or false, nor a list of such", path.display())]
    Value { path: PathBuf, key: String },
}

/// Whether there is one that is read where no other is named.
pub fn is_there() -> bool {
    Path::new(FILE).exists()
}

/// The arguments of the program with those of the configuration behind the command.
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
        Ok(place) => place,
        Err(true) => {
            arguments.push("run".into());
            arguments.len() - 1
        }
        Err(false) => return Ok(arguments),
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

/// The place of the command; without one, whether there is nothing but flags that all commands have.
fn place_of_command(tool: &Command, arguments: &[OsString]) -> Result<usize, bool> {
    let mut places = 1..arguments.len();
    while let Some(place) = places.next() {
        let argument = arguments[place].to_string_lossy();
        if tool.find_subcommand(&*argument).is_some() {
            return Ok(place);
        }
        match argument.strip_prefix("--").map(|flag| flag.split_once('=')) {
            Some(Some((flag, _))) if has(tool, flag) => {}
            // Its value is no command.
            Some(None) if has(tool, &argument[2..]) => drop(places.next()),
            _ => return Err(false),
        }
    }
    Err(true)
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
    // Some editors put this mark before a text.
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
