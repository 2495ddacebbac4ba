//! What a plugin is, without running a case.

use super::{UNASKED, Worker};
use crate::campaign::CampaignError;
use crate::host::NegotiatedTerms;
use crate::host::inspect::Inspection;
use crate::worker::KILLS_MAX;
use crate::worker::process::End;
use crate::worker::protocol::Answer;

/// What a plugin's module says of itself, and what the plugin and the host agreed on, or why it does not open.
type Looked = (Inspection, Result<Option<NegotiatedTerms>, CampaignError>);

impl Worker {
    /// What the plugin's module says of itself, and what the plugin and the host agreed on, `None` where the host does not keep
    /// it. A process of its own is asked, which only describes the plugin, loads it and opens sessions.
    ///
    /// # Errors
    /// [`CampaignError`] where it cannot be started, the guard refuses the module, or it dies; and inside where it cannot load
    /// the plugin.
    pub fn inspect(&self) -> Result<Looked, CampaignError> {
        let mut kills = 0;
        loop {
            match self.inspect_once()? {
                Ok(looked) => return Ok(looked),
                Err(end) if end.from_outside && kills < KILLS_MAX => kills += 1,
                Err(end) => return Err(self.end_of_load(end)),
            }
        }
    }

    fn inspect_once(&self) -> Result<Result<Looked, End>, CampaignError> {
        let mut process = self.spawn(true)?;
        let found = match self.wait_for_answer(&mut process)? {
            Ok(Answer::Inspected(Ok(found))) => found,
            Ok(Answer::Inspected(Err(reason))) => return Err(CampaignError::Refused { reason }),
            Ok(_) => return Err(self.error(UNASKED.to_owned())),
            Err(end) => return Ok(Err(end)),
        };
        let agreed = match self.wait_until_loaded(&mut process) {
            Ok(Err(end)) if end.from_outside => return Ok(Err(end)),
            Ok(Err(end)) => Err(self.end_of_load(end)),
            Ok(Ok(agreed)) => Ok(agreed),
            Err(error) => Err(error),
        };
        Ok(Ok((found, agreed)))
    }

    /// The end of a process that did not come to run the plugin.
    pub(crate) fn end_of_load(&self, end: End) -> CampaignError {
        match self.over_budget(&end) {
            Some(reason) => CampaignError::Refused { reason },
            None => self.died(end),
        }
    }
}
