//! The loop of a campaign: labs run blocks of cases, and what they find is looked into in the order of the cases,
//! so that a campaign comes to the same with any number of labs.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::block::{Block, Stopped};
use super::confirm::{Confirmed, Suspect, confirm};
use super::interrupt::Interrupt;
use super::lab::{Bench, Interruptible, Lab};
use super::ledger::Ledger;
use super::{CampaignError, Event, Plan, Summary};
use crate::finding::Finding;
use crate::host::Host;
use crate::observation::Subject;
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
    run_bench(&mut Bench::new(host, subject)?, plan, emit)
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
pub fn run_bench<H: Host, R: Vocabulary>(
    bench: &mut Bench<'_, H, R>,
    plan: &Plan,
    emit: &mut dyn FnMut(Event<'_, R>),
) -> Result<Summary, CampaignError> {
    let runner = bench.runner();
    let plan = plan.of_opened::<R>(&runner.negotiated(), runner.objects())?;
    // To make them takes as long as many a short campaign.
    let cases = bench.cases.of(&plan);
    let ledger = Mutex::new(Ledger::new(cases, Interrupt::new(), emit));
    let worked = work(bench, &ledger);
    Ledger::close(ledger, worked)
}

/// Cases that shared a session, up to the first with a violation.
pub(super) struct Part {
    /// The first of them, and the end of the session.
    pub(super) from: u64,
    pub(super) end: u64,
    pub(super) block: Block,
}

/// Lets a lab take blocks and look into what it finds, until the plan is done.
pub(super) fn work<R: Vocabulary, E: FnMut(Event<'_, R>)>(
    lab: &mut impl Lab<R>,
    ledger: &Mutex<Ledger<R, E>>,
) -> Result<(), CampaignError> {
    let mut unfinished = Unfinished(ledger, true);
    loop {
        let Some((plan, cases, deadline)) = lock(ledger).take() else {
            look_into_measured(lab, ledger, true)?;
            unfinished.1 = false;
            return Ok(());
        };
        let mut parts = VecDeque::new();
        let ran = run_all(lab, &plan, cases.clone(), deadline, &mut parts);
        {
            // What ran before an error is not lost with it, nor taken for all that there was to run.
            let mut ledger = lock(ledger);
            ledger.take_in(cases.start, parts);
            if ran.is_err() {
                ledger.fail();
            }
        }
        ran?;
        settle(lab, ledger)?;
    }
}

/// The work of a lab. If it ends in an error or a panic, whoever else works on the ledger has nothing more to do.
struct Unfinished<'l, R: Vocabulary, E: FnMut(Event<'_, R>)>(&'l Mutex<Ledger<R, E>>, bool);

impl<R: Vocabulary, E: FnMut(Event<'_, R>)> Drop for Unfinished<'_, R, E> {
    fn drop(&mut self) {
        if self.1 {
            lock(self.0).fail();
        }
    }
}

/// The cases of a block; behind a violation they go on with a fresh session.
fn run_all<R: Vocabulary>(
    lab: &mut impl Lab<R>,
    plan: &Plan,
    cases: Range<u64>,
    deadline: Option<Instant>,
    parts: &mut VecDeque<Part>,
) -> Result<(), CampaignError> {
    let mut from = cases.start;
    while from < cases.end {
        let block = lab.run(plan, from..cases.end, deadline)?;
        let stopped = block.stopped.as_ref().map(|stopped| stopped.case);
        let end = cases.end;
        parts.push_back(Part { from, end, block });
        match stopped {
            Some(case) => from = case + 1,
            None => break,
        }
    }
    Ok(())
}

/// Takes down what came in, in the order of the cases. Another lab that is at it goes on with the rest.
fn settle<R: Vocabulary, E: FnMut(Event<'_, R>)>(
    lab: &mut impl Lab<R>,
    ledger: &Mutex<Ledger<R, E>>,
) -> Result<(), CampaignError> {
    loop {
        let Some(mut parts) = lock(ledger).next_to_settle() else {
            return Ok(());
        };
        while let Some(part) = parts.pop_front() {
            lock(ledger).count(&part.block);
            let ran_to = part.from + part.block.cases;
            let Some(stopped) = part.block.stopped else {
                // The time cut the rest off.
                if ran_to < part.end {
                    lock(ledger).leave_from(part.from);
                }
                continue;
            };
            let looked = look_into(lab, ledger, part.from, &stopped, false);
            let is_measured = stopped.violations.iter().any(|found| found.measured);
            if looked.is_err() {
                let mut ledger = lock(ledger);
                ledger.leave_open(part.from, &stopped, |_| true);
                ledger.put_back(parts);
                return looked;
            }
            if is_measured {
                lock(ledger).keep_measured(part.from, stopped);
            }
        }
        look_into_measured(lab, ledger, false)?;
        lock(ledger).settled();
    }
}

/// Looks into what was measured, which takes long: now and then, and at the end.
fn look_into_measured<R: Vocabulary, E: FnMut(Event<'_, R>)>(
    lab: &mut impl Lab<R>,
    ledger: &Mutex<Ledger<R, E>>,
    at_the_end: bool,
) -> Result<(), CampaignError> {
    let mut measured = lock(ledger).take_measured(at_the_end).into_iter();
    while let Some((from, stopped)) = measured.next() {
        if let Err(error) = look_into(lab, ledger, from, &stopped, true) {
            let mut ledger = lock(ledger);
            for (from, stopped) in std::iter::once((from, stopped)).chain(measured) {
                ledger.leave_open(from, &stopped, |found| found.measured);
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Makes findings of the violations that are new: of those of checks that measure, or of the others.
fn look_into<R: Vocabulary, E: FnMut(Event<'_, R>)>(
    lab: &mut impl Lab<R>,
    ledger: &Mutex<Ledger<R, E>>,
    from: u64,
    stopped: &Stopped,
    measured: bool,
) -> Result<(), CampaignError> {
    let interrupt = lock(ledger).interrupt();
    let mut lab = Interruptible { lab, interrupt };
    // Of a long session it takes long to make, and most violations are known.
    let mut history = None;
    let violations = stopped.violations.iter();
    // A long case has the same violation many times: once is enough.
    let mut seen = HashSet::new();
    for violation in violations.filter(|violation| violation.measured == measured) {
        let (known, limits) = {
            let mut ledger = lock(ledger);
            if ledger.is_known(violation) || seen.contains(&violation.key()) {
                continue;
            }
            if violation.can_be_located() && !ledger.may_locate(violation, stopped.case) {
                continue;
            }
            let Some(limits) = ledger.time_to_shrink(measured) else {
                ledger.leave_violation_open(from, stopped, violation);
                continue;
            };
            (ledger.known(violation), limits)
        };
        let history = history.get_or_insert_with(|| lock(ledger).history(from, stopped.case));
        let suspect = Suspect {
            violation,
            history,
            by_chance: stopped.by_chance,
        };
        let confirmed = confirm(&mut lab, &suspect, &known, limits)?;
        let is_no = matches!(confirmed, Confirmed::No);
        // The puppet's may show once more, by other operations.
        if lab.subject() == Subject::Plugin || is_no {
            seen.insert(violation.key());
        }
        let mut ledger = lock(ledger);
        if is_no {
            ledger.forget_located(violation);
        }
        ledger.take_down(confirmed);
    }
    Ok(())
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A lab that panicked was at work on something else: the ledger is only held for moments.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
