//! What a worker runs, and how long it is waited for.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::record::Subject;

/// How long a worker may be silent before it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// While it opens the plugin, which is compiled first.
    pub opening: Duration,
    /// Between two dispatches, or in one.
    pub dispatch: Duration,
}

impl Default for Timeouts {
    /// A minute, of which [`OPENING_TIME_MAX`](super::OPENING_TIME_MAX) is work, and 10 seconds: the protocol's limit of a dispatch is 200 ms.
    fn default() -> Self {
        Self {
            opening: Duration::from_secs(60),
            dispatch: Duration::from_secs(10),
        }
    }
}

/// What a worker runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// The host, by name: see [`HostKind`].
    pub host: String,
    /// The plugin's module.
    pub wasm: Vec<u8>,
    /// Who answers.
    pub subject: Subject,
    /// What the host offers it in the handshake.
    pub capabilities: BTreeSet<String>,
    /// Whether that the plugin refuses a request is a violation.
    pub deny_refusals: bool,
    /// Whether a limit of the plugin is one.
    pub deny_limits: bool,
}

impl Setup {
    /// What sets it apart from other modules, hosts and offers.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(&self.wasm, &self.host, &self.capabilities)
    }
}

/// The hosts that [`serve`](super::serve) knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostKind {
    /// [`PluginHost`](crate::host::PluginHost), which runs plugins behind a guard.
    #[default]
    Guarded,
    /// The published host; needs the feature `reference`.
    Reference,
}

impl HostKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Reference => "reference",
        }
    }
}
