//! `limits`: how large a request may be.

use std::path::PathBuf;

use cc_lb_fuzz::campaign;
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::host::PluginHost;
use cc_lb_fuzz::report;
use cc_lb_fuzz::wire::Request;
use clap::Args;

use super::error::CliError;
use super::output::print;
use super::plugin;

#[derive(Args)]
pub struct LimitsArgs {
    /// The plugin, .wasm or .wat
    plugin: PathBuf,
    /// Offer the plugin this capability in the handshake; repeatable
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<String>,
}

pub fn limits(args: &LimitsArgs) -> Result<u8, CliError> {
    let wasm = plugin::read(&args.plugin)?;
    let refused = |error: cc_lb_fuzz::handshake::HandshakeError| CliError::Plugin {
        path: args.plugin.clone(),
        reason: error.to_string(),
    };
    let capabilities = args.capabilities.iter().cloned().collect();
    let host = PluginHost::new_with_caps(&wasm, &capabilities).map_err(refused)?;
    let limits = campaign::limits::<_, Request>(&host).map_err(refused)?;
    print(&report::limits_text(&limits))?;
    Ok(exit_code::CLEAN)
}
