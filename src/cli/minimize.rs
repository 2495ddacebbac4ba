//! `minimize`: the smallest case for what a stored one shows.

use std::path::PathBuf;

use cc_lb_fuzz::campaign::{Confirmed, Known, Suspect, confirm};
use cc_lb_fuzz::case::{Case, ShrinkLimits};
use cc_lb_fuzz::exit_code;
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
    let mut known = Known::default();
    for violation in &violations {
        let suspect = Suspect {
            violation,
            history: &history,
            // The clock has a say in what it ends.
            by_chance: violation.measured || violation.class == "timeout",
        };
        let limits = ShrinkLimits::default();
        let confirmed = confirm(&mut worker, &suspect, &known, limits).map_err(told)?;
        if let Confirmed::Finding(finding) = confirmed
            && known.keys.insert(finding.key())
        {
            tell(&finding, &args.artifacts, plugin, &args.options)?;
        }
    }
    match known.keys.is_empty() {
        true => {
            print("the case shows no finding\n")?;
            Ok(exit_code::CLEAN)
        }
        false => Ok(exit_code::FINDINGS),
    }
}
