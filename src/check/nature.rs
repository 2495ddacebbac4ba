//! What a check looks at.

/// What a check looks at, for code that confirms, counts or retries violations without knowing the
/// check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// An obligation of the host to its caller.
    Host,
    /// Whether the process survives. A death is reported whatever caused it, and outranks other
    /// violations.
    Death,
    /// The time of a dispatch. On a busy machine it may be long through nobody's fault.
    Time,
    /// The peak memory of a process. It never falls, so each process shows it only once.
    PeakMemory,
    /// Whether sessions have the same results. A plugin that fails now and then also violates this.
    Agreement,
    /// The result of a healthy call after other calls. A plugin that breaks itself also changes it.
    HealthyCall,
    /// A faulty call of a plugin. A run of a metered copy may locate it, and earlier calls may be
    /// the cause.
    PluginCall,
    /// How a plugin changes with the number of calls, whichever function was called last.
    PluginDrift,
    /// What a plugin cannot do and no host requires.
    Limit,
    /// Anything else about a plugin.
    Plugin,
}

impl Nature {
    /// Returns whether only the plugin can be the cause, whatever the host is.
    pub fn is_of_plugin(self) -> bool {
        match self {
            Self::PluginCall | Self::PluginDrift | Self::Limit | Self::Plugin => true,
            Self::Host | Self::Death | Self::Time | Self::PeakMemory => false,
            // A plugin may cause these too, but not only a plugin.
            Self::Agreement | Self::HealthyCall => false,
        }
    }
}
