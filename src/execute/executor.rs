//! The interface of executors, which run and judge cases in this process or in a worker.

use crate::case::Case;
use crate::check::{CheckRef, Nature, Violation};
use crate::host::Site;
use crate::record::Subject;

/// How often a measured violation must reproduce on fresh sessions to count.
pub(crate) const MEASURED_REPEATS: usize = 3;

/// Runs and judges cases: in this process ([`InProcessExecutor`](super::InProcessExecutor)), or in
/// a [worker](crate::worker::Workers).
pub trait Executor<R> {
    /// The reason why a case could not be judged.
    type Error: std::error::Error;

    /// Runs a case alone on a fresh session, as deep as the check needs, and returns the violations
    /// of all checks. Measures once; another run may have another result.
    ///
    /// # Errors
    /// Returns an error if no session can be opened, or no worker can be started.
    fn judge(&mut self, case: &Case<R>, check: CheckRef) -> Result<Vec<Violation>, Self::Error>;

    /// Does the same, but keeps a measured violation only if it shows every time.
    ///
    /// # Errors
    /// Returns the errors of [`Executor::judge`].
    fn judge_repeatedly(
        &mut self,
        case: &Case<R>,
        check: CheckRef,
    ) -> Result<Vec<Violation>, Self::Error> {
        let found = self.judge(case, check)?;
        reproducible(found, || self.judge(case, check))
    }

    /// Locates a violation in the plugin by running the case on a metered copy. Returns `None` if
    /// that fails. If the violation has a site and the case shows it there too, returns that site.
    ///
    /// # Errors
    /// Returns the errors of [`Executor::judge`].
    fn locate(
        &mut self,
        case: &Case<R>,
        violation: &Violation,
    ) -> Result<Option<Site>, Self::Error> {
        let _ = (case, violation);
        Ok(None)
    }

    /// Isolates what runs next from what ran before, if needed in a new process.
    fn start_fresh(&mut self) {}

    /// Returns the subject that answers the requests.
    fn subject(&self) -> Subject;
}

/// Returns the violations without measured ones that did not reproduce.
pub(super) fn reproducible<E>(
    mut found: Vec<Violation>,
    mut again: impl FnMut() -> Result<Vec<Violation>, E>,
) -> Result<Vec<Violation>, E> {
    for _ in 1..MEASURED_REPEATS {
        if !found.iter().any(must_reproduce) {
            break;
        }
        let again = again()?;
        let shows = |one: &Violation| again.iter().any(|other| one.is_like(other, false));
        found.retain(|violation| !must_reproduce(violation) || shows(violation));
    }
    Ok(found)
}

/// Returns whether a violation must reproduce to count. The peak memory is measured too, but shows
/// only once.
pub(crate) fn must_reproduce(violation: &Violation) -> bool {
    violation.measured && violation.nature() != Nature::PeakMemory
}
