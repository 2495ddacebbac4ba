//! Why the tool could not run.

use std::path::PathBuf;

use cc_lb_fuzz::campaign::CampaignError;
use cc_lb_fuzz::case::CaseError;
use cc_lb_fuzz::observation::Death;
use cc_lb_fuzz::wire::UnknownFunction;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum CliError {
    #[error("cannot read the plugin {}: {source}", path.display())]
    ReadPlugin {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is no WebAssembly module: {reason}", path.display())]
    NotWasm { path: PathBuf, reason: String },
    #[error("{} cannot be opened: {reason}", path.display())]
    Plugin { path: PathBuf, reason: String },
    #[error("{}: {death}; behind the guard no plugin should do that: please report it, as SECURITY.md says", path.display())]
    Died { path: PathBuf, death: Death },
    #[error("cannot start this program again: {0}")]
    Program(std::io::Error),
    #[error(
        "cannot make a temporary folder in {}: {source}; set TMPDIR to a folder that can be written to",
        path.display()
    )]
    TemporaryFolder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("there is no case in {}{because}", path.display())]
    NoCases { path: PathBuf, because: String },
    #[error(
        "no case has run: the campaign was ended before the first one was done; give it more time"
    )]
    NothingRan,
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
