//! Why a worker gave no answer that is of use.

use crate::campaign::CampaignError;
use crate::worker::process::End;

/// Why a worker gave no answer that is of use.
pub(crate) enum Failure {
    /// Its process ended, which most often says something of the case that it ran.
    Ended(End),
    /// The campaign cannot go on, whatever the case is.
    Campaign(CampaignError),
}

impl Failure {
    /// The end of the process.
    ///
    /// # Errors
    /// The other failure, which is nobody's but the campaign's.
    pub(crate) fn into_end(self) -> Result<End, CampaignError> {
        match self {
            Self::Ended(end) => Ok(end),
            Self::Campaign(error) => Err(error),
        }
    }
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        Self::Ended(end)
    }
}

impl From<CampaignError> for Failure {
    fn from(error: CampaignError) -> Self {
        Self::Campaign(error)
    }
}
