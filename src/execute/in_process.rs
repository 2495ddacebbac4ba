//! Runs and judges cases in this process.

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

/// The most violations of a case with equal keys that are located separately, because each takes a
/// run of the case.
const LOCATED_ALIKE_MAX: usize = 8;

/// The cases of the plan that ran last.
pub(crate) struct Latest<R>(Option<Arc<Cases<R>>>);

impl<R: Vocabulary> Latest<R> {
    pub(crate) fn get(&mut self, plan: &Plan) -> Arc<Cases<R>> {
        match &mut self.0 {
            Some(cases) if cases.plan() == plan => Arc::clone(cases),
            latest => Arc::clone(latest.insert(Arc::new(Cases::new(plan)))),
        }
    }
}

/// A runner, and the checks that judge its records.
pub struct InProcessExecutor<'h, H: Host, R = Request> {
    pub(crate) runner: Runner<'h, H, R>,
    checks: &'h [&'h dyn Check],
    pub(crate) cases: Latest<R>,
}

impl<'h, H: Host, R: Vocabulary> InProcessExecutor<'h, H, R> {
    /// Opens a session of the host, to be judged by all of [`CHECKS`].
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] if the host cannot open a session.
    pub fn new(host: &'h H, subject: Subject) -> Result<Self, HandshakeError> {
        Ok(Self {
            runner: Runner::new(host, subject)?,
            checks: CHECKS,
            cases: Latest(None),
        })
    }

    /// Sets the checks, which may include your own.
    #[must_use]
    pub fn with_checks(self, checks: &'h [&'h dyn Check]) -> Self {
        Self { checks, ..self }
    }

    /// Returns the runner, to configure it.
    pub fn runner(&mut self) -> &mut Runner<'h, H, R> {
        &mut self.runner
    }

    /// Returns the violations in a record.
    pub(crate) fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        check_all(self.checks, record)
    }

    /// Runs a case alone on a fresh session, and returns the record and the violations. A measured
    /// violation is included only if it shows every time. Violations have their sites, as far as
    /// they can be located.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] if the host cannot open a session.
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

    /// Returns the violations with their sites, as far as they can be located. Violations with
    /// equal keys may have different sites, so each is located at its own step.
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

    /// Locates a violation of a case after this many others with the same key.
    fn locate_nth(
        &mut self,
        case: &Case<R>,
        violation: &Violation,
        earlier: usize,
    ) -> Result<Option<Site>, HandshakeError> {
        let shown = |record: &CaseRecord| {
            let indices = record.distinct_steps().map(|(index, _)| index);
            let mut shown = indices.filter(|index| is_shown_by(violation, record, *index));
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
