//! Stores the progress of a campaign beside its findings while it runs, so that `--resume` can continue it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cc_lb_fuzz::campaign::Summary;
use cc_lb_fuzz::files;
use cc_lb_fuzz::fingerprint::Fingerprint;
use cc_lb_fuzz::worker::Setup;
use serde::{Deserialize, Serialize};

use super::error::CliError;

/// The format of the file. Every older one keeps loading.
const FORMAT: u32 = 2;

/// The prefix of the state files. They are hidden, so that they are not read as cases.
const FILE: &str = ".campaign";

/// How often the state is written at most.
const EVERY: Duration = Duration::from_secs(1);

/// Identifies a campaign: another one must not continue its state.
pub struct CampaignIdentity {
    /// What it fuzzes and how, for people.
    what: String,
    /// The file of the plugin, if there is one.
    plugin: Option<PathBuf>,
    /// How it fuzzes, as flags.
    flags: String,
    fingerprint: Fingerprint,
    /// The number of the module in format 1.
    module: u64,
}

impl CampaignIdentity {
    pub fn new(what: &str, plugin: Option<&Path>, flags: &str, setup: &Setup) -> Self {
        Self {
            what: what.to_owned() + flags,
            plugin: plugin.map(Path::to_owned),
            flags: flags.to_owned(),
            fingerprint: setup.fingerprint().with(flags),
            module: fnv(&setup.wasm),
        }
    }

    /// Each campaign has its own file, which does not depend on the path of the plugin.
    fn file(&self, artifacts: &Path, seed: u64) -> PathBuf {
        artifacts.join(format!("{FILE}-{}-{seed}.json", self.fingerprint.short()))
    }

    /// The files of this campaign with any seed, the latest first.
    fn files(&self, artifacts: &Path) -> Vec<PathBuf> {
        // Earlier versions had no seed in the names.
        let name = format!("{FILE}-{}", self.fingerprint.short());
        let mut files = states_in(artifacts);
        files.retain(|file| {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            stem.strip_prefix(&name)
                .is_some_and(|seed| seed.is_empty() || seed.starts_with('-'))
        });
        files.sort_by_key(|file| {
            let written = file.metadata().and_then(|file| file.modified());
            std::cmp::Reverse(written.ok())
        });
        files
    }
}

/// How far a campaign is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    format: u32,
    /// For people.
    what: String,
    /// Of module, host, offer and flags.
    fingerprint: String,
    pub seed: u64,
    /// The first case that has not run, or whose violation was not examined.
    pub done: u64,
}

/// The same in format 1, which was in `.campaign.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct State1 {
    /// The path of the plugin, and the flags.
    what: String,
    module: u64,
    seed: u64,
    done: u64,
}

#[derive(Deserialize)]
struct FormatOnly {
    #[serde(default = "first_format")]
    format: u32,
}

fn first_format() -> u32 {
    1
}

impl State {
    pub fn new(this: &CampaignIdentity, seed: u64) -> Self {
        Self {
            format: FORMAT,
            what: this.what.clone(),
            fingerprint: this.fingerprint.to_string(),
            seed,
            done: 0,
        }
    }

    fn write(&self, file: &Path) -> std::io::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        files::write(file, &serde_json::to_vec(self)?)
    }
}

/// Keeps the state of a campaign.
pub struct Checkpointer {
    file: PathBuf,
    /// The folder, where it was not there before.
    made: Option<PathBuf>,
    state: State,
    /// The progress of an interrupted campaign with the same seed, until this one writes.
    before: Option<u64>,
    /// When it was written, or the start.
    written: Instant,
}

impl Checkpointer {
    pub fn new(artifacts: &Path, this: &CampaignIdentity, state: State) -> Self {
        let file = this.file(artifacts, state.seed);
        let before = match read_file(&file) {
            Ok(AnyState::Now(before)) if before.fingerprint == state.fingerprint => {
                Some(before.done)
            }
            _ => None,
        };
        Self {
            file,
            before,
            made: (!artifacts.exists()).then(|| artifacts.to_owned()),
            state,
            written: Instant::now(),
        }
    }

    /// Writes the state now and then. Failures are ignored: the campaign then cannot be resumed.
    pub fn update(&mut self, summary: &Summary) {
        if self.written.elapsed() >= EVERY {
            self.written = Instant::now();
            self.write(summary);
        }
    }

