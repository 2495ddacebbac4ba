//! `no_retry`: one dispatch is at most one call of the guest. A violation signs twice, counts twice, and
//! doubles what a hostile guest may take.

use super::{Oracle, Violation};
use crate::observation::CaseRecord;

/// Holds when the guest knocked no more often than its program does. The knocks are counted outside of the
/// guest and of the host.
#[derive(Debug)]
pub struct NoRetry;

impl Oracle for NoRetry {
    fn name(&self) -> &'static str {
        "no_retry"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let steps = record.steps.iter().filter_map(|step| {
            let (heard, told) = (step.knocks?, step.prediction.as_ref()?.knocks);
            (heard > told).then(|| {
                Violation::new(
                    self,
                    step.function,
                    format!("the guest was to knock {told} times and knocked {heard} times"),
                )
            })
        });
        steps.collect()
    }
}
