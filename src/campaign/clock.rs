//! How long a campaign runs, and looks into what it found.

use std::time::{Duration, Instant};

use super::interrupt::Interrupt;
use crate::case::ShrinkLimits;
use crate::generate::Budget;

/// How much longer than its time a campaign looks into what it found: half of its time, within these bounds.
const OVERTIME: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(10)];

/// The longest time that shrinking one finding takes: its structure, and again its values.
const SHRINK_TIME: Duration = Duration::from_secs(20);

/// The time of a campaign, and what ends it early.
pub(super) struct Clock {
    start: Instant,
    budget: Budget,
    /// Over when the overtime is, if nobody asks for an end before.
    interrupt: Interrupt,
}

impl Clock {
    /// From now on.
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

    /// The same from now on: what ran before takes nothing of it.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.budget, &self.interrupt);
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// What ends the campaign early, or when its time is over.
    pub(super) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// When no further case is begun.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.budget {
            Budget::Cases(_) => None,
            Budget::Time(time) => self.start.checked_add(time),
        }
    }

    /// Whether nothing new is begun: the time is over, or somebody asked for an end.
    pub(super) fn is_ending(&self) -> bool {
        let deadline = self.deadline();
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.interrupt.is_requested() || is_late
    }

    /// The first case that is not to run, whatever the time is.
    pub(super) fn case_limit(&self) -> u64 {
        match self.budget {
            Budget::Cases(cases) => cases,
            Budget::Time(_) => u64::MAX,
        }
    }

    /// How far one violation may be shrunk; `None` where the time is over.
    pub(super) fn time_to_shrink(&self, measured: bool) -> Option<ShrinkLimits> {
        // A try of what is measured may take all the time that a dispatch has, and there are few.
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
