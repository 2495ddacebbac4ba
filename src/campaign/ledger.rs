//! What a campaign knows: what was handed out, what came in, and what became of it.
//!
//! Bugs in this module look like a violation that was seen and is in no report.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::block::{Block, Stopped, depth_at};
use super::confirm::{Confirmed, Known, joined};
use super::engine::Part;
use super::history::as_seen;
use super::interrupt::Interrupt;
use super::{Budget, CampaignError, Cases, Event, FunctionStats, Plan, Summary};
use crate::case::{Case, MAX_STEPS, ShrinkLimits, tree};
use crate::finding::{Finding, Origin, Told};
use crate::oracle::{NoCrash, Oracle as _, Violation};
use crate::wire::Vocabulary;

/// How much longer than its time a campaign looks into what it found: half of its time, within these bounds.
const OVERTIME: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(10)];

/// Once in so many blocks it is looked into what checks that measure have found.
const MEASURED_ONCE_IN: u64 = 256;

/// So many places of violations are found out at first.
const LOCATED_AT_FIRST: usize = 64;

/// Once in so many blocks one more place is found out.
const LOCATED_ONCE_IN: u64 = 8;

/// The longest time that shrinking one finding takes: its structure, and again its values.
const SHRINK_TIME: Duration = Duration::from_secs(20);

/// The most different violations that are left open with their cases. The others are counted.
const OPEN_MAX: usize = 64;

/// A busy machine may end any call by the clock, but not one of the same function in so many sessions.
const OFTEN: u64 = 3;

/// Whether something is wrong for sure, be it seen once: neither a clock nor another measurement had a say, or a worker died.
fn is_certain(violation: &Violation, by_chance: bool) -> bool {
    let died = violation.check == NoCrash.name();
    died || !violation.is_by_chance() && !by_chance && !violation.is_limit()
}

/// The finding that a violation is which nobody has looked into.
fn unexamined<R>(violation: Violation, case: Case<R>, certain: bool) -> Finding<R> {
    Finding {
        violation,
        case,
        origin: Origin::Unexamined { certain },
        minimal: false,
    }
}

/// A violation that nobody has looked into.
struct Open {
    /// The first case of its session.
    from: u64,
    /// The case that showed it.
    case: u64,
    violation: Violation,
    /// Whether it is so for sure: [it is](is_certain) in one session, or was seen in [several](OFTEN).
    certain: bool,
    /// In how many sessions it was seen and left open.
    times: u64,
    /// The first case of the last of them.
    last: u64,
}

/// The state of a campaign.
pub(super) struct Ledger<R, E> {
    cases: Arc<Cases<R>>,
    start: Instant,
    summary: Summary,
    /// The first case that was not handed out.
    next: u64,
    /// The first case that was not taken down.
    settled: u64,
    /// What came in and waits for what was handed out before it, by the first case.
    waiting: BTreeMap<u64, VecDeque<Part>>,
    /// Whether a lab is at it.
    settling: bool,
    /// What checks that measure have found and nobody has looked into: the end of a session that began with this
    /// case.
    measured: Vec<(u64, Stopped)>,
    /// The first case of the first session in which something is left: cases that the time cut off, or a violation which
    /// nobody has looked into.
    left: Option<u64>,
    /// These violations, by the keys that they would have as findings.
    open: BTreeMap<String, Open>,
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
    /// Ends the campaign early.
    interrupt: Interrupt,
    emit: E,
}

