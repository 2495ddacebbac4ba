//! Workers: processes that run cases, so that a plugin which kills, hangs or starves its host costs one of them.
//!
//! A worker is the tool's own program, started again. It says which case and function it is at, so that a death is
//! attributed: it becomes a violation of `no_crash`, and the rest of the plan goes on in a new worker. Cases are a
//! function of the seed, so what a worker that was killed from outside had done is done again, and nothing is
//! lost.
//!
//! A discrepancy here is a death that is told of another case, or a case that did not run.

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

/// How to start workers, and what they run.
#[derive(Clone, Debug)]
pub struct Workers {
    program: PathBuf,
    arguments: Vec<String>,
    /// One for all of them, and as it is told to each: a module may be large.
    setup: Arc<Setup>,
    setup_frame: Arc<[u8]>,
    timeouts: Timeouts,
    interrupt: Interrupt,
    /// Where they keep what the next one need not do again.
    folder: Arc<TempDir>,
    /// Whether one of them has compiled the plugin and left it there.
    compiled: Arc<AtomicBool>,
    /// Whether one of them died when it was to tell where in the plugin something is.
    cannot_locate: Arc<AtomicBool>,
    /// What runs before the cases of a plan.
    first: Vec<FirstCase>,
    /// The first case of a plan to run.
    start: u64,
}

/// A stored case, which runs before the cases of a plan.
#[derive(Clone, Debug)]
struct FirstCase {
    case: Case,
    /// Whether what it shows is shrunk. The case of an earlier finding is as small as it was.
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
    /// Workers that are this program, started with these arguments: it must call [`serve`] then.
    ///
    /// # Errors
    /// Those of making a temporary folder, and a module that is far too large for a plugin.
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

    /// The same, given up after another time of silence.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// The same, which run these cases before those of a plan, each alone: a corpus. They are not counted.
    #[must_use]
    pub fn with_corpus(mut self, corpus: Vec<Case>) -> Self {
        let first = corpus.into_iter();
        self.first.extend(first.map(FirstCase::of_corpus));
        self
    }

    /// The same, which run these cases first as well: those of findings of earlier campaigns. What such a case shows is
    /// [`Origin::Stored`](crate::finding::Origin::Stored) and not shrunk again.
    #[must_use]
    pub fn with_earlier(mut self, earlier: Vec<Case>) -> Self {
        let first = earlier.into_iter();
        self.first.extend(first.map(FirstCase::of_a_finding));
        self
    }

    /// The same, which leave out the first cases of a plan, as many as these at most, for sessions are run whole: see
    /// [`Summary::resume_at`](crate::campaign::Summary::resume_at).
    #[must_use]
    pub fn from_case(self, start: u64) -> Self {
        Self { start, ..self }
    }

    /// Ends their campaigns early.
    pub fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// The same, ended by another one.
    #[must_use]
    pub fn with_interrupt(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    /// What they run.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }
}
