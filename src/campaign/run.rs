//! The loop of a campaign: labs run blocks of cases, and what they find is looked into in the order of the cases,
//! so that a campaign comes to the same with any number of labs.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::block::{BlockExecutor, SessionPart, Stopped};
use super::coordinator::Coordinator;
use super::error::CampaignError;
use super::event::Event;
use super::interrupt::{Interrupt, Interruptible};
use super::statistics::Summary;
use crate::execute::{Executor as _, InProcessExecutor};
use crate::finding::{Confirmation, Finding, Suspect, confirm};
use crate::generate::Plan;
use crate::host::Host;
use crate::record::Subject;
use crate::wire::Vocabulary;

/// Runs a campaign on a host in this process and tells what happens.
///
/// The plan's functions that the plugin did not negotiate are left out.
///
/// # Errors
/// [`CampaignError`] where the host opens no session, or no function is left; [`CampaignError::Ended`] where that happens
/// in mid-run. Everything that was seen until then was emitted.
pub fn run<H: Host, R: Vocabulary>(
    host: &H,
    subject: Subject,
    plan: &Plan,
    emit: &mut dyn FnMut(Event<'_, R>),
) -> Result<Summary, CampaignError> {
    run_on(&mut InProcessExecutor::new(host, subject)?, plan, emit)
}

/// The same, for tests: returns what was found. The plugin's limits are no findings: [`run`] tells them.
///
/// # Errors
/// As [`run`].
pub fn findings<H: Host, R: Vocabulary>(
    host: &H,
    subject: Subject,
    plan: &Plan,
) -> Result<Vec<Finding<R>>, CampaignError> {
    let mut found = Vec::new();
    run(host, subject, plan, &mut |event| {
        if let Event::Finding(finding) = event
            && !finding.violation.is_limit()
        {
            found.push(finding.clone());
        }
    })?;
    Ok(found)
}

/// The same on a bench, which may have checks of your own.
///
/// # Errors
/// As [`run`].
pub fn run_on<H: Host, R: Vocabulary>(
    executor: &mut InProcessExecutor<'_, H, R>,
    plan: &Plan,
    emit: &mut dyn FnMut(Event<'_, R>),
) -> Result<Summary, CampaignError> {
    let runner = executor.runner();
    let plan = plan.of_opened::<R>(&runner.negotiated(), runner.response_dictionary())?;
    // To make them takes as long as many a short campaign.
    let cases = executor.cases.get(&plan);
    let coordinator = Mutex::new(Coordinator::new(cases, Interrupt::new(), emit));
    let worked = work(executor, &coordinator);
    Coordinator::close(coordinator, worked)
}

/// Lets a lab take blocks and look into what it finds, until the plan is done.
pub(crate) fn work<R: Vocabulary, E: FnMut(Event<'_, R>)>(
    executor: &mut impl BlockExecutor<R>,
    coordinator: &Mutex<Coordinator<R, E>>,
) -> Result<(), CampaignError> {
    let mut unfinished = WorkGuard(coordinator, true);
    loop {
        let Some((plan, cases, deadline)) = lock(coordinator).next_block() else {
            look_into_measured(executor, coordinator, true)?;
            unfinished.1 = false;
            return Ok(());
        };
        let mut parts = VecDeque::new();
        let ran = run_all(executor, &plan, cases.clone(), deadline, &mut parts);
        {
            // What ran before an error is not lost with it, nor taken for all that there was to run.
            let mut coordinator = lock(coordinator);
            coordinator.receive_block(cases.start, parts);
            if ran.is_err() {
                coordinator.fail();
            }
        }
        ran?;
        record_blocks(executor, coordinator)?;
    }
}

/// The work of a lab. If it ends in an error or a panic, whoever else works on the ledger has nothing more to do.
struct WorkGuard<'l, R: Vocabulary, E: FnMut(Event<'_, R>)>(&'l Mutex<Coordinator<R, E>>, bool);

impl<R: Vocabulary, E: FnMut(Event<'_, R>)> Drop for WorkGuard<'_, R, E> {
    fn drop(&mut self) {
        if self.1 {
            lock(self.0).fail();
        }
    }
}

/// The cases of a block; behind a violation they go on with a fresh session.
fn run_all<R: Vocabulary>(
    executor: &mut impl BlockExecutor<R>,
    plan: &Plan,
    cases: Range<u64>,
    deadline: Option<Instant>,
    parts: &mut VecDeque<SessionPart>,
) -> Result<(), CampaignError> {
    let mut from = cases.start;
    while from < cases.end {
        let block = executor.run(plan, from..cases.end, deadline)?;
        let stopped = block.stopped.as_ref().map(|stopped| stopped.case);
        let end = cases.end;
        parts.push_back(SessionPart { from, end, block });
        match stopped {
            Some(case) => from = case + 1,
            None => break,
        }
    }
    Ok(())
}

/// Takes down what came in, in the order of the cases. Another lab that is at it goes on with the rest.
fn record_blocks<R: Vocabulary, E: FnMut(Event<'_, R>)>(
    executor: &mut impl BlockExecutor<R>,
    coordinator: &Mutex<Coordinator<R, E>>,
) -> Result<(), CampaignError> {
    loop {
        let Some(mut parts) = lock(coordinator).next_block_to_record() else {
            return Ok(());
        };
        while let Some(part) = parts.pop_front() {
            lock(coordinator).count(&part.block);
            let ran_to = part.from + part.block.cases;
            let Some(stopped) = part.block.stopped else {
                // The time cut the rest off.
                if ran_to < part.end {
                    lock(coordinator).leave_from(part.from);
                }
                continue;
            };
            let looked = look_into(executor, coordinator, part.from, &stopped, false);
            let is_measured = stopped.violations.iter().any(|found| found.measured);
            if looked.is_err() {
                let mut coordinator = lock(coordinator);
                coordinator.leave_open(part.from, &stopped, |_| true);
                coordinator.put_back(parts);
                return looked;
            }
            if is_measured {
                lock(coordinator).keep_measured(part.from, stopped);
            }
        }
        look_into_measured(executor, coordinator, false)?;
        lock(coordinator).recorded();
    }
}

/// Looks into what was measured, which takes long: now and then, and at the end.
fn look_into_measured<R: Vocabulary, E: FnMut(Event<'_, R>)>(
    executor: &mut impl BlockExecutor<R>,
    coordinator: &Mutex<Coordinator<R, E>>,
    at_the_end: bool,
) -> Result<(), CampaignError> {
    let mut measured = lock(coordinator).take_measured(at_the_end).into_iter();
    while let Some((from, stopped)) = measured.next() {
        if let Err(error) = look_into(executor, coordinator, from, &stopped, true) {
            let mut coordinator = lock(coordinator);
            for (from, stopped) in std::iter::once((from, stopped)).chain(measured) {
                coordinator.leave_open(from, &stopped, |found| found.measured);
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Makes findings of the violations that are new: of those of checks that measure, or of the others.
fn look_into<R: Vocabulary, E: FnMut(Event<'_, R>)>(
    executor: &mut impl BlockExecutor<R>,
    coordinator: &Mutex<Coordinator<R, E>>,
    from: u64,
    stopped: &Stopped,
    measured: bool,
) -> Result<(), CampaignError> {
    let interrupt = lock(coordinator).interrupt();
    let mut executor = Interruptible {
        executor,
        interrupt,
    };
    // Of a long session it takes long to make, and most violations are known.
    let mut history = None;
    let violations = stopped.violations.iter();
    // A long case has the same violation many times: once is enough.
    let mut seen = HashSet::new();
    for violation in violations.filter(|violation| violation.measured == measured) {
        let (known, limits) = {
            let mut coordinator = lock(coordinator);
            if coordinator.is_known(violation) || seen.contains(&violation.key()) {
                continue;
            }
            if violation.can_be_located() && !coordinator.should_locate(violation, stopped.case) {
                continue;
            }
            let Some(limits) = coordinator.time_to_shrink(measured) else {
                coordinator.leave_violation_open(from, stopped, violation);
                continue;
            };
            (coordinator.known(violation), limits)
        };
        let history = history.get_or_insert_with(|| lock(coordinator).history(from, stopped.case));
        let suspect = Suspect {
            violation,
            history,
            flaky: stopped.flaky,
        };
        let confirmed = confirm(&mut executor, &suspect, &known, limits)?;
        let is_no = matches!(confirmed, Confirmation::NotReproduced);
        // The puppet's may show once more, by other operations.
        if executor.subject() == Subject::Plugin || is_no {
            seen.insert(violation.key());
        }
        let mut coordinator = lock(coordinator);
        if is_no {
            coordinator.forget_located(violation);
        }
        coordinator.record_finding(confirmed);
    }
    Ok(())
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A lab that panicked was at work on something else: the ledger is only held for moments.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
