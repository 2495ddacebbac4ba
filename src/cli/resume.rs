//! How far a campaign is, kept beside its findings while it runs: what `--resume` goes on with.

use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cc_lb_fuzz::campaign::Summary;
use fnv::FnvHasher;
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
    /// A number of the module: another one has other words, and so other cases.
    pub module: u64,
    pub seed: u64,
    /// The first case that has not run, or has shown what nobody has looked into.
    pub done: u64,
}

/// Keeps the state of a campaign.
pub struct Keeper {
    artifacts: PathBuf,
    /// Whether the folder was there before.
    was_there: bool,
    state: State,
    /// When it was written, or the start.
    written: Instant,
}

impl Keeper {
    pub fn new(artifacts: &Path, state: State) -> Self {
        Self {
            artifacts: artifacts.to_owned(),
            was_there: artifacts.exists(),
            state,
            written: Instant::now(),
        }
    }

    /// Writes how far it is, now and then. What cannot be written is not resumed.
    pub fn tell(&mut self, summary: &Summary) {
        if self.written.elapsed() >= EVERY {
            self.written = Instant::now();
            let _ = self.write(summary);
        }
    }

    fn write(&mut self, summary: &Summary) -> std::io::Result<()> {
        self.state.done = summary.resume_at;
        std::fs::create_dir_all(&self.artifacts)?;
        // At once or not at all: it may be killed meanwhile.
        let file = tempfile::NamedTempFile::new_in(&self.artifacts)?;
        serde_json::to_writer(&file, &self.state)?;
        file.persist(self.artifacts.join(FILE))?;
        Ok(())
    }

    /// At the end there is nothing to go on with; an interrupted campaign writes where it is.
    pub fn end(mut self, summary: &Summary) {
        if summary.interrupted {
            let _ = self.write(summary);
            return;
        }
        let _ = std::fs::remove_file(self.artifacts.join(FILE));
        // Only if there is nothing else in it.
        if !self.was_there {
            let _ = std::fs::remove_dir(&self.artifacts);
        }
    }
}

/// The number of a module.
pub fn number(wasm: &[u8]) -> u64 {
    let mut number = FnvHasher::default();
    number.write(wasm);
    number.finish()
}

/// The state of the campaign that was interrupted or killed, where it is one as this.
pub fn read(artifacts: &Path, this: &State) -> Result<State, CliError> {
    let path = artifacts.join(FILE);
    let nothing = |reason: String| CliError::Resume {
        path: path.clone(),
        reason,
    };
    let text = std::fs::read(&path).map_err(|error| nothing(error.to_string()))?;
    let state: State = serde_json::from_slice(&text).map_err(|error| nothing(error.to_string()))?;
    if state.what != this.what {
        return Err(nothing(format!("it is of another one: {}", state.what)));
    }
    match state.module == this.module {
        true => Ok(state),
        false => Err(nothing("the plugin is another one now".to_owned())),
    }
}
