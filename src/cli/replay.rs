//! `replay`: stored cases, step by step.

use std::path::{Path, PathBuf};

use cc_lb_fuzz::case::{self, Case};
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::report;
use cc_lb_fuzz::wire::Request;
use clap::Args;

use super::error::CliError;
use super::output::{print, print_findings};
use super::plugin::{PluginArgs, refused};

#[derive(Args)]
pub struct ReplayArgs {
    /// The cases to run; of a folder all files in it, with a summary instead of their steps
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// The plugin to run them on [default: the built-in puppet]
    #[arg(long)]
    plugin: Option<PathBuf>,
    #[command(flatten)]
    options: PluginArgs,
}

pub fn replay(args: &ReplayArgs) -> Result<u8, CliError> {
    let files = all_files(&args.files)?;
    // All of them, before any is run.
    let cases = files.iter().map(|file| Case::<Request>::read(file));
    let cases = cases.collect::<Result<Vec<_>, _>>()?;
    let plugin = args.plugin.as_deref();
    let mut worker = args.options.workers(plugin)?.worker();
    let in_full = files == args.files;
    let (mut showing, mut limited) = (0, 0);
    for (file, case) in files.iter().zip(&cases) {
        let replayed = worker.replay(case);
        let (seen, violations) = replayed.map_err(|error| refused(error, plugin))?;
        let limits = violations.iter().filter(|found| found.is_limit()).count();
        showing += usize::from(limits < violations.len());
        limited += usize::from(limits > 0);
        match in_full {
            true if files.len() == 1 => {
                print_findings(&report::replay_text(case, &seen, &violations))?
            }
            true => {
                print(&format!("{}\n", file.display()))?;
                print_findings(&report::replay_text(case, &seen, &violations))?;
            }
            false => print_findings(&report::replay_line(file, &seen, &violations))?,
        }
    }
    if !in_full {
        let limited = match limited {
            0 => String::new(),
            limited => format!(", {limited} a limit"),
        };
        let all = cases.len();
        print(&format!(
            "{showing} of {all} cases show a finding{limited}\n"
        ))?;
    }
    Ok(match showing {
        0 => exit_code::CLEAN,
        _ => exit_code::FINDINGS,
    })
}

/// The files, and those in the folders.
pub fn all_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => files.extend(in_folder(path)?),
            false => files.push(path.clone()),
        }
    }
    Ok(files)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let files = case::files(folder)?;
    match files.is_empty() {
        true => Err(CliError::NoCases {
            path: folder.to_owned(),
        }),
        false => Ok(files),
    }
}
