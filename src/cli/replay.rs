//! `replay`: stored cases, step by step.

use std::path::PathBuf;

use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::line::one_line;
use cc_lb_fuzz::report;
use clap::Args;

use super::cases;
use super::error::CliError;
use super::output::{print, print_findings};
use super::plugin::{PluginArgs, refused};

#[derive(Args)]
pub struct ReplayArgs {
    /// The cases to run; of a folder all that lie in it itself, with a summary instead of their steps
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// The plugin to run them on [default: the built-in puppet]
    #[arg(long)]
    plugin: Option<PathBuf>,
    #[command(flatten)]
    options: PluginArgs,
}

pub fn replay(args: &ReplayArgs) -> Result<u8, CliError> {
    let cases = cases::of_paths(&args.files)?;
    let plugin = args.plugin.as_deref();
    let mut worker = args.options.workers(plugin)?.worker();
    let in_full = cases.iter().map(|(file, _)| file).eq(&args.files);
    let (mut showing, mut limited) = (0, 0);
    for (file, case) in &cases {
        let replayed = worker.replay(case);
        let (seen, violations) = replayed.map_err(|error| refused(error, plugin))?;
        let limits = violations.iter().filter(|found| found.is_limit()).count();
        showing += usize::from(limits < violations.len());
        limited += usize::from(limits > 0);
        if in_full {
            if cases.len() > 1 {
                print(&format!("{}\n", one_line(file.display())))?;
            }
            print_findings(&report::replay_text(case, &seen, &violations))?;
        } else {
            print_findings(&report::replay_line(file, &seen, &violations))?;
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
