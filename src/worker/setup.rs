//! What a worker runs, and its timeouts.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::record::Subject;

/// How long a worker may be silent before it counts as dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// While it opens the plugin, which includes compilation.
    pub opening: Duration,
    /// Between two dispatches, or during one.
    pub dispatch: Duration,
}

impl Default for Timeouts {
    /// Returns a minute for opening, of which at most [`OPENING_TIME_MAX`](super::OPENING_TIME_MAX)
    /// is work, and 10 seconds for a dispatch, whose limit in the protocol is 200 ms.
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
    /// The name of the host: that of a [`HostKind`], or of a host of your own.
    pub host: String,
    /// The plugin's module.
    pub wasm: Vec<u8>,
    /// The subject that answers.
    pub subject: Subject,
    /// The capabilities that the host offers in the handshake.
    pub capabilities: BTreeSet<String>,
    /// Whether a refused request is a violation.
    pub deny_refusals: bool,
    /// Whether a limit of the plugin counts as a failure.
    pub deny_limits: bool,
}

impl Setup {
    /// Returns the fingerprint of the module, the host and the offer.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(&self.wasm, &self.host, &self.capabilities)
    }

    /// The host; `None` where it is not one that [`serve`](super::serve) knows, but one of your own.
    pub fn host_kind(&self) -> Option<HostKind> {
        let mut known = HostKind::ALL.into_iter();
        known.find(|kind| kind.name() == self.host)
    }
}

/// The hosts that [`serve`](super::serve) provides.
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
    /// All hosts.
    pub const ALL: [Self; 2] = [Self::Guarded, Self::Reference];

    /// Returns the name of the host.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Reference => "reference",
        }
    }
}
