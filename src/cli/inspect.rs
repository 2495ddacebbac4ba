//! `inspect`: what a plugin is.

use std::path::PathBuf;

use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::host::PluginHost;
use cc_lb_fuzz::host::inspect;
use cc_lb_fuzz::report;
use clap::Args;

use super::error::CliError;
use super::output::print;
use super::plugin;

#[derive(Args)]
pub struct InspectArgs {
    /// The plugin, .wasm or .wat
    plugin: PathBuf,
    /// Offer the plugin this capability in the handshake; repeatable
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<String>,
}

/// Tells what the module says of itself, and then, where the handshake fails, why.
pub fn inspect(args: &InspectArgs) -> Result<u8, CliError> {
    let wasm = plugin::read(&args.plugin)?;
    let found = inspect::inspect(&wasm).map_err(|source| CliError::Rejected {
        path: args.plugin.clone(),
        source,
    })?;
    let host = PluginHost::new_with_caps(&wasm, &args.capabilities.iter().cloned().collect());
    let metadata = host.as_ref().ok().map(PluginHost::metadata);
    print(&report::inspection_text(&found, metadata))?;
    match host {
        Ok(_) => Ok(exit_code::CLEAN),
        Err(error) => Err(CliError::Plugin {
            path: args.plugin.clone(),
            reason: error.to_string(),
        }),
    }
}
