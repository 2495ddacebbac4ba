//! A pool of workers, each on its own thread. They share nothing: they receive jobs, and send the
//! outcomes to the thread of the coordinator.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Builder, Scope};

use super::client::Worker;
use crate::campaign::Event;
use crate::campaign::coordinator::Coordinator;
use crate::campaign::job::{Job, Outcome};
use crate::wire::Request;

/// The outcome of a worker's job.
struct Report {
    /// The index of the worker.
    worker: usize,
    /// `None` where its thread panicked, and what it was at is lost.
    outcome: Option<Outcome<Request>>,
}

/// The error if the thread of a worker ended.
pub(super) struct WorkerThreadEnded;

/// Workers that wait for jobs or do one.
pub(super) struct Pool {
    /// The senders of jobs, one for each worker. Its thread ends when the sender is dropped.
    jobs: Vec<Sender<Job<Request>>>,
    /// The indices of waiting workers. The last one to finish gets the next job, because its state
    /// is the most current.
    idle: Vec<usize>,
    reports: Receiver<Report>,
}

impl Pool {
    /// Starts a thread for each worker. If the system cannot start all threads there are fewer
    /// workers, with the same results; `None` if it cannot start any.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        workers: impl IntoIterator<Item = Worker>,
    ) -> Option<Self> {
        let (reporter, reports) = mpsc::channel();
        let mut jobs = Vec::new();
        for worker in workers {
            let (hand, handed) = mpsc::channel();
            let (id, reporter) = (jobs.len(), reporter.clone());
            let work = move || do_jobs(worker, id, &handed, &reporter);
            if Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
            jobs.push(hand);
        }
        let idle: Vec<_> = (0..jobs.len()).rev().collect();
        (!jobs.is_empty()).then_some(Self {
            jobs,
            idle,
            reports,
        })
    }

    /// Does all jobs of a campaign.
    pub(super) fn run<E: FnMut(Event<'_, Request>)>(
        &mut self,
        coordinator: &mut Coordinator<Request, E>,
    ) -> Result<(), WorkerThreadEnded> {
        loop {
            self.hand_out(coordinator)?;
            if self.idle.len() == self.jobs.len() {
                return Ok(());
            }
            let Report { worker, outcome } = self.reports.recv().map_err(|_| WorkerThreadEnded)?;
            self.idle.push(worker);
            coordinator.receive(outcome.ok_or(WorkerThreadEnded)?);
        }
    }

    /// Gives jobs to waiting workers as long as there are any.
    fn hand_out<E: FnMut(Event<'_, Request>)>(
        &mut self,
        coordinator: &mut Coordinator<Request, E>,
    ) -> Result<(), WorkerThreadEnded> {
        while let Some(&worker) = self.idle.last()
            && let Some(job) = coordinator.next_job()
        {
            self.idle.pop();
            self.jobs[worker].send(job).map_err(|_| WorkerThreadEnded)?;
        }
        Ok(())
    }
}

/// Does jobs on a worker's thread. A panic in a job is part of the outcome: see
/// [`attempt`](crate::campaign::BlockExecutor::attempt).
fn do_jobs(mut worker: Worker, id: usize, jobs: &Receiver<Job<Request>>, reports: &Sender<Report>) {
    for job in jobs {
        let outcome = catch_unwind(AssertUnwindSafe(|| job.perform(&mut worker))).ok();
        let report = Report {
            worker: id,
            outcome,
        };
        // Without a receiver there are no more jobs.
        if reports.send(report).is_err() {
            return;
        }
    }
}
