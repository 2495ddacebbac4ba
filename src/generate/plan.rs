//! What a campaign is to do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::case_generator::CaseGenerator;
use super::field_values;
use super::negotiated::{NoFunctions, of_negotiated};
use super::phase::Phase;
use crate::wire::Vocabulary;

/// What a campaign is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Decides all cases.
    pub seed: u64,
    /// When to stop.
    pub budget: Budget,
    /// What cases are made of.
    pub generator: CaseGenerator,
    /// What is tried; their order is that of [`Phase::ALL`].
    pub phases: Vec<Phase>,
}

impl Plan {
    /// So many cases for the puppet, of all functions, with scripted and wild programs.
    pub fn puppet<R: Vocabulary>(seed: u64, cases: u64) -> Self {
        Self {
            seed,
            budget: Budget::Cases(cases),
            generator: CaseGenerator::puppet::<R>(),
            // What its requests are matters little beside what they tell it to do.
            phases: vec![Phase::Seeds, Phase::Random, Phase::Extremes],
        }
    }

    /// So many cases for any other plugin, of all functions that it has.
    pub fn plugin<R: Vocabulary>(seed: u64, cases: u64) -> Self {
        Self {
            generator: CaseGenerator::plugin::<R>(),
            phases: Phase::OF_PLUGINS.into(),
            ..Self::puppet::<R>(seed, cases)
        }
    }

    /// The plan with only those of its functions that the plugin negotiated, its own words first, and with what it
    /// [hands out](crate::execute::Runner::response_dictionary).
    ///
    /// # Errors
    /// [`NoFunctions`] where no function is left.
    pub fn of_opened<R: Vocabulary>(
        &self,
        negotiated: &[usize],
        response_dictionary: Vec<String>,
    ) -> Result<Self, NoFunctions> {
        let mut plan = self.clone();
        plan.generator.functions = of_negotiated::<R>(&plan.generator.functions, negotiated)?;
        plan.generator.response_dictionary = response_dictionary;
        if !plan.generator.dictionary.is_empty() {
            // Those that requests say anyway come last.
            let names = field_values::names::<R>();
            plan.generator
                .dictionary
                .sort_by_key(|word| names.contains(word));
        }
        Ok(plan)
    }
}

/// When a campaign stops, if its cases do not end before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Budget {
    /// After this many cases.
    Cases(u64),
    /// After this time, at the end of the case that is running.
    Time(Duration),
}
