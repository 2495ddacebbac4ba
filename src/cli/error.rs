//! Errors of the tool.

use std::path::PathBuf;

use cc_lb_fuzz::campaign::CampaignError;
use cc_lb_fuzz::case::CaseError;
use cc_lb_fuzz::record::Death;
use cc_lb_fuzz::wire::UnknownFunction;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum CliError {
    #[error("cannot read the plugin {}: {source}", path.display())]
    ReadPlugin {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is not a WebAssembly module: {reason}", path.display())]
    NotWasm { path: PathBuf, reason: String },
    #[error("{} cannot be opened: {reason}", path.display())]
    Plugin { path: PathBuf, reason: String },
    #[error("{}: {death}; no plugin should be able to do that behind the guard: please report it as SECURITY.md says", path.display())]
    Died { path: PathBuf, death: Death },
    #[error("cannot start this program as a child process: {0}")]
    Program(std::io::Error),
    #[error(
        "cannot create a temporary folder in {}: {source}; set TMPDIR to a writable folder",
        path.display()
    )]
    TemporaryFolder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("there are no cases in {}{because}", path.display())]
    NoCases { path: PathBuf, because: String },
    #[error("no case ran: the campaign ended before its first case did; give it more time")]
    NothingRan,
    #[error(
        "a plugin gives its own answers, so --phase answers has no cases for it; name another phase too, or no plugin"
    )]
    OnlyAnswers,
    #[error("cannot write {}: {source}", path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("there is no campaign to resume in {}: {reason}", path.display())]
    Resume { path: PathBuf, reason: String },
    #[error("cannot listen for Ctrl-C: {0}")]
    Signal(std::io::Error),
    #[error("cannot write the report {}: {reason}", path.display())]
    Report { path: PathBuf, reason: String },
    #[error(transparent)]
    Function(#[from] UnknownFunction),
    #[error(transparent)]
    Case(#[from] CaseError),
    #[error(transparent)]
    Campaign(#[from] CampaignError),
}
