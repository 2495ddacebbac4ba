//! Interrupts, which end a campaign before all of its cases have run.
//!
//! Bugs in this module look like a campaign that continues after an interrupt.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::CampaignError;
use crate::case::Case;
use crate::check::{CheckRef, Violation};
use crate::execute::Executor;
use crate::host::Site;
use crate::record::Subject;

/// How long running work may continue after an interrupt.
const EXIT_GRACE: Duration = Duration::from_secs(2);

/// A request to end a campaign. Clones end the same campaign.
///
/// The first [request](Interrupt::request) gives running work, such as a block of cases or the
/// confirmation of a finding, two seconds. The second one ends it at once. In both cases everything
/// that was seen is emitted and is in the summary.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    asked: Arc<Mutex<Asked>>,
    /// When the campaign's own time is over.
    time_over: Option<Instant>,
    /// Whether the first request ends running work at once.
    at_once: bool,
}

#[derive(Debug, Default)]
struct Asked {
    requested: bool,
    /// When running work is abandoned.
    over: Option<Instant>,
}

impl Interrupt {
    /// Returns an interrupt that has not been requested.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests an end; a second request ends running work at once.
    pub fn request(&self) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        asked.over = Some(if asked.requested {
            now
        } else {
            now + EXIT_GRACE
        });
        asked.requested = true;
    }

    /// Returns whether an end was requested, so that nothing new begins.
    pub fn is_requested(&self) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.requested
    }

    /// Returns whether running work is abandoned.
    pub(crate) fn is_over(&self) -> bool {
        let (requested, over) = {
            let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            (asked.requested, asked.over)
        };
        let ends = over.into_iter().chain(self.time_over).min();
        self.at_once && requested || ends.is_some_and(|end| Instant::now() >= end)
    }

    /// Returns the same interrupt, but one that abandons work at the first request, for work that
    /// is useless until it is done.
    #[cfg(unix)]
    pub(crate) fn at_once(&self) -> Self {
        Self {
            at_once: true,
            ..self.clone()
        }
    }

    /// Returns the same interrupt, but one that is over at this time at the latest, if there is
    /// one.
    pub(super) fn with_time_over(&self, time_over: Option<Instant>) -> Self {
        Self {
            time_over,
            ..self.clone()
        }
    }
}

/// An executor that does nothing more once the interrupt is over.
pub(crate) struct Interruptible<'x, X> {
    pub(crate) executor: &'x mut X,
    pub(crate) interrupt: Interrupt,
}

impl<X> Interruptible<'_, X> {
    fn check(&self) -> Result<(), CampaignError> {
        if self.interrupt.is_over() {
            return Err(CampaignError::Interrupted);
        }
        Ok(())
    }
}

impl<R, X: Executor<R, Error: Into<CampaignError>>> Executor<R> for Interruptible<'_, X> {
    type Error = CampaignError;

    fn judge(&mut self, case: &Case<R>, check: CheckRef) -> Result<Vec<Violation>, CampaignError> {
        self.check()?;
        self.executor.judge(case, check).map_err(Into::into)
    }

    fn locate(
        &mut self,
        case: &Case<R>,
        violation: &Violation,
    ) -> Result<Option<Site>, CampaignError> {
        self.check()?;
        self.executor.locate(case, violation).map_err(Into::into)
    }

    fn start_fresh(&mut self) {
        self.executor.start_fresh();
    }

    fn subject(&self) -> Subject {
        self.executor.subject()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_is_asked_for_twice_is_an_end_at_once() {
        let interrupt = Interrupt::new();
        assert!(!interrupt.is_requested() && !interrupt.is_over());
        interrupt.clone().request();
        assert!(interrupt.is_requested() && !interrupt.is_over());
        #[cfg(unix)]
        assert!(interrupt.at_once().is_over());
        interrupt.request();
        assert!(interrupt.is_over());
    }

    #[test]
    fn the_end_of_the_time_is_that_of_one_campaign() {
        let interrupt = Interrupt::new();
        let in_time = interrupt.with_time_over(Some(Instant::now()));
        assert!(in_time.is_over() && !in_time.is_requested());
        assert!(!interrupt.is_over());
        in_time.request();
        assert!(interrupt.is_requested());
    }
}
