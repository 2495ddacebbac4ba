//! Errors of campaigns.

use std::path::PathBuf;

use thiserror::Error;

use super::statistics::Summary;
use crate::generate::NoFunctions;
use crate::generate::negotiated::or_none;
use crate::host::HandshakeError;
use crate::record::Death;

/// The reason why a campaign could not continue.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// The host could not open a session.
    #[error("cannot open a session: {0}")]
    Open(#[from] HandshakeError),
    /// The plugin negotiated none of the requested functions.
    #[error(transparent)]
    NoFunctions(#[from] NoFunctions),
    /// The plugin negotiated none of the functions that the cases of a corpus call.
    #[error(
        "no case of the corpus calls a function that the plugin negotiated; it has: {}",
        or_none(negotiated)
    )]
    NoFunctionsInCorpus {
        /// The functions that the plugin negotiated.
        negotiated: Vec<&'static str>,
    },
    /// The host of a worker could not open a session.
    #[error("cannot open a session: {reason}")]
    Refused {
        /// The reason.
        reason: String,
    },
    /// A worker process could not be started, or did not follow its orders.
    #[error("the worker process {} failed: {reason}", program.display())]
    Worker {
        /// The program of the worker.
        program: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The worker process died while it measured the plugin's limits or described the plugin.
    #[error("{0}")]
    Died(Death),
    /// An end was requested, and the campaign no longer waits for running work.
    #[error("interrupted")]
    Interrupted,
    /// The campaign ended early. Everything seen before was emitted.
    #[error("the campaign ended early, after {} cases: {source}", summary.cases)]
    Ended {
        /// The summary up to the end.
        summary: Box<Summary>,
        /// The reason.
        source: Box<CampaignError>,
    },
}
