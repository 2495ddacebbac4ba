//! `replay`: runs stored cases.

use std::path::PathBuf;

use cc_lb_fuzz::report;
use cc_lb_fuzz::untrusted_text::one_line;
use cc_lb_fuzz::worker::Replay;
use clap::Args;

use super::cases;
use super::error::CliError;
use super::output::{finish, print, print_findings};
use super::plugin::{PluginArgs, refused};

#[derive(Args)]
pub struct ReplayArgs {
    /// Cases to run step by step, or folders of cases to run with one line per case
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
    let mut failures = Vec::new();
    for (file, case) in &cases {
        let Replay {
            steps, violations, ..
        } = match worker.replay(case) {
            Ok(replayed) => replayed,
            Err(error) => {
                failures.push(refused(error, plugin));
                break;
            }
        };
        let limits = violations.iter().filter(|found| found.is_limit()).count();
        showing += usize::from(limits < violations.len());
        limited += usize::from(limits > 0);
        let mut text = String::new();
        if in_full {
            if cases.len() > 1 {
                text = one_line(file.display()) + "\n";
            }
            text += &report::replay_text(case, &steps, &violations);
        } else {
            text = report::replay_line((file, case), &steps, &violations);
        }
        // If printing fails, the other cases still run and count for the exit code.
        if failures.is_empty() {
            failures.extend(print_findings(&text).err());
        }
    }
    if !in_full && failures.is_empty() {
        let limited = match limited {
            0 => String::new(),
            limited => format!(", {limited} a limit"),
        };
        let all = cases.len();
        let summary = format!("{showing} of {all} cases show a finding{limited}\n");
        failures.extend(print(&summary).err());
    }
    finish(showing > 0, failures)
}
