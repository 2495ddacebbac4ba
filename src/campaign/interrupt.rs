//! Ending a campaign before its cases are done.
//!
//! Bugs in this module look like a campaign that goes on after it was told to end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long work that is running may go on once an end was asked for.
const EXIT_GRACE: Duration = Duration::from_secs(2);

/// Asks a campaign to end. Clones ask the same campaign.
///
/// The first [request](Interrupt::request) lets what is running go on for two seconds: a block of cases, the confirmation
/// of a finding. The second one ends it at once. Either way everything that was seen is emitted and is in the summary.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    asked: Arc<Mutex<Asked>>,
    /// When the campaign's own time is over.
    time_over: Option<Instant>,
    /// Whether the first request is an end at once.
    at_once: bool,
}

#[derive(Debug, Default)]
struct Asked {
    requested: bool,
    /// From when on nothing is waited for.
    over: Option<Instant>,
}

impl Interrupt {
    /// Nobody has asked for an end yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for an end; asked for twice it is an end at once.
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

    /// Whether an end was asked for: nothing new is begun.
    pub fn is_requested(&self) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.requested
    }

    /// Whether what is still running is not waited for any more.
    pub(super) fn is_over(&self) -> bool {
        let (requested, over) = {
            let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            (asked.requested, asked.over)
        };
        let ends = over.into_iter().chain(self.time_over).min();
        self.at_once && requested || ends.is_some_and(|end| Instant::now() >= end)
    }

    /// The same, over once an end was asked for: for what is of no use before it is done.
    #[cfg(unix)]
    pub(super) fn at_once(&self) -> Self {
        Self {
            at_once: true,
            ..self.clone()
        }
    }

    /// The same, over at this time at the latest; never, where there is none.
    pub(super) fn with_time_over(&self, time_over: Option<Instant>) -> Self {
        Self {
            time_over,
            ..self.clone()
        }
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
