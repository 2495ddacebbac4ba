//! Where a case is judged: in this process, or in a worker.

use crate::case::Case;
use crate::check::{CheckRef, Nature, Violation};
use crate::host::Site;
use crate::record::Subject;

/// How often a violation of a check that measures must show, on fresh sessions, to count.
pub(crate) const MEASURED_REPEATS: usize = 3;

/// Where cases run: in this process ([`InProcessExecutor`](super::InProcessExecutor)), or in a [worker](crate::worker::Workers).
pub trait Executor<R> {
    /// Why a case could not be judged.
    type Error: std::error::Error;

    /// Runs a case alone on a fresh session, as deep as a check needs it, and returns what the checks find. Measured
    /// once: what the clock says may be otherwise the next time.
    ///
    /// # Errors
    /// Where no session can be opened, or no worker be started.
    fn judge(&mut self, case: &Case<R>, check: CheckRef) -> Result<Vec<Violation>, Self::Error>;

    /// The same, but what a check that measures finds is there only if it shows every time.
    ///
    /// # Errors
    /// As [`Executor::judge`].
    fn judge_repeatedly(
        &mut self,
        case: &Case<R>,
        check: CheckRef,
    ) -> Result<Vec<Violation>, Self::Error> {
        let found = self.judge(case, check)?;
        reproducible(found, || self.judge(case, check))
    }

    /// Where in the plugin a violation is that a case shows, by a run of a copy that is metered; `None` where that cannot be
    /// told. Of the places of one that has a site it is that, if the case shows it there.
    ///
    /// # Errors
    /// As [`Executor::judge`].
    fn locate(
        &mut self,
        case: &Case<R>,
        violation: &Violation,
    ) -> Result<Option<Site>, Self::Error> {
        let _ = (case, violation);
        Ok(None)
    }

    /// What runs next is not to meet what ran before: in a lab that is a process, in a new one.
    fn start_fresh(&mut self) {}

    /// Who answers the requests.
    fn subject(&self) -> Subject;
}

/// What was found without what a check that measures found by chance.
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

/// Whether chance may have had a say in it. The most memory that a process had is measured, but shows once.
pub(crate) fn must_reproduce(violation: &Violation) -> bool {
    violation.measured && violation.nature() != Nature::PeakMemory
}
