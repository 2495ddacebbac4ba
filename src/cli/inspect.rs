//! `inspect`: what a plugin is.

use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::report;

use super::error::CliError;
use super::output::print;
use super::plugin::{LookArgs, refused};

/// Tells what the module says of itself, and then, where it does not open, why.
pub fn inspect(args: &LookArgs) -> Result<u8, CliError> {
    let refused = |error| refused(error, Some(&args.plugin));
    let workers = args.workers()?;
    let (found, agreed) = workers.worker().inspect().map_err(refused)?;
    let terms = agreed.as_ref().ok().and_then(Option::as_ref);
    print(&report::inspection_text(&found, terms))?;
    agreed.map_err(refused)?;
    Ok(exit_code::CLEAN)
}
