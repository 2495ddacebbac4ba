//! Describes a plugin without running a case.

use super::{AskError, UNASKED, Worker};
use crate::campaign::CampaignError;
use crate::host::NegotiatedTerms;
use crate::host::inspect::Inspection;
use crate::worker::KILLS_MAX;
use crate::worker::process::End;
use crate::worker::protocol::Answer;

/// The description of a plugin.
#[derive(Debug)]
pub struct Inspected {
    /// The description of its module.
    pub module: Inspection,
    /// What the plugin and the host negotiated, `None` if the host does not keep it; or why the
    /// plugin does not open.
    pub agreed: Result<Option<NegotiatedTerms>, CampaignError>,
}

impl Worker {
    /// Describes the plugin's module, and what the plugin and the host negotiated, in a separate
    /// process, which only describes and loads the plugin and opens sessions.
    ///
    /// # Errors
    /// Returns a [`CampaignError`] if the process cannot be started, the guard refuses the module,
    /// or the process dies. An error of loading the plugin is [in the result](Inspected::agreed).
    pub fn inspect(&self) -> Result<Inspected, CampaignError> {
        let mut kills = 0;
        loop {
            match self.inspect_once() {
                Ok(inspected) => return Ok(inspected),
                Err(AskError::Ended(end)) if end.from_outside && kills < KILLS_MAX => kills += 1,
                Err(failure) => return Err(self.end_of_load(failure.into_end()?)),
            }
        }
    }

    fn inspect_once(&self) -> Result<Inspected, AskError> {
        let mut process = self.spawn(true)?;
        let module = match self.wait_for_answer(&mut process)? {
            Answer::Inspected(Ok(module)) => module,
            Answer::Inspected(Err(reason)) => return Err(CampaignError::Refused { reason }.into()),
            _ => return Err(self.error(UNASKED.to_owned()).into()),
        };
        let agreed = match self.wait_until_loaded(&mut process) {
            Ok(agreed) => Ok(agreed),
            Err(AskError::Ended(end)) if end.from_outside => return Err(end.into()),
            Err(AskError::Ended(end)) => Err(self.end_of_load(end)),
            Err(AskError::Campaign(error)) => Err(error),
        };
        Ok(Inspected { module, agreed })
    }

    /// Returns the error for a process that ended before it ran the plugin.
    pub(crate) fn end_of_load(&self, end: End) -> CampaignError {
        match self.over_budget(&end) {
            Some(reason) => CampaignError::Refused { reason },
            None => self.died(end),
        }
    }
}
