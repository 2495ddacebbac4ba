//! `no_retry`: one dispatch is at most one call of the guest. A violation signs twice, counts twice, and
//! doubles what a hostile guest may take.

use super::{Oracle, Violation, judge_steps};
use crate::observation::CaseRecord;
use crate::puppet::Ending;

/// Holds when the guest knocked no more often than its program does. The knocks are counted outside of the
/// guest and of the host.
#[derive(Debug)]
pub struct NoRetry;

impl Oracle for NoRetry {
    fn name(&self) -> &'static str {
        "no_retry"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        judge_steps(self, record, |step| {
            let prediction = step.prediction.as_ref()?;
            let (heard, told) = (step.knocks?, prediction.knocks);
            // A program that is not foretold may log what an earlier knock left in a block.
            (heard > told && prediction.ending != Ending::Unknown)
                .then(|| format!("the guest was to knock {told} times and knocked {heard} times"))
        })
    }
}
