//! How far a campaign is, kept beside its findings while it runs: what `--resume` goes on with.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cc_lb_fuzz::campaign::Summary;
use serde::{Deserialize, Serialize};

use super::error::CliError;

/// Hidden, so that it is no case.
const FILE: &str = ".campaign.json";

/// It is written this often, at most.
const EVERY: Duration = Duration::from_secs(1);

/// How far a campaign is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What it fuzzes and how, as its flags: another one does not go on with this.
    pub what: String,
    pub seed: u64,
    /// The first case that has not run.
    pub done: u64,
}

/// Keeps the state of a campaign.
pub struct Keeper {
    path: PathBuf,
    state: State,
    /// When it was written, or would have been at the start.
    written: Instant,
}

impl Keeper {
    pub fn new(artifacts: &Path, state: State) -> Self {
        Self {
            path: artifacts.join(FILE),
            state,
            written: Instant::now(),
        }
    }

    /// Writes how far it is, now and then. What cannot be written is not resumed.
    pub fn tell(&mut self, summary: &Summary) {
        if self
            .written
            .is_some_and(|written| written.elapsed() < EVERY)
        {
            return;
        }
        self.written = Some(Instant::now());
        self.state.done = summary.done;
        // At once or not at all: it may be killed meanwhile.
        let Some(folder) = self.path.parent() else {
            return;
        };
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(folder)?;
            let file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&file, &self.state)?;
            file.persist(&self.path)?;
            Ok(())
        };
        let _ = write();
    }

    /// At the end there is nothing to go on with; an interrupted campaign writes where it is.
    pub fn end(mut self, summary: &Summary) {
        match summary.interrupted {
            true => {
                self.written = None;
                self.tell(summary);
            }
            false => drop(std::fs::remove_file(&self.path)),
        }
    }
}

/// The state of the campaign that was interrupted or killed.
pub fn read(artifacts: &Path, what: &str) -> Result<State, CliError> {
    let path = artifacts.join(FILE);
    let nothing = |reason: String| CliError::Resume {
        path: path.clone(),
        reason,
    };
    let text = std::fs::read(&path).map_err(|error| nothing(error.to_string()))?;
    let state: State = serde_json::from_slice(&text).map_err(|error| nothing(error.to_string()))?;
    match state.what == what {
        true => Ok(state),
        false => Err(nothing(format!("it is of another one: {}", state.what))),
    }
}
