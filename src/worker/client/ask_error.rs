//! The error of asking a worker.

use crate::campaign::CampaignError;
use crate::worker::process::End;

/// The reason why a worker gave no usable answer.
pub(crate) enum AskError {
    /// Its process ended, most often because of the case that it ran.
    Ended(End),
    /// The campaign cannot continue, whatever the case is.
    Campaign(CampaignError),
}

impl AskError {
    /// Returns the end of the process.
    ///
    /// # Errors
    /// Returns the error of the campaign, if it is one.
    pub(crate) fn into_end(self) -> Result<End, CampaignError> {
        match self {
            Self::Ended(end) => Ok(end),
            Self::Campaign(error) => Err(error),
        }
    }
}

impl From<End> for AskError {
    fn from(end: End) -> Self {
        Self::Ended(end)
    }
}

impl From<CampaignError> for AskError {
    fn from(error: CampaignError) -> Self {
        Self::Campaign(error)
    }
}
