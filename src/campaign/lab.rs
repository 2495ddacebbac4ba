//! Labs: where cases run.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::block::Block;
use super::interrupt::Interrupt;
use super::{CampaignError, Cases, Plan};
use crate::case::Case;
use crate::host::{HandshakeError, Host, Site};
use crate::observation::{CaseRecord, Depth, Runner, Subject};
use crate::oracle::{CHECKS, Oracle, Violation, WithinMemory, all_checks, check_all, is_shown_by};
use crate::wire::{Request, Vocabulary};

/// How often a violation of a check that measures must show, on fresh sessions, to count.
pub(super) const MEASURED_REPEATS: usize = 3;

/// So many violations of a case that read the same are each located: it takes a run of the case.
const LOCATED_ALIKE_MAX: usize = 8;

/// Where cases run: in this process ([`Bench`]), or in a [worker](super::Workers).
pub trait Lab<R> {
    /// Runs cases that share a session: see [`Bench::run_block`]. What kills the lab is a violation like any other.
    ///
    /// # Errors
    /// [`CampaignError`] where no session can be opened, or no worker be started.
    fn run(
        &mut self,
        plan: &Plan,
        cases: Range<u64>,
        deadline: Option<Instant>,
    ) -> Result<Block, CampaignError>;

    /// Runs a case alone on a fresh session, as deep as a check needs it, and returns what the checks find. Measured
    /// once: what the clock says may be otherwise the next time.
    ///
    /// # Errors
    /// [`CampaignError`] where no session can be opened, or no worker be started.
    fn judge(&mut self, case: &Case<R>, check: &str) -> Result<Vec<Violation>, CampaignError>;

    /// The same, but what a check that measures finds is there only if it shows every time.
    ///
    /// # Errors
    /// As [`Lab::judge`].
    fn judge_surely(
        &mut self,
        case: &Case<R>,
        check: &str,
    ) -> Result<Vec<Violation>, CampaignError> {
        let found = self.judge(case, check)?;
        that_shows_again(found, || self.judge(case, check))
    }

    /// Where in the plugin a violation is that a case shows, by a run of a copy that is metered; `None` where that cannot be
    /// told. Of the places of one that has a site it is that, if the case shows it there.
    ///
    /// # Errors
    /// As [`Lab::judge`].
    fn locate(
        &mut self,
        case: &Case<R>,
        violation: &Violation,
    ) -> Result<Option<Site>, CampaignError> {
        let _ = (case, violation);
        Ok(None)
    }

    /// What runs next is not to meet what ran before: in a lab that is a process, in a new one.
    fn begin_afresh(&mut self) {}

    /// Who answers the requests.
    fn subject(&self) -> Subject;
}

/// A lab that does nothing more once the campaign is over.
pub(super) struct Interruptible<'l, L> {
    pub(super) lab: &'l mut L,
    pub(super) interrupt: Interrupt,
}

impl<L> Interruptible<'_, L> {
    fn check(&self) -> Result<(), CampaignError> {
        if self.interrupt.is_over() {
            return Err(CampaignError::Interrupted);
        }
        Ok(())
    }
}

impl<R, L: Lab<R>> Lab<R> for Interruptible<'_, L> {
    fn run(
        &mut self,
        plan: &Plan,
        cases: Range<u64>,
        deadline: Option<Instant>,
    ) -> Result<Block, CampaignError> {
        self.check()?;
        self.lab.run(plan, cases, deadline)
    }

    fn judge(&mut self, case: &Case<R>, check: &str) -> Result<Vec<Violation>, CampaignError> {
        self.check()?;
        self.lab.judge(case, check)
    }

    fn locate(
        &mut self,
        case: &Case<R>,
        violation: &Violation,
    ) -> Result<Option<Site>, CampaignError> {
        self.check()?;
        self.lab.locate(case, violation)
    }

    fn begin_afresh(&mut self) {
        self.lab.begin_afresh();
    }

    fn subject(&self) -> Subject {
        self.lab.subject()
    }
}

/// What was found without what a check that measures found by chance.
fn that_shows_again<E>(
    mut found: Vec<Violation>,
    mut again: impl FnMut() -> Result<Vec<Violation>, E>,
) -> Result<Vec<Violation>, E> {
    for _ in 1..MEASURED_REPEATS {
        if !found.iter().any(must_show_again) {
            break;
        }
        let again = again()?;
        let shows = |one: &Violation| again.iter().any(|other| one.is_like(other, false));
        found.retain(|violation| !must_show_again(violation) || shows(violation));
    }
    Ok(found)
}

/// Whether chance may have had a say in it. The most memory that a process had is measured, but shows once.
pub(super) fn must_show_again(violation: &Violation) -> bool {
    violation.measured && violation.check != WithinMemory.name()
}

/// The cases of the plan that was run last.
pub(super) struct Latest<R>(Option<Arc<Cases<R>>>);

impl<R: Vocabulary> Latest<R> {
    pub(super) fn of(&mut self, plan: &Plan) -> Arc<Cases<R>> {
        match &mut self.0 {
            Some(cases) if cases.plan() == plan => Arc::clone(cases),
            latest => Arc::clone(latest.insert(Arc::new(Cases::of(plan)))),
        }
    }
}

