//! Shows the progress of a campaign: a status line on a terminal, otherwise a new line now and then.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use cc_lb_fuzz::campaign::Summary;
use cc_lb_fuzz::generate::Budget;
use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is printed if there is no terminal.
const LINES_EVERY: Duration = Duration::from_secs(10);

pub struct Progress {
    budget: Budget,
    shown: Shown,
}

enum Shown {
    Nothing,
    Bar(ProgressBar),
    /// With the time of the last line.
    Lines(Instant),
}

impl Progress {
    pub fn new(budget: Budget, quiet: bool) -> Self {
        let shown = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Shown::Nothing,
            (false, true) => Shown::Bar(bar()),
            (false, false) => Shown::Lines(Instant::now()),
        };
        Self { budget, shown }
    }

    pub fn update(&mut self, summary: &Summary) {
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => bar.set_message(text(summary, self.budget)),
            Shown::Lines(last) if last.elapsed() >= LINES_EVERY => {
                *last = Instant::now();
                // The standard error may be closed.
                let _ = writeln!(std::io::stderr(), "{}", text(summary, self.budget));
            }
            Shown::Lines(_) => {}
        }
    }

    /// Prints something else without the status line.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(print),
            _ => print(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The phase, the counts, the rate and the remaining time.
fn text(summary: &Summary, budget: Budget) -> String {
    let seconds = summary.elapsed.as_secs_f64().max(1e-3);
    let left = match budget {
        Budget::Time(time) => time.saturating_sub(summary.elapsed).as_secs(),
        Budget::Cases(cases) => {
            let per_case = seconds / summary.cases.max(1) as f64;
            (cases.saturating_sub(summary.cases) as f64 * per_case) as u64
        }
    };
    format!(
        "{}: {} cases, {} dispatches ({:.0}/s), {} findings, {left} s left",
        summary.phase.map_or("starting", |phase| phase.name()),
        summary.cases,
        summary.dispatches(),
        summary.dispatches() as f64 / seconds,
        summary.findings
    )
}
