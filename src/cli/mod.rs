//! The commands: one file for each, and what they share.
//!
//! A discrepancy here is a command that does not do what its help says.

use std::process::ExitCode;
use std::sync::Arc;

use cc_lb_fuzz::campaign;
use cc_lb_fuzz::exit_code;
use clap::{ColorChoice, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use signal_hook::consts::SIGXFSZ;
use signal_hook::flag;

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
mod report;
mod resume;
mod run;
mod shell;
mod show;
mod text;

use error::CliError;

/// Property-based fuzzing for cc-lb plugins and the host that runs them.
///
/// Without a command it runs a campaign of 10 seconds against the host itself.
///
/// Exit codes: 0 nothing found, 1 findings, 2 could not run. They are the same where nobody reads what is printed.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    /// What would be repeated: a file with a flag in each line, such as `time = "60s"` [default: cc-lb-fuzz.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// Read no configuration; in a folder with one, printed commands have this flag, for they say all themselves
    #[arg(long, global = true, conflicts_with = "config")]
    no_config: bool,
    /// Whether findings have colors; auto is on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value_t)]
    color: ColorChoice,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a campaign: arbitrary requests for every wire function through one reused session
    Run(run::RunArgs),
    /// Run stored cases and show what each of their steps comes to
    Replay(replay::ReplayArgs),
    /// Shrink a stored case to what shows the same findings
    Minimize(minimize::MinimizeArgs),
    /// Print a stored case as JSON, or as the code of a test
    Show(show::ShowArgs),
    /// Keep a folder of cases small: what each reaches, what a fuzzer has grown, what is of no more use
    ///
    /// What is no case in the folder is skipped, with a line that says so, and stays; so do folders in it.
    Corpus(corpus::CorpusArgs),
    /// Describe a plugin: identity, functions, imports, exports, memory, what the guard changes
    Inspect(plugin::LookArgs),
    /// Find how large a request may be before the plugin does not answer it any more
    Limits(limits::LimitsArgs),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// What campaigns start: runs cases for its parent
    #[command(hide = true)]
    Worker,
    /// What reads a plugin that is a text: makes a module of the standard input
    #[command(hide = true)]
    Assemble,
}

pub fn main() -> ExitCode {
    // A file that may not become larger is as a full disk: an error of writing it, and no end.
    let _ = flag::register(SIGXFSZ, Arc::default());
    let arguments = std::env::args_os().collect();
    let cli = match config::with_config(&Cli::command(), arguments) {
        Ok(arguments) => match Cli::try_parse_from(arguments) {
            Ok(cli) => cli,
            Err(error) if error.use_stderr() => return could_not_run(&in_short(&error)),
            // What was asked for, such as help.
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
        // What the flags of `run` are without any.
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
        Command::Worker => return campaign::serve(),
        Command::Assemble => return text::assemble(),
    };
    result.map_or_else(|error| could_not_run(&error.to_string()), ExitCode::from)
}

/// What is wrong with the arguments, and a tip, without the usage.
fn in_short(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.split("\nUsage:").next().unwrap_or(&text);
    let text = text.split("\nFor more information").next().unwrap_or(text);
    let text = text.trim().trim_start_matches("error: ");
    let text = text.replace("\n\n  tip:", "; tip:");
    format!("{text}; --help tells more")
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
