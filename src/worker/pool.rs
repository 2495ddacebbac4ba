//! Workers on threads of their own, which do the jobs of a campaign. They share nothing: jobs go to them, and what came of
//! these comes back to the one thread that knows what it means.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Builder, Scope};

use super::client::Worker;
use crate::campaign::Event;
use crate::campaign::coordinator::Coordinator;
use crate::campaign::job::{Job, Outcome};
use crate::wire::Request;

/// What a worker made of its job.
struct Report {
    /// Which of them.
    worker: usize,
    outcome: Outcome<Request>,
}

/// The thread of a worker is gone, with what it was at.
pub(super) struct Gone;

/// Workers that wait for jobs, or are at one.
pub(super) struct Pool {
    /// The way to each of them. Its thread ends when this is dropped.
    jobs: Vec<Sender<Job<Request>>>,
    /// Those that wait. The last that came back is the first to go: it has what it was at before it.
    idle: Vec<usize>,
    reports: Receiver<Report>,
}

impl Pool {
    /// Gives each worker a thread. Where the system has no more of them there are fewer workers, which comes to the same;
    /// `None` where it has none at all.
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
    ) -> Result<(), Gone> {
        loop {
            self.hand_out(coordinator)?;
            if self.idle.len() == self.jobs.len() {
                return Ok(());
            }
            let Report { worker, outcome } = self.reports.recv().map_err(|_| Gone)?;
            self.idle.push(worker);
            coordinator.receive(outcome);
        }
    }

    /// Gives those that wait something to do, as long as there is anything.
    fn hand_out<E: FnMut(Event<'_, Request>)>(
        &mut self,
        coordinator: &mut Coordinator<Request, E>,
    ) -> Result<(), Gone> {
        while let Some(&worker) = self.idle.last()
            && let Some(job) = coordinator.next_job()
        {
            self.idle.pop();
            self.jobs[worker].send(job).map_err(|_| Gone)?;
        }
        Ok(())
    }
}

/// The life of a worker's thread. Of a panic in a job the outcome tells: see
/// [`attempt`](crate::campaign::BlockExecutor::attempt).
fn do_jobs(mut worker: Worker, id: usize, jobs: &Receiver<Job<Request>>, reports: &Sender<Report>) {
    for job in jobs {
        let outcome = job.perform(&mut worker);
        let report = Report {
            worker: id,
            outcome,
        };
        // Where nobody listens any more, nobody has anything to do.
        if reports.send(report).is_err() {
            return;
        }
    }
}
