//! `limits`: how large a request may be.

use cc_lb_fuzz::campaign;
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::report;
use cc_lb_fuzz::wire::Request;

use super::error::CliError;
use super::output::print;
use super::plugin::{self, LookArgs};

pub fn limits(args: &LookArgs) -> Result<u8, CliError> {
    let host = args.open(&plugin::read(&args.plugin)?)?;
    let limits = campaign::limits::<_, Request>(&host);
    let limits = limits.map_err(|error| args.refused(&error))?;
    print(&report::limits_text(&limits))?;
    Ok(exit_code::CLEAN)
}
