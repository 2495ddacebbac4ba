//! `inspect`: what a plugin is.

use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::host::{PluginHost, inspect};
use cc_lb_fuzz::report;

use super::error::CliError;
use super::output::print;
use super::plugin::{self, LookArgs};

/// Tells what the module says of itself, and then, where the handshake fails, why.
pub fn inspect(args: &LookArgs) -> Result<u8, CliError> {
    let wasm = plugin::read(&args.plugin)?;
    let found = inspect::inspect(&wasm).map_err(|source| CliError::Rejected {
        path: args.plugin.clone(),
        source,
    })?;
    let host = args.open(&wasm);
    let metadata = host.as_ref().ok().map(PluginHost::metadata);
    print(&report::inspection_text(&found, metadata))?;
    host.map(|_| exit_code::CLEAN)
}
