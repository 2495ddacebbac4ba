//! The loop of a campaign: labs run blocks of cases, and what they find is looked into in the order of the cases,
//! so that a campaign comes to the same with any number of labs.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::block::{Block, Stopped, depth_at};
use super::confirm::{Confirmed, Known, Suspect, confirm};
use super::lab::{Bench, Lab};
use super::{Budget, CASES_PER_SESSION, CampaignError, Cases, Event, FunctionStats, Plan, Summary};
use crate::case::{Case, ShrinkLimits, Step, tree};
use crate::finding::{Finding, Told};
use crate::host::Host;
use crate::observation::{Depth, Subject};
use crate::oracle::Violation;
use crate::wire::Vocabulary;

/// How much longer than its time a campaign begins to look into what it found.
const GRACE: Duration = Duration::from_secs(10);

/// Once in so many blocks it is looked into what checks that measure have found.
const MEASURED_ONCE_IN: u64 = 256;

/// So many places of violations are found out at first.
const LOCATED_AT_FIRST: usize = 64;

/// Once in so many blocks one more place is found out.
const LOCATED_ONCE_IN: u64 = 8;

/// The longest time that shrinking one finding takes: its structure, and again its values.
const SHRINK_TIME: Duration = Duration::from_secs(20);

/// Runs a campaign on a host in this process and tells what happens.
///
/// The plan's functions that the plugin did not negotiate are left out.
///
/// # Errors
/// [`CampaignError`] where the host opens no session, or no function is left.
pub fn run<H: Host, R: Vocabulary>(
    host: &H,
    subject: Subject,
    plan: &Plan,
    emit: &mut dyn FnMut(Event<'_, R>),
) -> Result<Summary, CampaignError> {
    run_bench(&mut Bench::new(host, subject)?, plan, emit)
}

/// The same, for tests: returns what was found.
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
        if let Event::Finding(finding) = event {
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
    let ledger = Mutex::new(Ledger::new(&plan, Arc::default(), emit));
    work(bench, &ledger)?;
    Ok(Ledger::close(ledger))
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
        let blocks = run_all(lab, &plan, cases.clone(), deadline)?;
        lock(ledger).waiting.insert(cases.start, blocks);
        settle(lab, ledger)?;
    }
}

/// The work of a lab. If it ends in an error or a panic, whoever else works on the ledger has nothing more to do.
struct Unfinished<'l, R, E>(&'l Mutex<Ledger<R, E>>, bool);

impl<R, E> Drop for Unfinished<'_, R, E> {
    fn drop(&mut self) {
        lock(self.0).failed |= self.1;
    }
}

/// The cases of a block; behind a violation they go on with a fresh session. Each part with its first case.
fn run_all<R: Vocabulary>(
    lab: &mut impl Lab<R>,
    plan: &Plan,
    cases: Range<u64>,
    deadline: Option<Instant>,
) -> Result<Vec<(u64, Block)>, CampaignError> {
    let mut parts = Vec::new();
    let mut from = cases.start;
    while from < cases.end {
        let block = lab.run(plan, from..cases.end, deadline)?;
        let stopped = block.stopped.as_ref().map(|stopped| stopped.case);
        parts.push((from, block));
        match stopped {
            Some(case) => from = case + 1,
            None => break,
        }
    }
    Ok(parts)
}

