//! The command line tool. What it does is in the library; this reads flags and files, and prints.
#![forbid(unsafe_code)]

#[cfg(not(unix))]
compile_error!(
    "the command line tool needs Unix, where its workers can be watched; the library does not"
);

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{IsTerminal, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cc_lb_fuzz::campaign::{
    self, Budget, CampaignError, Event, HostKind, Plan, Setup, Summary, Workers,
};
use cc_lb_fuzz::case::{Case, CaseError, Menu};
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::finding::Finding;
use cc_lb_fuzz::observation::Subject;
use cc_lb_fuzz::puppet::{self, Wildness};
use cc_lb_fuzz::report;
use cc_lb_fuzz::wire::{Request, Vocabulary};
use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use thiserror::Error;

/// Property-based fuzzing for cc-lb plugins and the host that runs them.
///
/// Without a command it runs a campaign of 10 seconds against the host itself.
///
/// Exit codes: 0 nothing found, 1 findings, 2 could not run.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a campaign: arbitrary requests for every wire function through one reused session
    Run(RunArgs),
    /// Run one stored case and show what each of its steps comes to
    Replay(ReplayArgs),
    /// What campaigns start: runs cases for its parent
    #[command(hide = true)]
    Worker,
}

/// The host that runs the plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum HostArg {
    /// This project's, which runs plugins behind a guard
    #[default]
    Guarded,
    /// The published one: hostile plugins kill it
    Reference,
}

impl From<HostArg> for HostKind {
    fn from(host: HostArg) -> Self {
        match host {
            HostArg::Guarded => Self::Guarded,
            HostArg::Reference => Self::Reference,
        }
    }
}

#[derive(Args, Default)]
struct RunArgs {
    /// The plugin to fuzz, .wasm or .wat; without one, the host is fuzzed with the built-in puppet
    plugin: Option<PathBuf>,
    /// The host that runs the plugin
    #[arg(long, value_enum, default_value_t)]
    host: HostArg,
    /// How many processes run cases [default: one for each processor]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Stop after this many cases
    #[arg(long, conflicts_with = "time")]
    cases: Option<u64>,
    /// Stop after this time, such as 10s or 5m [default: 10s]
    #[arg(long, value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// The seed that decides all cases [default: a random one, which is printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Only this function: its name, such as shape, or with its version, such as shape_v2; repeatable
    #[arg(long = "function", value_name = "FUNCTION")]
    functions: Vec<String>,
    /// Where to write the cases of findings
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    artifacts: PathBuf,
}

#[derive(Args)]
struct ReplayArgs {
    /// The case to run
    file: PathBuf,
    /// The plugin to run it on [default: the built-in puppet]
    #[arg(long)]
    plugin: Option<PathBuf>,
    /// The host that runs the plugin
    #[arg(long, value_enum, default_value_t)]
    host: HostArg,
}

/// Why the tool could not run.
#[derive(Debug, Error)]
enum CliError {
    #[error("cannot read the plugin {}: {source}", path.display())]
    ReadPlugin {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is no WebAssembly module: {reason}", path.display())]
    NotWasm { path: PathBuf, reason: String },
    #[error("{} cannot be opened: {reason}", path.display())]
    Plugin { path: PathBuf, reason: String },
    #[error("cannot start this program again: {0}")]
    Program(std::io::Error),
    #[error("there is no function {name}; there are: {}", labels.join(", "))]
    NoSuchFunction {
        name: String,
        labels: Vec<&'static str>,
    },
    #[error("cannot write {}: {source}", path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Case(#[from] CaseError),
    #[error(transparent)]
    Campaign(#[from] CampaignError),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        None => run(&RunArgs {
            artifacts: "artifacts".into(),
            ..RunArgs::default()
        }),
        Some(Command::Run(args)) => run(&args),
        Some(Command::Replay(args)) => replay(&args),
        Some(Command::Worker) => return campaign::serve(),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        // One line, whatever the parts of the message were made of.
        let message = error.to_string();
        let words: Vec<_> = message.split_whitespace().collect();
        eprintln!("cc-lb-fuzz: {}", words.join(" "));
        exit_code::COULD_NOT_RUN
    }))
}

fn run(args: &RunArgs) -> Result<u8, CliError> {
    let workers = workers(args.plugin.as_deref(), args.host)?;
    let plan = Plan {
        seed: args
            .seed
            .unwrap_or_else(|| RandomState::new().build_hasher().finish()),
        budget: match (args.cases, args.time) {
            (Some(cases), _) => Budget::Cases(cases),
            (None, time) => Budget::Time(time.unwrap_or(Duration::from_secs(10))),
        },
        menu: Menu {
            functions: functions(&args.functions)?,
            programs: (workers.setup().subject == Subject::Puppet).then_some(Wildness::Wild),
        },
    };
    let what = match (&args.plugin, args.host) {
        (Some(path), _) => path.display().to_string(),
        (None, HostArg::Guarded) => "the host, with the puppet".to_owned(),
        (None, HostArg::Reference) => "the published host, with the puppet".to_owned(),
    };
    print(&format!("fuzzing {what}; seed {}\n\n", plan.seed))?;
    let progress = progress_bar();
    let mut failed = None;
    let count = args
        .workers
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    let summary = workers
        .run(&plan, count, &mut |event| match event {
            Event::Progress(summary) => progress.set_message(progress_text(summary)),
            Event::Finding(finding) => {
                let told = progress.suspend(|| tell(finding, args));
                failed = failed.take().or(told.err());
            }
        })
        .map_err(|error| refused(error, args.plugin.as_deref()))?;
    progress.finish_and_clear();
    print(&report::summary_text(&summary))?;
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(match summary.findings {
        0 => exit_code::CLEAN,
        _ => exit_code::FINDINGS,
    })
}

