//! `inspect`: describes a plugin.

use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::report;

use super::error::CliError;
use super::output::print;
use super::plugin::{LookArgs, refused};

/// Prints the description of the module and then, if it does not open, the reason.
pub fn inspect(args: &LookArgs) -> Result<u8, CliError> {
    let refused = |error| refused(error, Some(&args.plugin));
    let workers = args.workers()?;
    let inspected = workers.worker().inspect().map_err(refused)?;
    let terms = inspected.agreed.as_ref().ok().and_then(Option::as_ref);
    print(&report::inspection_text(&inspected.module, terms))?;
    inspected.agreed.map_err(refused)?;
    Ok(exit_code::CLEAN)
}
