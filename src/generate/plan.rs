//! The plan of a campaign.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::arbitrary_case::CaseGenerator;
use super::learned_values;
use super::negotiated::{NoFunctions, of_negotiated};
use super::phase::Phase;
use crate::wire::Vocabulary;

/// The plan of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The seed that determines all cases.
    pub seed: u64,
    /// When the campaign stops.
    pub budget: Budget,
    /// The settings of the case generator.
    pub generator: CaseGenerator,
    /// The phases, in the order of [`Phase::ALL`].
    pub phases: Vec<Phase>,
}

impl Plan {
    /// Returns a plan with this many cases for the puppet: all functions, with scripted and wild
    /// programs.
    pub fn puppet<R: Vocabulary>(seed: u64, cases: u64) -> Self {
        Self {
            seed,
            budget: Budget::Cases(cases),
            generator: CaseGenerator::puppet::<R>(),
            // The content of requests matters little beside the programs in them.
            phases: vec![Phase::Seeds, Phase::Answers, Phase::Random, Phase::Extremes],
        }
    }

    /// Returns a plan with this many cases for any other plugin: all functions, without programs.
    pub fn plugin<R: Vocabulary>(seed: u64, cases: u64) -> Self {
        Self {
            generator: CaseGenerator::plugin::<R>(),
            phases: Phase::OF_PLUGINS.into(),
            ..Self::puppet::<R>(seed, cases)
        }
    }

    /// Returns the plan restricted to the functions that the plugin negotiated, with the plugin's
    /// own tokens first and with its [response
    /// dictionary](crate::execute::Runner::response_dictionary).
    ///
    /// # Errors
    /// Returns [`NoFunctions`] if no function is left.
    pub fn of_opened<R: Vocabulary>(
        &self,
        negotiated: &[usize],
        response_dictionary: Vec<String>,
    ) -> Result<Self, NoFunctions> {
        let mut plan = self.clone();
        plan.generator.functions = of_negotiated::<R>(&plan.generator.functions, negotiated)?;
        plan.generator.response_dictionary = response_dictionary;
        if !plan.generator.dictionary.is_empty() {
            // Names that are in requests anyway come last.
            let names = learned_values::names::<R>();
            plan.generator
                .dictionary
                .sort_by_key(|word| names.contains(word));
        }
        Ok(plan)
    }
}

/// When a campaign stops, unless its cases end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Budget {
    /// After this many cases.
    Cases(u64),
    /// After this time, at the end of the case that is running.
    Time(Duration),
}