/// Takes down what came in, in the order of the cases. Another lab that is at it goes on with the rest.
fn settle<R: Vocabulary, E: FnMut(Event<'_, R>)>(
    lab: &mut impl Lab<R>,
    ledger: &Mutex<Ledger<R, E>>,
) -> Result<(), CampaignError> {
    loop {
        let Some(parts) = lock(ledger).next_to_settle() else {
            return Ok(());
        };
        for (from, block) in parts {
            lock(ledger).count(&block);
            if let Some(stopped) = block.stopped {
                look_into(lab, ledger, from, &stopped, false)?;
                if stopped
                    .violations
                    .iter()
                    .any(|violation| violation.measured)
                {
                    lock(ledger).measured.push((from, stopped));
                }
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
    let measured = lock(ledger).take_measured(at_the_end);
    for (from, stopped) in measured {
        look_into(lab, ledger, from, &stopped, true)?;
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
    let history: Vec<Case<R>> = {
        let ledger = lock(ledger);
        let before = (from..stopped.case).map(|case| ledger.with_calls_between(case));
        let last = ledger.cases.nth(stopped.case);
        before.chain([last]).collect()
    };
    let violations = stopped.violations.iter();
    // A long case has the same violation many times: once is enough.
    let mut seen = HashSet::new();
    for violation in violations.filter(|violation| violation.measured == measured) {
        let (known, limits) = {
            let mut ledger = lock(ledger);
            if ledger.told.has(violation) || seen.contains(&violation.key()) {
                continue;
            }
            if violation.can_be_located() && !ledger.may_locate(violation, history.last()) {
                continue;
            }
            let Some(limits) = ledger.time_to_shrink(measured) else {
                ledger.leave_unexamined(from, violation, stopped.by_chance);
                continue;
            };
            (ledger.known(violation), limits)
        };
        let suspect = Suspect {
            violation,
            history: &history,
            by_chance: stopped.by_chance,
        };
        let confirmed = confirm(lab, &suspect, &known, limits)?;
        // The puppet's may show once more, by other operations.
        if lab.subject() == Subject::Plugin || matches!(confirmed, Confirmed::No) {
            seen.insert(violation.key());
        }
        lock(ledger).take_down(confirmed);
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A lab that panicked was at work on something else: the ledger is only held for moments.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was handed out, what came in, and what became of it.
pub(super) struct Ledger<R, E> {
    cases: Cases<R>,
    start: Instant,
    summary: Summary,
    /// The first case that was not handed out.
    next: u64,
    /// The first case that was not taken down.
    settled: u64,
    /// What came in and waits for what was handed out before it, by the first case.
    waiting: BTreeMap<u64, Vec<(u64, Block)>>,
    /// Whether a lab is at it.
    settling: bool,
    /// What checks that measure have found and nobody has looked into: the end of a session that began with this
    /// case.
    measured: Vec<(u64, Stopped)>,
    /// The first case of the first session that had a violation which nobody has looked into.
    unexamined: Option<u64>,
    /// Whether a lab failed.
    failed: bool,
    /// What was found: each is told once.
    told: Told,
    /// How many places of violations were found out in their turn.
    located: u64,
    /// How many at first: of which violations that was, and in which fields their cases differed from the sample.
    located_by: HashSet<(String, BTreeSet<String>)>,
    /// The effects that findings are known for, with their check and class.
    effects: Vec<(String, String, BTreeSet<&'static str>)>,
    /// Set from outside to end the campaign early.
    stop: Arc<AtomicBool>,
    emit: E,
}

impl<R: Vocabulary, E: FnMut(Event<'_, R>)> Ledger<R, E> {
    pub(super) fn new(plan: &Plan, stop: Arc<AtomicBool>, emit: E) -> Self {
        let functions = plan.menu.functions.iter();
        Self {
            start: Instant::now(),
            summary: Summary {
                functions: functions
                    .map(|&place| FunctionStats {
                        function: &R::functions()[place],
                        counts: Default::default(),
                    })
                    .collect(),
                ..Summary::default()
            },
            cases: Cases::of(plan),
            next: 0,
            settled: 0,
            waiting: BTreeMap::new(),
            settling: false,
            measured: Vec::new(),
            unexamined: None,
            failed: false,
            told: Told::default(),
            located: 0,
            located_by: HashSet::new(),
            effects: Vec::new(),
            stop,
            emit,
        }
    }

    pub(super) fn close(ledger: Mutex<Self>) -> Summary {
        let mut ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        ledger.tell_where_to_resume();
        let mut summary = ledger.summary;
        summary.elapsed = ledger.start.elapsed();
        summary.interrupted = ledger.stop.load(Ordering::Relaxed);
        summary
    }

    /// From here on the time counts: what ran before a plan takes nothing of it.
    pub(super) fn start_clock(&mut self) {
        self.start = Instant::now();
    }

    /// A violation for which there was no time.
    fn leave_unexamined(&mut self, from: u64, violation: &Violation, by_chance: bool) {
        self.unexamined = Some(self.unexamined.map_or(from, |first| first.min(from)));
        self.summary.unexamined += 1;
        self.summary.unexamined_for_sure += u64::from(!violation.measured && !by_chance);
        self.tell_where_to_resume();
    }

    /// Behind no violation that nobody has looked into: one of a check that measures waits for a while.
    fn tell_where_to_resume(&mut self) {
        let waiting = self.measured.iter().map(|(from, _)| *from);
        let unexamined = self.unexamined.into_iter().chain(waiting).min();
        // Sessions are run whole.
        let session = |case: u64| case / CASES_PER_SESSION * CASES_PER_SESSION;
        let at_most = unexamined.map_or(self.summary.done, session);
        self.summary.resume_at = self.summary.done.min(at_most);
    }

    /// A case with what the session saw behind it: a history without these calls is another.
    fn with_calls_between(&self, index: u64) -> Case<R> {
        let mut case = self.cases.nth(index);
        let menu = &self.cases.plan().menu;
        if depth_at(index) != Depth::Light {
            case.steps
                .extend(menu.functions.iter().map(|place| Step::healthy(*place)));
        }
        case
    }

    /// Leaves out the first cases, up to this one: whole sessions only.
    pub(super) fn begin_at(&mut self, case: u64) {
        self.settled = case / CASES_PER_SESSION * CASES_PER_SESSION;
        self.next = self.settled;
        self.summary.from = self.settled;
        self.summary.done = self.settled;
        self.summary.resume_at = self.settled;
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn budget(&self) -> Budget {
        self.cases.plan().budget
    }

    fn deadline(&self) -> Option<Instant> {
        match self.budget() {
            Budget::Cases(_) => None,
            Budget::Time(time) => self.start.checked_add(time),
        }
    }

    /// The next block: the cases of one multiple of [`CASES_PER_SESSION`], so that what a case meets does not
    /// depend on who runs it.
    fn take(&mut self) -> Option<(Plan, Range<u64>, Option<Instant>)> {
        let deadline = self.deadline();
        let last = match self.budget() {
            Budget::Cases(cases) => cases,
            Budget::Time(_) => u64::MAX,
        };
        let last = last.min(self.cases.count().unwrap_or(u64::MAX));
        let end = last.min(self.next + CASES_PER_SESSION);
        let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if self.failed || self.is_stopped() || late || self.next >= end {
            return None;
        }
        let cases = self.next..end;
        self.next = end;
        Some((self.cases.plan().clone(), cases, deadline))
    }

    fn next_to_settle(&mut self) -> Option<Vec<(u64, Block)>> {
        if self.settling {
            return None;
        }
        let parts = self.waiting.remove(&self.settled)?;
        self.settling = true;
        Some(parts)
    }

    fn settled(&mut self) {
        self.settled += CASES_PER_SESSION;
        self.settling = false;
        self.summary.done = self.settled.min(self.next);
        self.tell_where_to_resume();
        self.summary.elapsed = self.start.elapsed();
        self.summary.phase = Some(self.cases.leading(self.settled.min(self.next)));
        (self.emit)(Event::Progress(&self.summary));
    }

    fn take_measured(&mut self, at_the_end: bool) -> Vec<(u64, Stopped)> {
        let due = match at_the_end {
            // The last lab to end finds it so.
            true => !self.settling && self.waiting.is_empty(),
            false => (self.settled / CASES_PER_SESSION) % MEASURED_ONCE_IN == MEASURED_ONCE_IN - 1,
        };
        match due {
            true => std::mem::take(&mut self.measured),
            false => Vec::new(),
        }
    }

    fn count(&mut self, block: &Block) {
        let summary = &mut self.summary;
        summary.cases += block.cases;
        summary.slowest = summary.slowest.max(block.slowest);
        summary.memory = summary.memory.max(block.memory);
        for (stats, counts) in summary.functions.iter_mut().zip(&block.counts) {
            stats.counts.add(counts);
        }
    }

    /// Whether to find out where in the plugin a violation is that this case shows, which takes as long as some hundred
    /// cases, while a plugin may show the same one again and again. A case that differs from the sample in the same fields as
    /// one before most often does: such wait for their turn, which comes once in so many blocks.
    fn may_locate(&mut self, violation: &Violation, case: Option<&Case<R>>) -> bool {
        let steps = case.map_or(&[][..], |case| &case.steps);
        let fields: BTreeSet<_> = steps
            .iter()
            .flat_map(|step| tree::unlike_the_sample(&step.request))
            .map(|(field, _)| field)
            .collect();
        let kind = (violation.key(), fields);
        let is_new = !self.located_by.contains(&kind);
        if is_new && self.located_by.len() < LOCATED_AT_FIRST {
            self.located_by.insert(kind);
            return true;
        }
        let turns = self.settled / CASES_PER_SESSION / LOCATED_ONCE_IN;
        let is_its_turn = self.located < turns;
        self.located += u64::from(is_its_turn);
        is_its_turn
    }

    /// `None` where the time is over.
    fn time_to_shrink(&self, measured: bool) -> Option<ShrinkLimits> {
        // A try of what is measured may take all the time that a dispatch has, and there are few.
        let part = if measured { 4 } else { 16 };
        if self.is_stopped() {
            return None;
        }
        let time = match self.budget() {
            Budget::Cases(_) => SHRINK_TIME,
            Budget::Time(time) if self.start.elapsed() > time.saturating_add(GRACE) => return None,
            Budget::Time(time) => SHRINK_TIME.min(time / part).max(Duration::from_secs(1)),
        };
        Some(ShrinkLimits {
            time,
            ..ShrinkLimits::default()
        })
    }

    fn known(&self, violation: &Violation) -> Known {
        let of_it = self.effects.iter();
        let of_it = of_it
            .filter(|(check, class, _)| *check == violation.check && *class == violation.class);
        Known {
            told: self.told.clone(),
            effects: of_it.map(|(_, _, effects)| effects.clone()).collect(),
        }
    }

    pub(super) fn take_down(&mut self, confirmed: Confirmed<R>) {
        let finding = match confirmed {
            Confirmed::Finding(finding) => finding,
            Confirmed::Known => return,
            Confirmed::No => {
                self.summary.unconfirmed += 1;
                return;
            }
        };
        let Some(finding) = self.told.tell(*finding) else {
            return;
        };
        let Violation { check, class, .. } = &finding.violation;
        self.effects
            .push((check.clone(), class.clone(), finding.effects()));
        self.summary.findings += 1;
        (self.emit)(Event::Finding(&finding));
    }
}
