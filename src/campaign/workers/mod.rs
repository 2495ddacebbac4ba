//! Workers: processes that run cases, so that a plugin which kills, hangs or starves its host costs one of them.
//!
//! A worker is the tool's own program, started again. It says which case and function it is at, so that a death is
//! attributed: it becomes a violation of `no_crash`, and the rest of the plan goes on in a new worker. Cases are a
//! function of the seed, so what a worker that was killed from outside had done is done again, and nothing is
//! lost.
//!
//! A discrepancy here is a death that is told of another case, or a case that did not run.

use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::engine::{lock, work};
use super::lab::Interruptible;
use super::ledger::Ledger;
use super::{CampaignError, Cases, Confirmed, Event, Interrupt, Plan, Summary, confirm_all};
use crate::case::Case;
use crate::finding::Origin;
use crate::fingerprint::Fingerprint;
use crate::observation::Subject;
use crate::oracle::Violation;
use crate::wire::{Request, Vocabulary as _};

mod child;
mod living;
mod protocol;
mod worker;

pub use child::{Child, serve};
pub use worker::Worker;

/// The most memory that a worker may write to, in bytes, where the system bounds it: what a plugin takes beyond,
/// it does not get.
pub const WORKER_MEMORY_MAX: u64 = 1 << 30;

/// The most time of the processor that a worker may take to load a plugin, and as much to compile the second copy of it that
/// it needs, where the system bounds it: what is compiled in parallel adds up.
pub const OPENING_TIME_MAX: Duration = Duration::from_secs(10);

/// How to start workers, and what they run.
#[derive(Clone, Debug)]
pub struct Workers {
    program: PathBuf,
    arguments: Vec<String>,
    /// One for all of them, and as it is told to each: a module may be large.
    setup: Arc<Setup>,
    setup_frame: Arc<[u8]>,
    patience: Patience,
    interrupt: Interrupt,
    /// Where they keep what the next one need not do again.
    folder: Arc<TempDir>,
    /// Whether one of them has compiled the plugin and left it there.
    compiled: Arc<AtomicBool>,
    /// Whether one of them died when it was to tell where in the plugin something is.
    cannot_locate: Arc<AtomicBool>,
    /// What runs before the cases of a plan, and whether it is shrunk.
    first: Vec<(Case, bool)>,
    /// The first case of a plan to run.
    start: u64,
}

/// How long a worker may be silent before it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// While it opens the plugin, which is compiled first.
    pub opening: Duration,
    /// Between two dispatches, or in one.
    pub dispatch: Duration,
}

impl Default for Patience {
    /// A minute, of which [`OPENING_TIME_MAX`] is work, and 10 seconds: the protocol's limit of a dispatch is 200 ms.
    fn default() -> Self {
        Self {
            opening: Duration::from_secs(60),
            dispatch: Duration::from_secs(10),
        }
    }
}

/// What a worker runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// The host, by name: see [`HostKind`].
    pub host: String,
    /// The plugin's module.
    pub wasm: Vec<u8>,
    /// Who answers.
    pub subject: Subject,
    /// What the host offers it in the handshake.
    pub capabilities: BTreeSet<String>,
    /// Whether that the plugin refuses a request is a violation.
    pub deny_refusals: bool,
    /// Whether a limit of the plugin is one.
    pub deny_limits: bool,
}

impl Setup {
    /// What sets it apart from other modules, hosts and offers.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(&self.wasm, &self.host, &self.capabilities)
    }
}

/// The hosts that [`serve`] knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostKind {
    /// [`PluginHost`](crate::host::PluginHost), which runs plugins behind a guard.
    #[default]
    Guarded,
    /// The published host; needs the feature `reference`.
    Reference,
}

