//! The phases of a campaign.

use serde::{Deserialize, Serialize};

/// What a campaign tries, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Phase {
    /// The healthy call of each function
    Seeds,
    /// The same requests hundreds, later thousands of times: the healthy call of each function, one
    /// with every field filled, and boundaries in turn
    Soak,
    /// The dry-run request of each function with one field changed or growing at a time, then two
    Boundaries,
    /// The healthy answer of each function with one change at a time; for hosts
    Answers,
    /// Arbitrary requests, a few per case
    Random,
    /// Sequences of many calls of several functions
    Stateful,
    /// Strings, lists, answers and numbers of calls around usual limits, such as powers of two; for hosts
    Extremes,
}

impl Phase {
    /// All phases. Healthy calls come first, then the others in turns: see `schedule.rs`.
    pub const ALL: [Self; 7] = [
        Self::Seeds,
        Self::Soak,
        Self::Boundaries,
        Self::Answers,
        Self::Random,
        Self::Stateful,
        Self::Extremes,
    ];

    /// The phases for a plugin. It gives its own answers, and boundaries grow step by step to sizes
    /// that are extremes for a host.
    pub const OF_PLUGINS: [Self; 5] = [
        Self::Seeds,
        Self::Soak,
        Self::Boundaries,
        Self::Random,
        Self::Stateful,
    ];

    /// Returns the name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seeds => "seeds",
            Self::Soak => "soak",
            Self::Boundaries => "boundaries",
            Self::Answers => "answers",
            Self::Random => "random",
            Self::Stateful => "stateful",
            Self::Extremes => "extremes",
        }
    }
}
