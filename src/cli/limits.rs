//! `limits`: finds how large a request may be.

use cc_lb_fuzz::wire::{Request, Vocabulary};
use cc_lb_fuzz::{exit_code, report};
use clap::Args;

use super::error::CliError;
use super::output::print;
use super::plugin::{LookArgs, refused};

#[derive(Args)]
pub struct LimitsArgs {
    #[command(flatten)]
    look: LookArgs,
    /// Measure only this function, such as shape, or one version of it, such as shape_v2; repeatable
    #[arg(long = "function", value_name = "FUNCTION")]
    functions: Vec<String>,
}

pub fn limits(args: &LimitsArgs) -> Result<u8, CliError> {
    let functions = Request::function_indices(&args.functions)?;
    let limits = args.look.workers()?.worker().limits(&functions);
    let limits = limits.map_err(|error| refused(error, Some(&args.look.plugin)))?;
    print(&report::limits_text(&limits))?;
    Ok(exit_code::CLEAN)
}
