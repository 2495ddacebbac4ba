//! The plugin, and the host that runs it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use cc_lb_fuzz::campaign::CampaignError;
use cc_lb_fuzz::host::guard::MODULE_MAX_BYTES;
use cc_lb_fuzz::puppet;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::worker::{HostKind, Setup, Workers};
use clap::{Args, ValueEnum};

use super::assemble;
use super::error::CliError;
use super::shell_quote::quote;

/// The flags of every command that runs a plugin, also after its subcommands.
#[derive(Args, Default)]
pub struct PluginArgs {
    /// The host that runs the plugin
    #[arg(long, value_enum, default_value_t, global = true)]
    pub host: HostKind,
    /// Offer the plugin this capability in the handshake; repeatable
    #[arg(long = "capability", value_name = "NAME", global = true)]
    pub capabilities: Vec<String>,
    /// Report this as a finding too; repeatable
    #[arg(long, value_enum, value_name = "WHAT", global = true)]
    pub deny: Vec<Deny>,
}

/// What is a finding only if it is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Deny {
    /// Requests that the plugin refuses by setting an error
    Refused,
    /// Running out of fuel or time on input that no host sends
    Limits,
}

/// The arguments of every command that only examines a plugin.
#[derive(Args)]
pub struct LookArgs {
    /// The plugin, .wasm or .wat
    pub plugin: PathBuf,
    /// Offer the plugin this capability in the handshake; repeatable
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<String>,
}

impl LookArgs {
    /// Workers that run it behind the guard.
    pub fn workers(&self) -> Result<Workers, CliError> {
        let options = PluginArgs {
            capabilities: self.capabilities.clone(),
            ..PluginArgs::default()
        };
        options.workers(Some(&self.plugin))
    }
}

impl PluginArgs {
    pub fn capabilities(&self) -> BTreeSet<String> {
        self.capabilities.iter().cloned().collect()
    }

    /// Workers that run the plugin, or the puppet without one.
    pub fn workers(&self, plugin: Option<&Path>) -> Result<Workers, CliError> {
        let (wasm, subject) = match plugin {
            None => (puppet::wasm().to_vec(), Subject::Puppet),
            Some(path) => (read(path)?, Subject::Plugin),
        };
        let setup = Setup {
            host: self.host.name().to_owned(),
            wasm,
            subject,
            capabilities: self.capabilities(),
            deny_refusals: self.deny.contains(&Deny::Refused),
            deny_limits: self.deny.contains(&Deny::Limits),
        };
        // It only creates a folder.
        Workers::new(this_program()?, ["worker"], setup).map_err(|source| {
            CliError::TemporaryFolder {
                path: std::env::temp_dir(),
                source,
            }
        })
    }

    /// The same as flags, each after a space.
    pub fn as_flags(&self) -> String {
        let mut flags = String::new();
        if self.host != HostKind::default() {
            flags += &format!(" --host {}", self.host.name());
        }
        if self.deny.contains(&Deny::Refused) {
            flags += " --deny refused";
        }
        if self.deny.contains(&Deny::Limits) {
            flags += " --deny limits";
        }
        for name in &self.capabilities {
            flags += &format!(" --capability={}", quote(name.as_ref()));
        }
        flags
    }
}

/// The path of this program, to start it as a child process. Where the system has `/proc`, it stays the same program even
/// if its file is rebuilt or removed meanwhile.
fn this_program() -> Result<PathBuf, CliError> {
    let running = Path::new("/proc/self/exe");
    if running.exists() {
        Ok(running.to_owned())
    } else {
        std::env::current_exe().map_err(CliError::Program)
    }
}

/// The error of a campaign, with the plugin that it is about.
pub fn refused(error: CampaignError, plugin: Option<&Path>) -> CliError {
    match error {
        CampaignError::Open(error) => refused(
            CampaignError::Refused {
                reason: error.to_string(),
            },
            plugin,
        ),
        CampaignError::Refused { reason } => CliError::Plugin {
            path: plugin.unwrap_or(Path::new("the puppet")).to_owned(),
            reason,
        },
        CampaignError::Died(death) => CliError::Died {
            path: plugin.unwrap_or(Path::new("the puppet")).to_owned(),
            death,
        },
        error => error.into(),
    }
}

/// The module of a plugin.
pub fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    // One byte more than a module may have, so that the guard refuses it.
    let file = File::open(path).map(|file| file.take(MODULE_MAX_BYTES as u64 + 1));
    let read = file.and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_err(|source| CliError::ReadPlugin {
        path: path.to_owned(),
        source,
    })?;
    let is_text = path.extension().is_some_and(|extension| extension == "wat");
    let no_module = |reason| CliError::NotWasm {
        path: path.to_owned(),
        reason,
    };
    let is_binary = bytes.starts_with(b"\0asm");
    if !is_text && !is_binary {
        return Err(no_module("it does not begin with \\0asm".to_owned()));
    }
    let wasm = if is_binary {
        bytes
    } else {
        // Without the byte order mark of some editors.
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        assemble::module_of(path, text, &this_program()?)?
    };
    if wasm.get(4..8) == Some(&[0x0d, 0, 1, 0]) {
        return Err(no_module(
            "it is a component; build the plugin as a module, for wasm32-unknown-unknown"
                .to_owned(),
        ));
    }
    Ok(wasm)
}
