//! Labs: where cases run.

use std::collections::HashMap;
use std::sync::Arc;

use super::executor::{Executor, reproducible};
use super::runner::Runner;
use crate::case::{Case, Depth};
use crate::check::{CHECKS, Check, CheckRef, Violation, check_all, is_shown_by};
use crate::generate::{Cases, Plan};
use crate::host::{HandshakeError, Host, Site};
use crate::record::{CaseRecord, Subject};
use crate::wire::{Request, Vocabulary};

/// So many violations of a case that read the same are each located: it takes a run of the case.
const LOCATED_ALIKE_MAX: usize = 8;

/// The cases of the plan that was run last.
pub(crate) struct Latest<R>(Option<Arc<Cases<R>>>);

impl<R: Vocabulary> Latest<R> {
    pub(crate) fn get(&mut self, plan: &Plan) -> Arc<Cases<R>> {
        match &mut self.0 {
            Some(cases) if cases.plan() == plan => Arc::clone(cases),
            latest => Arc::clone(latest.insert(Arc::new(Cases::new(plan)))),
        }
    }
}

/// A runner and the checks that judge what it sees.
pub struct InProcessExecutor<'h, H: Host, R = Request> {
    pub(crate) runner: Runner<'h, H, R>,
    checks: &'h [&'h dyn Check],
    pub(crate) cases: Latest<R>,
}

impl<'h, H: Host, R: Vocabulary> InProcessExecutor<'h, H, R> {
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
    pub fn with_checks(self, checks: &'h [&'h dyn Check]) -> Self {
        Self { checks, ..self }
    }

    /// The runner, to set it up.
    pub fn runner(&mut self) -> &mut Runner<'h, H, R> {
        &mut self.runner
    }

    /// Everything that the checks find in a record.
    pub(crate) fn check(&self, record: &CaseRecord) -> Vec<Violation> {
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
        let found = reproducible(found, || {
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

impl<H: Host, R: Vocabulary> Executor<R> for InProcessExecutor<'_, H, R> {
    type Error = HandshakeError;

    fn judge(&mut self, case: &Case<R>, check: CheckRef) -> Result<Vec<Violation>, HandshakeError> {
        let record = self.runner.run_alone(case, check.depth())?;
        Ok(self.check(&record))
    }

    fn locate(
        &mut self,
        case: &Case<R>,
        violation: &Violation,
    ) -> Result<Option<Site>, HandshakeError> {
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
