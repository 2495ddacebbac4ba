//! A campaign on workers.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::client::{Replay, Worker};
use super::pool::Pool;
use super::{FirstCase, Workers};
use crate::campaign::coordinator::Coordinator;
use crate::campaign::interrupt::Interruptible;
use crate::campaign::run::run_jobs;
use crate::campaign::{CampaignError, Event, Summary};
use crate::check::Violation;
use crate::finding::{Confirmation, Origin, confirm_all};
use crate::generate::{Cases, Plan};
use crate::wire::{Request, Vocabulary as _};

impl Workers {
    /// Returns a worker, which starts its process when needed.
    pub fn worker(&self) -> Worker {
        Worker::new(self.clone())
    }

    /// Runs a campaign on this many workers, and emits events on the caller's thread. The results
    /// do not depend on the number of workers.
    ///
    /// Functions of the plan that the plugin did not negotiate are left out.
    ///
    /// # Errors
    /// Returns a [`CampaignError`] if the host cannot open a session, no function is left, the
    /// corpus calls none of them, or no worker can be started; [`CampaignError::Ended`] if this
    /// happens during the campaign. Everything seen before was emitted.
    pub fn run(
        &self,
        plan: &Plan,
        count: NonZeroUsize,
        emit: &mut dyn FnMut(Event<'_, Request>),
    ) -> Result<Summary, CampaignError> {
        let mut first = self.worker();
        let plan = match first.opened() {
            Ok(Some(of)) => {
                self.check_corpus(&of.negotiated)?;
                plan.of_opened::<Request>(&of.negotiated, of.response_dictionary)?
            }
            // The worker dies while it opens the plugin, which the first case will show.
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
        let cases = Arc::new(Cases::new(&plan));
        let mut coordinator = Coordinator::new(cases, self.setup.subject, &self.interrupt, emit);
        coordinator.begin_at(self.start);
        match self.run_stored(&mut first, &mut coordinator) {
            Ok(()) => {
                coordinator.start_clock();
                self.run_plan(first, count, &mut coordinator);
            }
            Err(error) => coordinator.fail(error),
        }
        coordinator.close()
    }

    /// Checks that the plugin has a function that the corpus calls. Otherwise the corpus would test
    /// nothing.
    fn check_corpus(&self, negotiated: &[usize]) -> Result<(), CampaignError> {
        let corpus = self.first.iter().filter(|first| first.shrinks);
        let steps = corpus.flat_map(|first| &first.case.steps);
        let called: BTreeSet<_> = steps.map(|step| step.request.function_index()).collect();
        if called.is_empty() || negotiated.iter().any(|place| called.contains(place)) {
            return Ok(());
        }
        let label = |place: &usize| Request::functions()[*place].label;
        Err(CampaignError::NoFunctionsInCorpus {
            negotiated: negotiated.iter().map(label).collect(),
        })
    }

    /// Runs the stored cases before those of the plan.
    fn run_stored<E: FnMut(Event<'_, Request>)>(
        &self,
        worker: &mut Worker,
        coordinator: &mut Coordinator<Request, E>,
    ) -> Result<(), CampaignError> {
        for first in &self.first {
            if self.interrupt.is_requested() {
                break;
            }
            let Replay {
                violations, flaky, ..
            } = worker.replay(&first.case)?;
            let suspects = violations.clone();
            let confirmed = self.confirm_stored(worker, first, suspects, flaky, coordinator);
            if confirmed.is_err() {
                coordinator.leave_stored_unexamined(&first.case, violations, flaky);
                return confirmed;
            }
        }
        Ok(())
    }

    /// Confirms the violations of a stored case.
    fn confirm_stored<E: FnMut(Event<'_, Request>)>(
        &self,
        worker: &mut Worker,
        first: &FirstCase,
        violations: Vec<Violation>,
        flaky: bool,
        coordinator: &mut Coordinator<Request, E>,
    ) -> Result<(), CampaignError> {
        let FirstCase { case, shrinks } = first;
        // A corpus may be large, so the campaign's time limits shrinking, as for the plan's cases.
        let time = coordinator.time_to_shrink(false);
        let mut limits = time.unwrap_or_default();
        if !shrinks || time.is_none() {
            limits.candidates = 0;
        }
        let mut executor = Interruptible {
            executor: worker,
            interrupt: self.interrupt(),
        };
        let history = std::slice::from_ref(case);
        for finding in confirm_all(&mut executor, violations, history, flaky, limits) {
            let mut finding = finding?;
            let is_as_stored = finding.case == *case && finding.origin != Origin::Unreproduced;
            if !shrinks && is_as_stored {
                finding.origin = Origin::Stored;
            }
            coordinator.record_finding(Confirmation::Finding(Box::new(finding)));
        }
        Ok(())
    }

    /// Runs the cases of a plan on this many workers. `first` is one of them.
    fn run_plan<E: FnMut(Event<'_, Request>)>(
        &self,
        first: Worker,
        count: NonZeroUsize,
        coordinator: &mut Coordinator<Request, E>,
    ) {
        let interrupt = coordinator.interrupt();
        let mut first = first.interrupted_by(interrupt.clone());
        // A single worker needs no thread of its own.
        if count == NonZeroUsize::MIN {
            run_jobs(&mut first, coordinator);
            return;
        }
        let further = || self.worker().interrupted_by(interrupt.clone());
        let others = (1..count.get()).map(|_| further());
        let workers = std::iter::once(first).chain(others);
        std::thread::scope(|scope| match Pool::start(scope, workers) {
            Some(mut pool) => {
                if pool.run(coordinator).is_err() {
                    coordinator.fail(self.panicked());
                }
            }
            None => run_jobs(&mut further(), coordinator),
        });
    }

    /// Returns the error of a campaign in which the code around a worker panicked.
    pub(super) fn panicked(&self) -> CampaignError {
        CampaignError::Worker {
            program: self.program.clone(),
            reason: "the thread that watches it panicked".to_owned(),
        }
    }
}