/// A runner and the checks that judge what it sees.
pub struct Bench<'h, H: Host, R = Request> {
    pub(super) runner: Runner<'h, H, R>,
    checks: &'h [&'h dyn Oracle],
    pub(super) cases: Latest<R>,
}

impl<'h, H: Host, R: Vocabulary> Bench<'h, H, R> {
    /// Opens a session of the host; all of [`CHECKS`] judge it.
    ///
    /// # Errors
    /// [`HandshakeError`] where the host opens none.
    pub fn new(host: &'h H, subject: Subject) -> Result<Self, HandshakeError> {
        Ok(Self {
            runner: Runner::new(host, subject)?,
            checks: &CHECKS,
            cases: Latest(None),
        })
    }

    /// The same with these checks, which may be your own, and no others.
    #[must_use]
    pub fn with_checks(self, checks: &'h [&'h dyn Oracle]) -> Self {
        Self { checks, ..self }
    }

    /// The runner, to set it up.
    pub fn runner(&mut self) -> &mut Runner<'h, H, R> {
        &mut self.runner
    }

    /// Everything that the checks find in a record.
    pub(super) fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        check_all(self.checks, record)
    }

    /// Runs a case alone on a fresh session and returns what was seen and what the checks find in it. What a check
    /// that measures finds is there only if it shows every time, and each has its place in the plugin, where that can be told.
    ///
    /// # Errors
    /// [`HandshakeError`] where the host opens no session.
    pub fn judge_alone(
        &mut self,
        case: &Case<R>,
        depth: Depth,
    ) -> Result<(CaseRecord, Vec<Violation>), HandshakeError> {
        let record = self.runner.run_alone(case, depth)?;
        let found = self.check(&record);
        let found = that_shows_again(found, || {
            let again = self.runner.run_alone(case, depth)?;
            Ok::<_, HandshakeError>(self.check(&again))
        })?;
        let located = self.locate_each(case, found)?;
        Ok((record, located))
    }

    /// The same violations with their places in the plugin, where these can be told. Two that read the same may be at two
    /// places: each is looked for at its own step.
    fn locate_each(
        &mut self,
        case: &Case<R>,
        found: Vec<Violation>,
    ) -> Result<Vec<Violation>, HandshakeError> {
        let mut sites: HashMap<String, Vec<Option<Site>>> = HashMap::new();
        let located = found.into_iter().map(|violation| {
            if !violation.can_be_located() {
                return Ok(violation);
            }
            let alike = sites.entry(violation.key()).or_default();
            let earlier = alike.len();
            if earlier < LOCATED_ALIKE_MAX {
                alike.push(self.locate_nth(case, &violation, earlier)?);
            }
            Ok(match alike.last().cloned().flatten() {
                Some(site) => violation.with_site(Some(site)),
                None => violation,
            })
        });
        located.collect()
    }

    /// Where it is that a case shows a violation behind so many others that read the same.
    fn locate_nth(
        &mut self,
        case: &Case<R>,
        violation: &Violation,
        earlier: usize,
    ) -> Result<Option<Site>, HandshakeError> {
        let shown = |record: &CaseRecord| {
            let places = record.distinct_steps().map(|(place, _)| place);
            let mut shown = places.filter(|place| is_shown_by(violation, record, *place));
            shown.nth(earlier)
        };
        self.runner.locate(case, &shown)
    }
}

impl<H: Host, R: Vocabulary> Lab<R> for Bench<'_, H, R> {
    fn run(
        &mut self,
        plan: &Plan,
        cases: Range<u64>,
        deadline: Option<Instant>,
    ) -> Result<Block, CampaignError> {
        Ok(self.run_block(plan, cases, deadline, |_| ())?)
    }

    fn judge(&mut self, case: &Case<R>, check: &str) -> Result<Vec<Violation>, CampaignError> {
        let record = self.runner.run_alone(case, depth_of(check))?;
        Ok(self.check(&record))
    }

    fn locate(
        &mut self,
        case: &Case<R>,
        violation: &Violation,
    ) -> Result<Option<Site>, CampaignError> {
        let mut first = None;
        for earlier in 0..LOCATED_ALIKE_MAX {
            let site = self.locate_nth(case, violation, earlier)?;
            let is_any = violation.site.is_none();
            if is_any || (site.is_some() && site.as_ref() == violation.site.as_deref()) {
                return Ok(site);
            }
            first = first.or(site);
        }
        Ok(first)
    }

    fn subject(&self) -> Subject {
        self.runner.subject()
    }
}

/// How deep a case must be looked into for a check to find something. Of a check that this crate does not have, nobody
/// knows.
pub(super) fn depth_of(check: &str) -> Depth {
    match check {
        "no_leak" => Depth::Soak,
        "no_poison" | "deterministic" | "agrees_with_reference" => Depth::Thorough,
        known if all_checks().any(|check| check.name() == known) => Depth::Light,
        _ => Depth::Thorough,
    }
}