/// Prints a finding with the command that replays it, and writes its case.
fn tell(finding: &Finding, args: &RunArgs) -> Result<(), CliError> {
    let path = args.artifacts.join(finding.file_stem() + ".json");
    let mut replay = format!("{} replay {}", program_name(), quoted(&path));
    if let Some(plugin) = &args.plugin {
        replay += &format!(" --plugin {}", quoted(plugin));
    }
    if args.host != HostArg::default() {
        replay += &format!(" --host {}", HostKind::from(args.host).name());
    }
    print(&(report::finding_text(finding, &replay) + "\n"))?;
    std::fs::create_dir_all(&args.artifacts).map_err(|source| CliError::Write {
        path: args.artifacts.clone(),
        source,
    })?;
    Ok(finding.case.write(&path)?)
}

fn replay(args: &ReplayArgs) -> Result<u8, CliError> {
    let case = Case::<Request>::read(&args.file)?;
    let workers = workers(args.plugin.as_deref(), args.host)?;
    let mut worker = workers.worker();
    let told = |error| refused(error, args.plugin.as_deref());
    let (seen, violations) = worker.replay(&case).map_err(told)?;
    print(&report::replay_text(&case, &seen, &violations))?;
    Ok(match violations.len() {
        0 => exit_code::CLEAN,
        _ => exit_code::FINDINGS,
    })
}

/// Prints to the standard output, which may be a closed pipe.
fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|source| CliError::Write {
        path: "the standard output".into(),
        source,
    })
}

/// Workers that run the plugin, or the puppet without one.
fn workers(plugin: Option<&Path>, host: HostArg) -> Result<Workers, CliError> {
    let (wasm, subject) = match plugin {
        None => (puppet::wasm().to_vec(), Subject::Puppet),
        Some(path) => (read_plugin(path)?, Subject::Plugin),
    };
    let setup = Setup {
        host: HostKind::from(host).name().to_owned(),
        wasm,
        subject,
    };
    let program = std::env::current_exe().map_err(CliError::Program)?;
    Workers::new(program, ["worker"], setup).map_err(CliError::Program)
}

fn refused(error: CampaignError, plugin: Option<&Path>) -> CliError {
    match error {
        CampaignError::Refused { reason } => CliError::Plugin {
            path: plugin.unwrap_or(Path::new("the puppet")).to_owned(),
            reason,
        },
        error => error.into(),
    }
}

/// The module of a plugin.
fn read_plugin(path: &Path) -> Result<Vec<u8>, CliError> {
    let bytes = std::fs::read(path).map_err(|source| CliError::ReadPlugin {
        path: path.to_owned(),
        source,
    })?;
    let is_text = path.extension().is_some_and(|extension| extension == "wat");
    let no_module = |reason| CliError::NotWasm {
        path: path.to_owned(),
        reason,
    };
    if !is_text && !bytes.starts_with(b"\0asm") {
        return Err(no_module("it does not begin with \\0asm".to_owned()));
    }
    let wasm = wat::parse_bytes(&bytes).map_err(|error| no_module(error.to_string()))?;
    Ok(wasm.into_owned())
}

/// The places of the functions of these names or labels; all without one.
fn functions(names: &[String]) -> Result<Vec<usize>, CliError> {
    let all = Request::functions();
    for name in names {
        if !all.iter().any(|f| f.label == name || f.name == name) {
            return Err(CliError::NoSuchFunction {
                name: name.clone(),
                labels: all.iter().map(|f| f.label).collect(),
            });
        }
    }
    let wanted = |place: &usize| {
        let f = &all[*place];
        names.is_empty() || names.iter().any(|name| f.label == name || f.name == name)
    };
    Ok((0..all.len()).filter(wanted).collect())
}

fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn progress_text(summary: &Summary) -> String {
    format!(
        "{} cases, {} dispatches, {} findings",
        summary.cases,
        summary.dispatches(),
        summary.findings
    )
}

/// How this program was called, so that a printed command can be pasted.
fn program_name() -> String {
    std::env::args_os()
        .next()
        .map_or_else(|| "cc-lb-fuzz".to_owned(), |name| quoted(Path::new(&name)))
}

/// A path as a word of a shell command.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if text.chars().all(plain) && !text.is_empty() {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
