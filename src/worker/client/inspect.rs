//! What a plugin is, without running a case.

use super::{Failure, UNASKED, Worker};
use crate::campaign::CampaignError;
use crate::host::NegotiatedTerms;
use crate::host::inspect::Inspection;
use crate::worker::KILLS_MAX;
use crate::worker::process::End;
use crate::worker::protocol::Answer;

/// What is known of a plugin without running a case.
#[derive(Debug)]
pub struct Inspected {
    /// What its module says of itself.
    pub module: Inspection,
    /// What it and the host agreed on, `None` where the host does not keep it; or why it does not open.
    pub agreed: Result<Option<NegotiatedTerms>, CampaignError>,
}

impl Worker {
    /// What the plugin's module says of itself, and what the plugin and the host agreed on. A process of its own is asked, which
    /// only describes the plugin, loads it and opens sessions.
    ///
    /// # Errors
    /// [`CampaignError`] where it cannot be started, the guard refuses the module, or it dies; and
    /// [inside](Inspected::agreed) where it cannot load the plugin.
    pub fn inspect(&self) -> Result<Inspected, CampaignError> {
        let mut kills = 0;
        loop {
            match self.inspect_once() {
                Ok(inspected) => return Ok(inspected),
                Err(Failure::Ended(end)) if end.from_outside && kills < KILLS_MAX => kills += 1,
                Err(failure) => return Err(self.end_of_load(failure.into_end()?)),
            }
        }
    }

    fn inspect_once(&self) -> Result<Inspected, Failure> {
        let mut process = self.spawn(true)?;
        let module = match self.wait_for_answer(&mut process)? {
            Answer::Inspected(Ok(module)) => module,
            Answer::Inspected(Err(reason)) => return Err(CampaignError::Refused { reason }.into()),
            _ => return Err(self.error(UNASKED.to_owned()).into()),
        };
        let agreed = match self.wait_until_loaded(&mut process) {
            Ok(agreed) => Ok(agreed),
            Err(Failure::Ended(end)) if end.from_outside => return Err(end.into()),
            Err(Failure::Ended(end)) => Err(self.end_of_load(end)),
            Err(Failure::Campaign(error)) => Err(error),
        };
        Ok(Inspected { module, agreed })
    }

    /// The end of a process that did not come to run the plugin.
    pub(crate) fn end_of_load(&self, end: End) -> CampaignError {
        match self.over_budget(&end) {
            Some(reason) => CampaignError::Refused { reason },
            None => self.died(end),
        }
    }
}
