//! Why a campaign could not go on.

use std::path::PathBuf;

use thiserror::Error;

use super::statistics::Summary;
use crate::generate::NoFunctions;
use crate::generate::negotiated::or_none;
use crate::host::HandshakeError;
use crate::record::Death;

/// Why a campaign could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// The host opens no session.
    #[error("cannot open a session: {0}")]
    Open(#[from] HandshakeError),
    /// None of the functions that were asked for is one that the plugin negotiated.
    #[error(transparent)]
    NoFunctions(#[from] NoFunctions),
    /// None of the functions that the cases of a corpus call is one that the plugin negotiated.
    #[error(
        "no case of the corpus calls a function that the plugin negotiated; it has: {}",
        or_none(negotiated)
    )]
    NoFunctionsInCorpus {
        /// What the plugin negotiated.
        negotiated: Vec<&'static str>,
    },
    /// The host of a worker opens no session.
    #[error("cannot open a session: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// A worker process could not be started, or did not do what it was told.
    #[error("the worker process {} failed: {reason}", program.display())]
    Worker {
        /// Its program.
        program: PathBuf,
        /// What failed.
        reason: String,
    },
    /// The worker process that was asked for the limits of the plugin, or for what it is, died.
    #[error("{0}")]
    Died(Death),
    /// An end was asked for, and nothing is waited for any more.
    #[error("interrupted")]
    Interrupted,
    /// It ended in mid-run. What was seen until then was emitted.
    #[error("the campaign ended early, after {} cases: {source}", summary.cases)]
    Ended {
        /// What it came to until then.
        summary: Box<Summary>,
        /// Why it ended.
        source: Box<CampaignError>,
    },
}
