//! What a plugin is, without running a case.

use super::{KILLS, UNASKED, Worker};
use crate::campaign::CampaignError;
use crate::campaign::workers::living::End;
use crate::campaign::workers::protocol::Answer;
use crate::host::Agreed;
use crate::host::inspect::Inspection;

/// What a plugin's module says of itself, and what the plugin and the host agreed on, or why it does not open.
type Looked = (Inspection, Result<Option<Agreed>, CampaignError>);

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
            match self.look()? {
                Ok(looked) => return Ok(looked),
                Err(end) if end.from_outside && kills < KILLS => kills += 1,
                Err(end) => return Err(self.end_of_load(end)),
            }
        }
    }

    fn look(&self) -> Result<Result<Looked, End>, CampaignError> {
        let mut living = self.spawn(true)?;
        let found = match self.hear(&mut living)? {
            Ok(Answer::Inspected(Ok(found))) => found,
            Ok(Answer::Inspected(Err(reason))) => return Err(CampaignError::Refused { reason }),
            Ok(_) => return Err(self.error(UNASKED.to_owned())),
            Err(end) => return Ok(Err(end)),
        };
        let agreed = match self.hear_loaded(&mut living) {
            Ok(Err(end)) if end.from_outside => return Ok(Err(end)),
            Ok(Err(end)) => Err(self.end_of_load(end)),
            Ok(Ok(agreed)) => Ok(agreed),
            Err(error) => Err(error),
        };
        Ok(Ok((found, agreed)))
    }

    /// The end of a process that did not come to run the plugin.
    pub(super) fn end_of_load(&self, end: End) -> CampaignError {
        match self.too_dear(&end) {
            Some(reason) => CampaignError::Refused { reason },
            None if end.from_outside => self.killed(),
            None => CampaignError::Died(end.death),
        }
    }
}