impl HostKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Reference => "reference",
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
            patience: Patience::default(),
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
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// The same, which run these cases before those of a plan, each alone: a corpus. They are not counted.
    #[must_use]
    pub fn with_corpus(mut self, corpus: Vec<Case>) -> Self {
        self.first
            .extend(corpus.into_iter().map(|case| (case, true)));
        self
    }

    /// The same, which run these cases first as well: those of findings of earlier campaigns. What such a case shows is
    /// [`Origin::Stored`] and not shrunk again.
    #[must_use]
    pub fn with_earlier(mut self, earlier: Vec<Case>) -> Self {
        self.first
            .extend(earlier.into_iter().map(|case| (case, false)));
        self
    }

    /// The same, which leave out the first cases of a plan, as many as these at most, for sessions are run whole: see
    /// [`Summary::resume_at`].
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

    /// A worker, which is started when it is needed.
    pub fn worker(&self) -> Worker {
        Worker::new(self.clone())
    }

    /// Runs a campaign on so many workers and tells what happens. It comes to the same with any number of them.
    ///
    /// The plan's functions that the plugin did not negotiate are left out.
    ///
    /// # Errors
    /// [`CampaignError`] where the host opens no session, no function is left, the corpus calls none, or no worker can be started;
    /// [`CampaignError::Ended`] where that happens in mid-run. Everything that was seen until then was emitted.
    pub fn run(
        &self,
        plan: &Plan,
        count: NonZeroUsize,
        emit: &mut (dyn FnMut(Event<'_, Request>) + Send),
    ) -> Result<Summary, CampaignError> {
        let mut first = self.worker();
        let plan = match first.opened() {
            Ok(Some(of)) => {
                self.check_corpus(&of.negotiated)?;
                plan.of_opened::<Request>(&of.negotiated, of.objects)?
            }
            // It dies while it opens the plugin, which the first case will show.
            Ok(None) => plan.clone(),
            Err(CampaignError::Interrupted) => {
                return Ok(Summary {
                    interrupted: true,
                    from: self.start,
                    done: self.start,
                    resume_at: self.start,
                    ..Summary::default()
                });
            }
            Err(error) => return Err(error),
        };
        let mut ledger = Ledger::new(Arc::new(Cases::of(&plan)), self.interrupt(), emit);
        ledger.begin_at(self.start);
        let ledger = Mutex::new(ledger);
        let worked = self.run_stored(&mut first, &ledger).and_then(|()| {
            lock(&ledger).start_clock();
            self.run_plan(first, count, &ledger)
        });
        Ledger::close(ledger, worked)
    }

    /// A corpus of which the plugin has no function would run, and say nothing.
    fn check_corpus(&self, negotiated: &[usize]) -> Result<(), CampaignError> {
        let corpus = self.first.iter().filter(|(_, is_shrunk)| *is_shrunk);
        let steps = corpus.flat_map(|(case, _)| &case.steps);
        let called: BTreeSet<_> = steps.map(|step| step.request.place()).collect();
        if called.is_empty() || negotiated.iter().any(|place| called.contains(place)) {
            return Ok(());
        }
        let label = |place: &usize| Request::functions()[*place].label;
        Err(CampaignError::NoFunctionsInCorpus {
            negotiated: negotiated.iter().map(label).collect(),
        })
    }

    /// Runs what comes before the cases of a plan.
    fn run_stored<E: FnMut(Event<'_, Request>)>(
        &self,
        worker: &mut Worker,
        ledger: &Mutex<Ledger<Request, E>>,
    ) -> Result<(), CampaignError> {
        for (case, is_shrunk) in &self.first {
            if self.interrupt.is_requested() {
                break;
            }
            let (_, violations, by_chance) = worker.replay_or_end(case)?;
            let suspects = violations.clone();
            let confirmed =
                self.confirm_stored(worker, case, *is_shrunk, suspects, by_chance, ledger);
            if confirmed.is_err() {
                lock(ledger).leave_stored_open(case, violations, by_chance);
                return confirmed;
            }
        }
        Ok(())
    }

    /// Makes findings of what a stored case showed.
    fn confirm_stored<E: FnMut(Event<'_, Request>)>(
        &self,
        worker: &mut Worker,
        case: &Case,
        is_shrunk: bool,
        violations: Vec<Violation>,
        by_chance: bool,
        ledger: &Mutex<Ledger<Request, E>>,
    ) -> Result<(), CampaignError> {
        // A corpus may be large: as to what the plan's cases show, the time that was asked for bounds it.
        let time = lock(ledger).time_to_shrink(false);
        let mut limits = time.unwrap_or_default();
        if !is_shrunk || time.is_none() {
            limits.candidates = 0;
        }
        let mut lab = Interruptible {
            lab: worker,
            interrupt: self.interrupt(),
        };
        let history = std::slice::from_ref(case);
        for finding in confirm_all(&mut lab, violations, history, by_chance, limits) {
            let mut finding = finding?;
            let is_as_stored = finding.case == *case && finding.origin != Origin::Unreproduced;
            if !is_shrunk && is_as_stored {
                finding.origin = Origin::Stored;
            }
            lock(ledger).take_down(Confirmed::Finding(Box::new(finding)));
        }
        Ok(())
    }

    /// Runs the cases of a plan on so many workers, of which this is the first.
    fn run_plan<E: FnMut(Event<'_, Request>) + Send>(
        &self,
        first: Worker,
        count: NonZeroUsize,
        ledger: &Mutex<Ledger<Request, E>>,
    ) -> Result<(), CampaignError> {
        let interrupt = lock(ledger).interrupt();
        let mut first = first.interrupted_by(interrupt.clone());
        std::thread::scope(|scope| {
            // Where the system gives no thread for one more there are fewer: it comes to the same.
            let others = (1..count.get()).map_while(|_| {
                let mut worker = self.worker().interrupted_by(interrupt.clone());
                let thread = std::thread::Builder::new();
                let other = thread.spawn_scoped(scope, move || work(&mut worker, ledger));
                other.ok()
            });
            let others: Vec<_> = others.collect();
            let panicked = |_| {
                Err(CampaignError::Worker {
                    program: self.program.clone(),
                    reason: "the thread that watches it panicked".to_owned(),
                })
            };
            let first = catch_unwind(AssertUnwindSafe(|| work(&mut first, ledger)));
            let mut done = first.unwrap_or_else(panicked);
            for other in others {
                let other = other.join().unwrap_or_else(panicked);
                // An interrupt says least.
                done = match (done, other) {
                    (Ok(()) | Err(CampaignError::Interrupted), Err(error)) => Err(error),
                    (done, _) => done,
                };
            }
            done
        })
    }
}
