//! `minimize`: shrinks a stored case.

use std::path::PathBuf;

use cc_lb_fuzz::case::{Case, ShrinkLimits};
use cc_lb_fuzz::wire::Request;
use clap::Args;

use super::error::CliError;
use super::output::{check_folder, finish, print, report_finding};
use super::plugin::{PluginArgs, refused};

#[derive(Args)]
pub struct MinimizeArgs {
    /// The case to shrink
    file: PathBuf,
    /// The plugin to run it on [default: the built-in puppet]
    #[arg(long)]
    plugin: Option<PathBuf>,
    #[command(flatten)]
    options: PluginArgs,
    /// Where to write the smallest cases, one for each finding
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    artifacts: PathBuf,
}

pub fn minimize(args: &MinimizeArgs) -> Result<u8, CliError> {
    let case = Case::<Request>::read(&args.file)?;
    let plugin = args.plugin.as_deref();
    check_folder(&args.artifacts)?;
    let workers = args.options.workers(plugin)?;
    let (mut worker, found_on) = (workers.worker(), workers.setup().fingerprint());
    let refuse = |error| refused(error, plugin);
    // Whether there is any finding, and whether any is more than a limit.
    let (mut shown, mut found) = (false, false);
    let mut failures = Vec::new();
    let findings = worker.findings(&case, ShrinkLimits::default());
    for finding in findings.map_err(refuse)? {
        let finding = match finding {
            Ok(finding) => finding,
            Err(error) => {
                failures.push(refuse(error));
                break;
            }
        };
        let (_, written) = report_finding(
            &finding,
            None,
            &args.artifacts,
            plugin,
            &args.options,
            &found_on,
        );
        failures.extend(written.err());
        shown = true;
        found |= !finding.violation.is_limit();
    }
    if !shown && failures.is_empty() {
        print("the case shows no finding\n")?;
    }
    finish(found, failures)
}
