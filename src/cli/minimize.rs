//! `minimize`: the smallest case for what a stored one shows.

use std::path::PathBuf;

use cc_lb_fuzz::campaign::confirm_all;
use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::oracle::Violation;
use cc_lb_fuzz::wire::Request;
use clap::Args;

use super::error::CliError;
use super::output::{print, tell};
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
    let history = [Case::<Request>::read(&args.file)?];
    let plugin = args.plugin.as_deref();
    let mut worker = args.options.workers(plugin)?.worker();
    let told = |error| refused(error, plugin);
    let (_, violations) = worker.replay(&history[0]).map_err(told)?;
    // The clock has a say in what it ends.
    let by_chance = violations.iter().any(Violation::is_by_chance);
    let findings = confirm_all(&mut worker, &violations, &history, by_chance).map_err(told)?;
    for finding in &findings {
        tell(finding, &args.artifacts, plugin, &args.options)?;
    }
    match findings.is_empty() {
        true => {
            print("the case shows no finding\n")?;
            Ok(exit_code::CLEAN)
        }
        false => Ok(exit_code::FINDINGS),
    }
}
