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
    /// The host, by name: that of a [`HostKind`], or of a host of your own.
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

    /// The host; `None` where it is not one that [`serve`](super::serve) knows, but one of your own.
    pub fn host_kind(&self) -> Option<HostKind> {
        let mut known = HostKind::ALL.into_iter();
        known.find(|kind| kind.name() == self.host)
    }
}

/// The hosts that [`serve`](super::serve) knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum HostKind {
    /// This project's host, which runs plugins behind a guard
    ///
    /// It is a [`PluginHost`](crate::host::PluginHost).
    #[default]
    Guarded,
    /// The published host, which hostile plugins can kill
    ///
    /// It needs the feature `reference`.
    Reference,
}

impl HostKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Guarded, Self::Reference];

    /// Its name, as the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Reference => "reference",
        }
    }
}
