//! Workers: processes that run cases, so that a plugin which kills, hangs or starves its host only
//! costs a process.
//!
//! A worker is this program, started again. It reports the current case and function, so that a
//! crash is attributed to them: it becomes a violation of `no_crash`, and the rest of the plan
//! continues in a new worker. Cases depend only on the seed, so if something else kills a worker,
//! its cases run again and nothing is lost.
//!
//! Bugs in this module look like a crash that is attributed to the wrong case, or a case that did
//! not run.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tempfile::TempDir;

use crate::campaign::Interrupt;
use crate::case::Case;

mod bounds;
mod child;
mod client;
mod pool;
mod process;
mod protocol;
mod run;
mod setup;

pub use bounds::{KILLS_MAX, OPENING_TIME_MAX, ProcessBounds, WORKER_MEMORY_MAX};
pub use child::{Child, serve};
pub use client::{Inspected, Replay, Worker};
pub use setup::{HostKind, Setup, Timeouts};

/// Starts workers, and says what they run.
#[derive(Clone, Debug)]
pub struct Workers {
    program: PathBuf,
    arguments: Vec<String>,
    /// Shared by all of them, also in serialized form, because a module may be large.
    setup: Arc<Setup>,
    setup_frame: Arc<[u8]>,
    timeouts: Timeouts,
    interrupt: Interrupt,
    /// The folder of their heartbeats and of compiled modules.
    folder: Arc<TempDir>,
    /// Whether a worker has compiled the plugin and stored it in the folder.
    compiled: Arc<AtomicBool>,
    /// Whether a worker died while it located a violation.
    cannot_locate: Arc<AtomicBool>,
    /// The cases to run before the plan's.
    first: Vec<FirstCase>,
    /// The first case of the plan to run.
    start: u64,
}

/// A stored case, which runs before those of the plan.
#[derive(Clone, Debug)]
struct FirstCase {
    case: Case,
    /// Whether its violations are shrunk. The case of an earlier finding is small already.
    shrinks: bool,
}

impl FirstCase {
    fn of_corpus(case: Case) -> Self {
        Self {
            case,
            shrinks: true,
        }
    }

    fn of_a_finding(case: Case) -> Self {
        Self {
            case,
            shrinks: false,
        }
    }
}

impl Workers {
    /// Returns workers that run `program` with these arguments. That program must then call
    /// [`serve`].
    ///
    /// # Errors
    /// Returns an error if no temporary folder can be created, or the module is far too large for a
    /// plugin.
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<String>>,
        setup: Setup,
    ) -> io::Result<Self> {
        Ok(Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            setup_frame: protocol::frame(&setup)?.into(),
            setup: Arc::new(setup),
            timeouts: Timeouts::default(),
            interrupt: Interrupt::new(),
            folder: Arc::new(tempfile::tempdir()?),
            compiled: Arc::default(),
            cannot_locate: Arc::default(),
            first: Vec::new(),
            start: 0,
        })
    }

    /// Sets the timeouts.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Adds cases that run before those of a plan, each alone: a corpus. They are not counted.
    #[must_use]
    pub fn with_corpus(mut self, corpus: Vec<Case>) -> Self {
        let first = corpus.into_iter();
        self.first.extend(first.map(FirstCase::of_corpus));
        self
    }

    /// Adds cases of earlier findings, which also run first. A violation of such a case is
    /// [`Origin::Stored`](crate::finding::Origin::Stored) and not shrunk again.
    #[must_use]
    pub fn with_earlier(mut self, earlier: Vec<Case>) -> Self {
        let first = earlier.into_iter();
        self.first.extend(first.map(FirstCase::of_a_finding));
        self
    }

    /// Skips the first cases of a plan, at most this many, because sessions run whole: see
    /// [`Summary::resume_at`](crate::campaign::Summary::resume_at).
    #[must_use]
    pub fn from_case(self, start: u64) -> Self {
        Self { start, ..self }
    }

    /// Returns the interrupt that ends their campaigns.
    pub fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// Sets the interrupt that ends their campaigns.
    #[must_use]
    pub fn with_interrupt(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    /// Returns what they run.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }
}
