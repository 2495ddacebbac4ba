//! What a check looks at.

/// What a check looks at, for whoever confirms, counts or retries what it finds without knowing the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// A promise of the host to whoever calls it.
    Host,
    /// Whether the process lives. A death is reported whoever caused it, and says more than what else was seen.
    Death,
    /// How long a dispatch takes: where others keep the machine busy, that may be nobody's fault.
    Time,
    /// The most memory that a process had. It never falls, so that each process shows it only once.
    PeakMemory,
    /// Whether sessions come to the same. A plugin that fails now and then does not either.
    Agreement,
    /// What a healthy call comes to behind other calls. A plugin that breaks itself changes that too.
    HealthyCall,
    /// What a call of a plugin does wrong. A run of a metered copy may tell where, and calls before it may be the reason.
    PluginCall,
    /// How a plugin changes with the number of calls, whichever function was called last.
    PluginDrift,
    /// What a plugin cannot do, and no host asks of it.
    Limit,
    /// All else of a plugin.
    Plugin,
}

impl Nature {
    /// Whether it is the plugin's, whatever the host is.
    pub fn is_of_plugin(self) -> bool {
        match self {
            Self::PluginCall | Self::PluginDrift | Self::Limit | Self::Plugin => true,
            Self::Host | Self::Death | Self::Time | Self::PeakMemory => false,
            // Of the host: what a plugin may change too is not the plugin's alone.
            Self::Agreement | Self::HealthyCall => false,
        }
    }
}