impl<R: Vocabulary, E: FnMut(Event<'_, R>)> Ledger<R, E> {
    pub(super) fn new(cases: Arc<Cases<R>>, interrupt: Interrupt, emit: E) -> Self {
        let functions = cases.plan().menu.functions.iter();
        let mut ledger = Self {
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
            cases,
            next: 0,
            settled: 0,
            waiting: BTreeMap::new(),
            settling: false,
            measured: Vec::new(),
            left: None,
            open: BTreeMap::new(),
            failed: false,
            told: Told::default(),
            located: 0,
            located_by: HashSet::new(),
            effects: Vec::new(),
            interrupt,
            emit,
        };
        ledger.start_clock();
        ledger
    }

    /// The end of the campaign, however `worked` says that it came. What nobody has looked into is emitted.
    ///
    /// # Errors
    /// [`CampaignError::Ended`], with the summary, where the work ended in an error.
    pub(super) fn close(
        ledger: Mutex<Self>,
        worked: Result<(), CampaignError>,
    ) -> Result<Summary, CampaignError> {
        let mut ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        for part in std::mem::take(&mut ledger.waiting).into_values().flatten() {
            ledger.count(&part.block);
            if let Some(stopped) = &part.block.stopped {
                ledger.leave_open(part.from, stopped, |_| true);
            }
        }
        for (from, stopped) in std::mem::take(&mut ledger.measured) {
            ledger.leave_open(from, &stopped, |found| found.measured);
        }
        ledger.emit_open();
        ledger.tell_where_to_resume();
        let mut summary = ledger.summary;
        summary.elapsed = ledger.start.elapsed();
        summary.interrupted = ledger.interrupt.is_requested();
        match worked {
            Ok(()) | Err(CampaignError::Interrupted) => Ok(summary),
            Err(error) => Err(CampaignError::Ended {
                summary: Box::new(Summary {
                    interrupted: true,
                    ..summary
                }),
                source: Box::new(error),
            }),
        }
    }

    /// From here on the time counts: what ran before a plan takes nothing of it.
    pub(super) fn start_clock(&mut self) {
        self.start = Instant::now();
        let time_over = match self.budget() {
            Budget::Cases(_) => None,
            Budget::Time(time) => {
                let [least, most] = OVERTIME;
                self.start
                    .checked_add(time.saturating_add((time / 2).clamp(least, most)))
            }
        };
        self.interrupt = self.interrupt.with_time_over(time_over);
    }

    /// What ends the campaign early, or when its time is over.
    pub(super) fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// A lab failed: nothing more is handed out.
    pub(super) fn fail(&mut self) {
        self.failed = true;
    }

    /// Leaves those violations of the end of a session open that nobody has looked into.
    pub(super) fn leave_open(
        &mut self,
        from: u64,
        stopped: &Stopped,
        is_open: impl Fn(&Violation) -> bool,
    ) {
        for violation in stopped.violations.iter().filter(|found| is_open(found)) {
            if !self.is_known(violation) {
                self.leave_violation_open(from, stopped, violation);
            }
        }
    }

    /// A violation for which there was no time.
    pub(super) fn leave_violation_open(
        &mut self,
        from: u64,
        stopped: &Stopped,
        violation: &Violation,
    ) {
        self.leave_from(from);
        let key = violation.key();
        let times = self.times_open(&key, from);
        let is_seen_often = times >= OFTEN && !violation.measured && !violation.is_limit();
        let certain = is_seen_often || is_certain(violation, stopped.by_chance);
        self.count_unexamined(certain);
        let is_surer = |open: &Open| certain && !open.certain;
        if certain && self.open.len() >= OPEN_MAX && !self.open.contains_key(&key) {
            let unsure = self.open.iter().find(|(_, open)| !open.certain);
            if let Some(unsure) = unsure.map(|(key, _)| key.clone()) {
                self.open.remove(&unsure);
            }
        }
        let has_room = self.open.len() < OPEN_MAX;
        if self.open.get(&key).map_or(has_room, is_surer) {
            let open = Open {
                from,
                case: stopped.case,
                violation: violation.clone(),
                certain,
                times,
                last: from,
            };
            self.open.insert(key, open);
        }
        self.tell_where_to_resume();
    }

    /// In how many sessions such a violation was left open, that which began with this case included.
    fn times_open(&mut self, key: &str, from: u64) -> u64 {
        self.open.get_mut(key).map_or(1, |open| {
            open.times += u64::from(open.last != from);
            open.last = from;
            open.times
        })
    }

    /// Emits what a stored case showed and nobody could look into. Where to resume is not moved: such cases always run.
    pub(super) fn leave_stored_open(
        &mut self,
        case: &Case<R>,
        violations: Vec<Violation>,
        by_chance: bool,
    ) {
        let mut seen = HashSet::new();
        for violation in violations {
            if self.is_known(&violation) || !seen.insert(violation.key()) {
                continue;
            }
            let certain = is_certain(&violation, by_chance);
            self.count_unexamined(certain);
            let finding = unexamined(violation, case.clone(), certain);
            (self.emit)(Event::Finding(&finding));
        }
    }

    /// Counts a violation that nobody has looked into.
    fn count_unexamined(&mut self, certain: bool) {
        self.summary.unexamined += 1;
        self.summary.unexamined_for_sure += u64::from(certain);
    }

    /// Emits what was left open, but for what was found elsewhere meanwhile.
    fn emit_open(&mut self) {
        for open in std::mem::take(&mut self.open).into_values() {
            if self.is_known(&open.violation) {
                continue;
            }
            let case = joined(&self.history(open.from, open.case), MAX_STEPS);
            let finding = unexamined(open.violation, case, open.certain);
            (self.emit)(Event::Finding(&finding));
        }
    }

    /// Something is left in the session that began with this case.
    pub(super) fn leave_from(&mut self, from: u64) {
        self.left = Some(self.left.map_or(from, |first| first.min(from)));
    }

    /// Behind no case that has not run, and no violation that nobody has looked into: one of a check that measures waits for
    /// a while.
    fn tell_where_to_resume(&mut self) {
        let waiting = self.measured.iter().map(|(from, _)| *from);
        let left = waiting.chain(self.left).min();
        // Sessions are run whole.
        let session = |case: u64| self.cases.plan().session_of(case).start;
        let at_most = left.map_or(self.summary.done, session);
        self.summary.resume_at = self.summary.done.min(at_most);
    }

    /// What a session that began with one case had seen when it came to another, that one last.
    pub(super) fn history(&self, from: u64, case: u64) -> Vec<Case<R>> {
        let before = (from..case).map(|case| as_seen(self.cases.nth(case), depth_at(case)));
        before.chain([self.cases.nth(case)]).collect()
    }

    /// Leaves out the first cases, up to this one: whole sessions only.
    pub(super) fn begin_at(&mut self, case: u64) {
        self.settled = self.cases.plan().session_of(case).start;
        self.next = self.settled;
        self.summary.from = self.settled;
        self.summary.done = self.settled;
        self.summary.resume_at = self.settled;
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

    /// The next block: the cases of a session.
    pub(super) fn take(&mut self) -> Option<(Plan, Range<u64>, Option<Instant>)> {
        let deadline = self.deadline();
        let last = match self.budget() {
            Budget::Cases(cases) => cases,
            Budget::Time(_) => u64::MAX,
        };
        let last = last.min(self.cases.count().unwrap_or(u64::MAX));
        let end = last.min(self.cases.plan().session_of(self.next).end);
        let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if self.failed || self.interrupt.is_requested() || late || self.next >= end {
            return None;
        }
        let cases = self.next..end;
        self.next = end;
        Some((self.cases.plan().clone(), cases, deadline))
    }

    /// What a lab made of a block, given by its first case.
    pub(super) fn take_in(&mut self, first: u64, parts: VecDeque<Part>) {
        self.waiting.insert(first, parts);
    }

    pub(super) fn next_to_settle(&mut self) -> Option<VecDeque<Part>> {
        if self.settling || self.failed {
            return None;
        }
        let parts = self.waiting.remove(&self.settled)?;
        self.settling = true;
        Some(parts)
    }

    /// What is left of a block that could not be settled.
    pub(super) fn put_back(&mut self, parts: VecDeque<Part>) {
        self.waiting.insert(self.settled, parts);
        self.settling = false;
    }

    pub(super) fn settled(&mut self) {
        self.settled = self.cases.plan().session_of(self.settled).end;
        self.settling = false;
        self.summary.done = self.settled.min(self.next);
        self.tell_where_to_resume();
        self.summary.elapsed = self.start.elapsed();
        self.summary.phase = Some(self.cases.leading(self.settled.min(self.next)));
        (self.emit)(Event::Progress(&self.summary));
    }

    pub(super) fn keep_measured(&mut self, from: u64, stopped: Stopped) {
        self.measured.push((from, stopped));
    }

    pub(super) fn take_measured(&mut self, at_the_end: bool) -> Vec<(u64, Stopped)> {
        let due = if at_the_end {
            // The last lab to end finds it so.
            !self.settling && self.waiting.is_empty()
        } else {
            let sessions = self.cases.plan().sessions_before(self.settled);
            sessions % MEASURED_ONCE_IN == MEASURED_ONCE_IN - 1
        };
        if due {
            std::mem::take(&mut self.measured)
        } else {
            Vec::new()
        }
    }

    pub(super) fn count(&mut self, block: &Block) {
        let summary = &mut self.summary;
        summary.cases += block.cases;
        summary.slowest = summary.slowest.max(block.slowest);
        summary.memory = summary.memory.max(block.memory);
        for (stats, counts) in summary.functions.iter_mut().zip(&block.counts) {
            stats.counts.add(counts);
        }
    }

    /// Whether the violation is known without a look at its case.
    pub(super) fn is_known(&self, violation: &Violation) -> bool {
        self.told.has(violation)
    }

    /// Whether to find out where in the plugin a violation is that this case shows, which takes as long as some hundred
    /// cases, while a plugin may show the same one again and again. A case that differs from the sample in the same fields as
    /// one before most often does: such wait for their turn, which comes once in so many blocks.
    pub(super) fn may_locate(&mut self, violation: &Violation, case: u64) -> bool {
        let case = self.cases.nth(case);
        let fields: BTreeSet<_> = case
            .steps
            .iter()
            .flat_map(|step| tree::unlike_the_sample(&step.request))
            .map(|(field, _)| field)
            .collect();
        let kind = (violation.key(), fields);
        let is_new = !self.located_by.contains(&kind);
        let is_the_first = !self.located_by.iter().any(|(key, _)| *key == kind.0);
        if is_new && (is_the_first || self.located_by.len() < LOCATED_AT_FIRST) {
            self.located_by.insert(kind);
            return true;
        }
        let turns = self.cases.plan().sessions_before(self.settled) / LOCATED_ONCE_IN;
        let is_its_turn = self.located < turns;
        self.located += u64::from(is_its_turn);
        is_its_turn
    }

    /// A violation did not show again: the next one of its key is looked at as if it were the first.
    pub(super) fn forget_located(&mut self, violation: &Violation) {
        let key = violation.key();
        self.located_by.retain(|(of, _)| *of != key);
    }

    /// `None` where the time is over.
    pub(super) fn time_to_shrink(&self, measured: bool) -> Option<ShrinkLimits> {
        // A try of what is measured may take all the time that a dispatch has, and there are few.
        let part = if measured { 4 } else { 16 };
        if self.interrupt.is_requested() || self.interrupt.is_over() {
            return None;
        }
        let time = match self.budget() {
            Budget::Cases(_) => SHRINK_TIME,
            Budget::Time(time) => SHRINK_TIME.min(time / part).max(Duration::from_secs(1)),
        };
        Some(ShrinkLimits {
            time,
            ..ShrinkLimits::default()
        })
    }

    pub(super) fn known(&self, violation: &Violation) -> Known {
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
        if finding.violation.is_limit() {
            self.summary.limits += 1;
        } else {
            self.summary.findings += 1;
        }
        (self.emit)(Event::Finding(&finding));
    }
}
