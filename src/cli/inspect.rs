//! `inspect`: what a plugin is.

use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::host::inspect;
use cc_lb_fuzz::report;

use super::error::CliError;
use super::output::print;
use super::plugin::{LookArgs, refused};

/// Tells what the module says of itself, and then, where it does not open, why.
pub fn inspect(args: &LookArgs) -> Result<u8, CliError> {
    let workers = args.workers()?;
    let found = inspect::inspect(&workers.setup().wasm).map_err(|source| CliError::Rejected {
        path: args.plugin.clone(),
        source,
    })?;
    let agreed = workers.worker().agreed();
    let terms = agreed.as_ref().ok().and_then(Option::as_ref);
    print(&report::inspection_text(&found, terms))?;
    match agreed {
        Ok(_) => Ok(exit_code::CLEAN),
        Err(error) => Err(refused(error, Some(&args.plugin))),
    }
}
