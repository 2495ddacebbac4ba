//! The time limits of a campaign: for running cases, and for examining what it found.

use std::time::{Duration, Instant};

use super::interrupt::Interrupt;
use crate::case::ShrinkLimits;
use crate::generate::Budget;

/// The bounds of the overtime, in which a campaign examines what it found after its time is over.
/// The overtime is half of its time.
const OVERTIME: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(10)];

/// The longest time for shrinking one finding, once for its structure and once for its values.
const SHRINK_TIME: Duration = Duration::from_secs(20);

/// The time of a campaign, and what ends it early.
pub(super) struct Clock {
    start: Instant,
    budget: Budget,
    /// Over at the end of the overtime, or earlier if requested.
    interrupt: Interrupt,
}

impl Clock {
    /// Starts the clock.
    pub(super) fn new(budget: Budget, interrupt: &Interrupt) -> Self {
        let start = Instant::now();
        let time_over = match budget {
            Budget::Cases(_) => None,
            Budget::Time(time) => {
                let [least, most] = OVERTIME;
                start.checked_add(time.saturating_add((time / 2).clamp(least, most)))
            }
        };
        Self {
            start,
            budget,
            interrupt: interrupt.with_time_over(time_over),
        }
    }

    /// Restarts the clock, so that earlier work does not count.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.budget, &self.interrupt);
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns the interrupt that ends the campaign early or when its time is over.
    pub(super) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Returns the time after which no case begins.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.budget {
            Budget::Cases(_) => None,
            Budget::Time(time) => self.start.checked_add(time),
        }
    }

    /// Returns whether nothing new begins: the time is over, or an end was requested.
    pub(super) fn is_ending(&self) -> bool {
        let deadline = self.deadline();
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.interrupt.is_requested() || is_late
    }

    /// Returns the index after the last case to run, regardless of time.
    pub(super) fn case_limit(&self) -> u64 {
        match self.budget {
            Budget::Cases(cases) => cases,
            Budget::Time(_) => u64::MAX,
        }
    }

    /// Returns the limits for shrinking one violation; `None` if the time is over.
    pub(super) fn time_to_shrink(&self, measured: bool) -> Option<ShrinkLimits> {
        // A candidate for a measured violation may take the whole time limit of a dispatch, but
        // there are few.
        let part = if measured { 4 } else { 16 };
        if self.interrupt.is_requested() || self.interrupt.is_over() {
            return None;
        }
        let time = match self.budget {
            Budget::Cases(_) => SHRINK_TIME,
            Budget::Time(time) => SHRINK_TIME.min(time / part).max(Duration::from_secs(1)),
        };
        Some(ShrinkLimits {
            time,
            ..ShrinkLimits::default()
        })
    }
}
