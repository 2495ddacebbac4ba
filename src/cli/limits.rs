//! `limits`: how large a request may be.

use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::report;
use cc_lb_fuzz::wire::{Request, Vocabulary};
use clap::Args;

use super::error::CliError;
use super::output::print;
use super::plugin::{LookArgs, refused};

#[derive(Args)]
pub struct LimitsArgs {
    #[command(flatten)]
    look: LookArgs,
    /// Only this function: its name, such as shape, or with its version, such as shape_v2; repeatable
    #[arg(long = "function", value_name = "FUNCTION")]
    functions: Vec<String>,
}

pub fn limits(args: &LimitsArgs) -> Result<u8, CliError> {
    let functions = Request::places(&args.functions)?;
    let limits = args.look.workers()?.worker().limits(&functions);
    let limits = limits.map_err(|error| refused(error, Some(&args.look.plugin)))?;
    print(&report::limits_text(&limits))?;
    Ok(exit_code::CLEAN)
}
