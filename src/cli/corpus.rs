//! `corpus`: keeps folders of cases small.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::corpus::{Entry, reached, redundant};
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::untrusted_text::one_line;
use cc_lb_fuzz::worker::Worker;
use clap::{Args, Subcommand};

use super::cases::{self, CaseFile};
use super::error::CliError;
use super::output::{check_folder, make_folder, print};
use super::plugin::{PluginArgs, refused};

#[derive(Args)]
pub struct CorpusArgs {
    #[command(subcommand)]
    command: Command,
    /// The plugin to run the cases on [default: the built-in puppet]
    #[arg(long, global = true)]
    plugin: Option<PathBuf>,
    #[command(flatten)]
    options: PluginArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Print the features that each case alone reaches
    Stats {
        /// The corpus
        corpus: PathBuf,
    },
    /// Add the cases that reach a new feature, as readable files named after it
    Add {
        /// The corpus; created if it is missing
        corpus: PathBuf,
        /// Cases, or folders of them, such as the corpus of a fuzzer
        #[arg(required = true, value_name = "FILE|DIR")]
        files: Vec<PathBuf>,
    },
    /// Remove the cases whose features other cases also reach
    Min {
        /// The corpus
        corpus: PathBuf,
    },
}

pub fn corpus(args: &CorpusArgs) -> Result<u8, CliError> {
    let reach = &mut Reach {
        worker: args.options.workers(args.plugin.as_deref())?.worker(),
        plugin: args.plugin.as_deref(),
    };
    match &args.command {
        Command::Stats { corpus } => stats(reach, corpus)?,
        Command::Add { corpus, files } => add(reach, corpus, files)?,
        Command::Min { corpus } => min(reach, corpus)?,
    }
    Ok(exit_code::CLEAN)
}

/// A case file.
struct Seed {
    path: PathBuf,
    case: Case,
    entry: Entry,
}

impl Borrow<Entry> for Seed {
    fn borrow(&self) -> &Entry {
        &self.entry
    }
}

/// Measures which features a case reaches.
struct Reach<'p> {
    worker: Worker,
    plugin: Option<&'p Path>,
}

impl Reach<'_> {
    /// The cases with the features that they reach.
    fn seeds(&mut self, cases: Vec<CaseFile>) -> Result<Vec<Seed>, CliError> {
        let seeds = cases.into_iter().map(|(path, case)| {
            let features = self.worker.reach(&case);
            let features = features.map_err(|error| refused(error, self.plugin))?;
            // The size does not depend on the form of the case file.
            let size = case.to_postcard()?.len();
            let entry = Entry { size, features };
            Ok(Seed { path, case, entry })
        });
        seeds.collect()
    }

    /// The cases of a corpus. A link and its target count once.
    fn corpus(&mut self, folder: &Path) -> Result<Vec<Seed>, CliError> {
        let mut files = cases::of_folder(folder)?;
        files.sort_by_key(|(path, _)| path.is_symlink());
        let mut known = HashSet::new();
        files.retain(|(path, _)| path.canonicalize().map_or(true, |file| known.insert(file)));
        self.seeds(files)
    }
}

fn stats(reach: &mut Reach<'_>, folder: &Path) -> Result<(), CliError> {
    let seeds = reach.corpus(folder)?;
    let reached = reached(&seeds);
    let mut steps = 0;
    for seed in &seeds {
        steps += seed.case.dispatches();
        let mut own: Vec<_> = seed.entry.features.iter().collect();
        own.retain(|feature| reached[feature.as_str()] == 1);
        let shown = match &own[..] {
            [] => "nothing of its own".to_owned(),
            [one] => one.to_string(),
            own => format!("{}, and {} more", telling(own), own.len() - 1),
        };
        print(&format!("{}: {shown}\n", one_line(seed.path.display())))?;
    }
    let gone = redundant(&seeds).len();
    print(&format!(
        "{} cases, {steps} steps, {} features; {gone} redundant\n",
        seeds.len(),
        reached.len()
    ))
}

fn add(reach: &mut Reach<'_>, folder: &Path, files: &[PathBuf]) -> Result<(), CliError> {
    let files = cases::of_paths(files)?;
    make_folder(folder)?;
    check_folder(folder)?;
    let held = reach.seeds(cases::of_folder_if_any(folder)?)?;
    let reached = features(&held);
    let mut new = reach.seeds(files)?;
    let tried = new.len();
    for seed in &mut new {
        seed.entry
            .features
            .retain(|feature| !reached.contains(feature));
    }
    new.retain(|seed| !seed.entry.features.is_empty());
    // Of the new cases, add only those that are needed.
    let gone = redundant(&new);
    let needed = new.iter().enumerate();
    let needed = needed.filter(|(index, _)| !gone.contains(index));
    for (_, seed) in needed {
        let own: Vec<_> = seed.entry.features.iter().collect();
        let shown = telling(&own);
        let path = free_path(folder, shown);
        seed.case.write(&path)?;
        print(&format!("{}: {shown}\n", one_line(path.display())))?;
    }
    let added = new.len() - gone.len();
    print(&format!("{added} of {tried} cases added\n"))
}

fn min(reach: &mut Reach<'_>, folder: &Path) -> Result<(), CliError> {
    let seeds = reach.corpus(folder)?;
    let gone = redundant(&seeds);
    for index in &gone {
        let path = &seeds[*index].path;
        std::fs::remove_file(path).map_err(|source| CliError::Write {
            path: path.clone(),
            source,
        })?;
        print(&format!("removed {}\n", one_line(path.display())))?;
    }
    print(&format!(
        "{} of {} cases left\n",
        seeds.len() - gone.len(),
        seeds.len()
    ))
}

fn features(seeds: &[Seed]) -> BTreeSet<String> {
    let features = seeds.iter().flat_map(|seed| &seed.entry.features);
    features.cloned().collect()
}

/// The most informative feature: not a size.
fn telling<F: AsRef<str>>(features: &[F]) -> &str {
    let features = features.iter().map(AsRef::as_ref);
    features
        .min_by_key(|feature| (feature.contains("2^"), *feature))
        .unwrap_or_default()
}

/// The longest name of a file made from a feature, in characters.
const FILE_WORDS_MAX: usize = 80;

/// A file that does not exist yet, named after a feature of its case.
fn free_path(folder: &Path, feature: &str) -> PathBuf {
    let words = feature.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let mut name = words.join("-").to_lowercase();
    // A function of a plugin may have any name. All of it is ASCII.
    name.truncate(FILE_WORDS_MAX);
    let name = name.trim_end_matches('-').to_owned();
    let names = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name}-{n}")));
    let mut paths = names.map(|name| folder.join(name + ".json"));
    paths.find(|path| !path.exists()).unwrap_or_default()
}