    fn write(&mut self, summary: &Summary) {
        if self.is_behind(summary) {
            return;
        }
        self.before = None;
        self.state.done = summary.resume_at;
        let _ = self.state.write(&self.file);
    }

    /// Whether an earlier campaign came further: its state stays.
    fn is_behind(&self, summary: &Summary) -> bool {
        self.before.is_some_and(|before| before > summary.resume_at)
    }

    /// Removes the state at the end, or writes it if the campaign was interrupted.
    pub fn end(mut self, summary: &Summary) {
        if summary.interrupted {
            self.write(summary);
            return;
        }
        if !self.is_behind(summary) {
            let _ = std::fs::remove_file(&self.file);
        }
        // Only if there is nothing else in it.
        if let Some(folder) = &self.made {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// A state of either format.
enum AnyState {
    Now(State),
    Before(State1),
}

impl AnyState {
    fn what(&self) -> &str {
        match self {
            Self::Now(state) => &state.what,
            Self::Before(state) => &state.what,
        }
    }
}

/// The largest file of a state, in bytes.
const STATE_MAX_BYTES: u64 = 256 << 20;

/// Reads a state file; the error is the reason.
fn read_file(file: &Path) -> Result<AnyState, String> {
    let text = files::read(file, STATE_MAX_BYTES).map_err(|error| error.to_string())?;
    let no_state = |error: serde_json::Error| error.to_string();
    let FormatOnly { format } = serde_json::from_slice(&text).map_err(no_state)?;
    match format {
        1 => serde_json::from_slice(&text)
            .map(AnyState::Before)
            .map_err(no_state),
        FORMAT => serde_json::from_slice(&text)
            .map(AnyState::Now)
            .map_err(no_state),
        later => Err(format!(
            "it is of format {later}; this version reads formats up to {FORMAT}: update cc-lb-fuzz"
        )),
    }
}

/// The last written state of this campaign that was interrupted or killed.
pub fn read(artifacts: &Path, this: &CampaignIdentity) -> Result<State, CliError> {
    let nothing = |path: &Path, reason: String| CliError::Resume {
        path: path.to_owned(),
        reason,
    };
    let before = artifacts.join(format!("{FILE}.json"));
    let file = match this.files(artifacts).into_iter().next() {
        Some(file) => file,
        None if before.exists() => before,
        None => return Err(nothing(artifacts, others(artifacts))),
    };
    let state = match read_file(&file).map_err(|reason| nothing(&file, reason))? {
        AnyState::Now(state) if state.fingerprint == this.fingerprint.to_string() => state,
        AnyState::Before(state) if is_of(&state, this) => State {
            done: state.done,
            ..State::new(this, state.seed)
        },
        other => return Err(nothing(&file, another(other.what()))),
    };
    // Move it to its name in the current format; if that fails, it stays.
    let own = this.file(artifacts, state.seed);
    if own != file && state.write(&own).is_ok() {
        let _ = std::fs::remove_file(&file);
    }
    Ok(state)
}

fn another(what: &str) -> String {
    format!("it belongs to another campaign: {what}")
}

/// The files of states in a folder, in the order of their names.
fn states_in(artifacts: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(artifacts).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(FILE) && name.ends_with(".json")
    });
    files.sort();
    files
}

/// The other campaigns that could be resumed.
fn others(artifacts: &Path) -> String {
    let mut what: Vec<_> = states_in(artifacts)
        .iter()
        .map(|file| match read_file(file) {
            Ok(state) => state.what().to_owned(),
            Err(reason) => format!("{}: {reason}", file.display()),
        })
        .collect();
    match what.len() {
        0 => "none was interrupted".to_owned(),
        1 => format!(
            "the one there is for another plugin or other flags: {}",
            what.remove(0)
        ),
        _ => format!(
            "those there are for other plugins or other flags: {}",
            what.join("; ")
        ),
    }
}

/// Whether a state of format 1 is of this campaign: the same module, with the same flags after some path of it.
fn is_of(state: &State1, this: &CampaignIdentity) -> bool {
    let Some(plugin) = state.what.strip_suffix(&this.flags) else {
        return false;
    };
    let same_file = || {
        let (one, other) = (Path::new(plugin), this.plugin.as_deref()?);
        Some(one.canonicalize().ok()? == other.canonicalize().ok()?)
    };
    state.module == this.module && (state.what == this.what || same_file() == Some(true))
}

/// FNV-1a with 64 bits: how format 1 identified a module.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
