//! Attributes the death of a worker to the case that was running.

use std::ops::Range;

use super::Worker;
use crate::campaign::{Block, BlockExecutor as _, Stopped};
use crate::generate::Plan;
use crate::worker::process::End;

impl Worker {
    /// Attributes the death of the worker to a case, and runs the cases before it again for their
    /// results. The death is in the block whatever becomes of them.
    pub(super) fn attribute_crash(&mut self, plan: &Plan, cases: Range<u64>, end: &End) -> Block {
        // If the plugin was never opened, no case has run.
        let case = if self.opened {
            end.heartbeat.case.clamp(cases.start, cases.end - 1)
        } else {
            cases.end - 1
        };
        let mut block = Block::new(plan);
        let mut violations = self.violations_of(end);
        let mut flaky = end.is_flaky();
        if self.opened && case > cases.start {
            // They take as long as before; without them only the counts are lower.
            if let Ok(before) = self.run(plan, cases.start..case, None) {
                block.add(&before);
                // By chance one of them may show a violation this time.
                if let Some(stopped) = before.stopped {
                    flaky |= stopped.flaky;
                    violations.splice(0..0, stopped.violations);
                }
            }
        }
        block.cases += 1;
        block.stopped = Some(Stopped {
            case,
            violations,
            flaky,
        });
        block
    }
}
