//! The commands: one file for each, and what they share.
//!
//! Bugs in this module look like a command that does not do what its help says.

use std::process::ExitCode;
use std::sync::Arc;

use cc_lb_fuzz::exit_code;
use clap::{ColorChoice, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use signal_hook::consts::SIGXFSZ;
use signal_hook::flag;

use error::CliError;

mod assemble;
mod cases;
mod config;
mod corpus;
mod error;
mod inspect;
mod limits;
mod minimize;
mod output;
mod plugin;
mod progress;
mod replay;
mod report_file;
mod resume;
mod run;
mod shell_quote;
mod show;

/// Property-based fuzzing for cc-lb plugins and the host that runs them.
///
/// Without a command it runs a campaign of 10 seconds against the host itself.
///
/// Exit codes: 0 nothing found, 1 findings, 2 could not run. They do not change if the reader closes the output.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    /// Read default flags from this TOML file, such as `time = "60s"` [default: cc-lb-fuzz.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// Ignore the configuration file; printed replay commands have this flag if there is one
    #[arg(long, global = true, conflicts_with = "config")]
    no_config: bool,
    /// Color the findings; auto does so on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value_t)]
    color: ColorChoice,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a campaign: arbitrary requests for every wire function through one reused session
    Run(run::RunArgs),
    /// Run stored cases and print the outcome of each step
    Replay(replay::ReplayArgs),
    /// Shrink a stored case as long as the violation still shows
    Minimize(minimize::MinimizeArgs),
    /// Print a stored case as text, as JSON, or as the code of a test
    Show(show::ShowArgs),
    /// Keep a folder of cases small: print the features of each case, add new cases, remove redundant ones
    ///
    /// Features of a case are the outcomes of its calls, the fields of requests and answers, and the
    /// fuel and sizes, rounded down to powers of two.
    ///
    /// Files that are not cases, and subfolders, are skipped with a message and kept.
    Corpus(corpus::CorpusArgs),
    /// Describe a plugin: identity, functions, imports, exports, memory, what the guard changes
    Inspect(plugin::LookArgs),
    /// Find the largest requests that the plugin answers
    Limits(limits::LimitsArgs),
    /// Print shell completions
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Run cases for the parent process; campaigns start it
    #[command(hide = true)]
    Worker,
    /// Assemble a plugin in the text format, from the standard input to the standard output
    #[command(hide = true)]
    Assemble,
}

pub fn main() -> ExitCode {
    // A file at its size limit is then a write error, like a full disk, and does not kill the process.
    let _ = flag::register(SIGXFSZ, Arc::default());
    let arguments = std::env::args_os().collect();
    let cli = match config::with_config(&Cli::command(), arguments) {
        Ok(arguments) => match Cli::try_parse_from(arguments) {
            Ok(cli) => cli,
            Err(error) if error.use_stderr() => return could_not_run(&in_short(&error)),
            // Requested output, such as help.
            Err(error) => error.exit(),
        },
        Err(error) => return could_not_run(&error.to_string()),
    };
    match cli.color {
        ColorChoice::Auto => {}
        ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
        ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
    }
    let command = cli.command.unwrap_or_else(|| {
        // The defaults of `run`.
        let run = Cli::parse_from(["cc-lb-fuzz", "run"]);
        run.command.expect("it is one")
    });
    let result = match command {
        Command::Run(args) => run::run(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Minimize(args) => minimize::minimize(&args),
        Command::Show(args) => show::show(&args),
        Command::Corpus(args) => corpus::corpus(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Limits(args) => limits::limits(&args),
        Command::Completions { shell } => completions(shell),
        Command::Worker => return cc_lb_fuzz::worker::serve(),
        Command::Assemble => return assemble::assemble(),
    };
    result.map_or_else(|error| could_not_run(&error.to_string()), ExitCode::from)
}

/// The error and its tip, without the usage.
fn in_short(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.split("\nUsage:").next().unwrap_or(&text);
    let text = text.split("\nFor more information").next().unwrap_or(text);
    let text = text.trim().trim_start_matches("error: ");
    let text = text.replace("\n\n  tip:", "; tip:");
    format!("{text}; see --help")
}

fn could_not_run(message: &str) -> ExitCode {
    output::note(message);
    ExitCode::from(exit_code::COULD_NOT_RUN)
}

fn completions(shell: Shell) -> Result<u8, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cc-lb-fuzz", &mut script);
    output::print_bytes(&script)?;
    Ok(exit_code::CLEAN)
}
