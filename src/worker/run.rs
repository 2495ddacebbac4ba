//! A campaign on workers.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use super::Workers;
use super::client::Worker;
use crate::campaign::coordinator::Coordinator;
use crate::campaign::interrupt::Interruptible;
use crate::campaign::run::{lock, work};
use crate::campaign::{CampaignError, Event, Summary};
use crate::case::Case;
use crate::check::Violation;
use crate::finding::{Confirmation, Origin, confirm_all};
use crate::generate::{Cases, Plan};
use crate::wire::{Request, Vocabulary as _};

impl Workers {
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
                plan.of_opened::<Request>(&of.negotiated, of.response_dictionary)?
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
        let mut coordinator = Coordinator::new(Arc::new(Cases::new(&plan)), self.interrupt(), emit);
        coordinator.begin_at(self.start);
        let coordinator = Mutex::new(coordinator);
        let worked = self.run_stored(&mut first, &coordinator).and_then(|()| {
            lock(&coordinator).start_clock();
            self.run_plan(first, count, &coordinator)
        });
        Coordinator::close(coordinator, worked)
    }

    /// A corpus of which the plugin has no function would run, and say nothing.
    fn check_corpus(&self, negotiated: &[usize]) -> Result<(), CampaignError> {
        let corpus = self.first.iter().filter(|(_, is_shrunk)| *is_shrunk);
        let steps = corpus.flat_map(|(case, _)| &case.steps);
        let called: BTreeSet<_> = steps.map(|step| step.request.function_index()).collect();
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
        coordinator: &Mutex<Coordinator<Request, E>>,
    ) -> Result<(), CampaignError> {
        for (case, is_shrunk) in &self.first {
            if self.interrupt.is_requested() {
                break;
            }
            let (_, violations, flaky) = worker.replay_or_end(case)?;
            let suspects = violations.clone();
            let confirmed =
                self.confirm_stored(worker, case, *is_shrunk, suspects, flaky, coordinator);
            if confirmed.is_err() {
                lock(coordinator).leave_stored_open(case, violations, flaky);
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
        flaky: bool,
        coordinator: &Mutex<Coordinator<Request, E>>,
    ) -> Result<(), CampaignError> {
        // A corpus may be large: as to what the plan's cases show, the time that was asked for bounds it.
        let time = lock(coordinator).time_to_shrink(false);
        let mut limits = time.unwrap_or_default();
        if !is_shrunk || time.is_none() {
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
            if !is_shrunk && is_as_stored {
                finding.origin = Origin::Stored;
            }
            lock(coordinator).record_finding(Confirmation::Finding(Box::new(finding)));
        }
        Ok(())
    }

    /// Runs the cases of a plan on so many workers, of which this is the first.
    fn run_plan<E: FnMut(Event<'_, Request>) + Send>(
        &self,
        first: Worker,
        count: NonZeroUsize,
        coordinator: &Mutex<Coordinator<Request, E>>,
    ) -> Result<(), CampaignError> {
        let interrupt = lock(coordinator).interrupt();
        let mut first = first.interrupted_by(interrupt.clone());
        std::thread::scope(|scope| {
            // Where the system gives no thread for one more there are fewer: it comes to the same.
            let others = (1..count.get()).map_while(|_| {
                let mut worker = self.worker().interrupted_by(interrupt.clone());
                let thread = std::thread::Builder::new();
                let other = thread.spawn_scoped(scope, move || work(&mut worker, coordinator));
                other.ok()
            });
            let others: Vec<_> = others.collect();
            let panicked = |_| {
                Err(CampaignError::Worker {
                    program: self.program.clone(),
                    reason: "the thread that watches it panicked".to_owned(),
                })
            };
            let first = catch_unwind(AssertUnwindSafe(|| work(&mut first, coordinator)));
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
