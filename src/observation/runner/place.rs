//! Where in a plugin something is that a case shows.

use super::{Depth, Runner, Subject};
use crate::case::{Case, Step};
use crate::host::{Call, Cause, HandshakeError, Host, Site};
use crate::observation::locate::locate;
use crate::observation::{CaseRecord, memory};
use crate::wire::Vocabulary;

impl<H: Host, R: Vocabulary> Runner<'_, H, R> {
    /// Where in the plugin a step is, by a run of a copy that is metered; `shown` says which step of the record. `None` where
    /// that cannot be told, or there is no such step.
    ///
    /// # Errors
    /// [`HandshakeError`] where the host opens no session.
    pub fn locate(
        &mut self,
        case: &Case<R>,
        shown: &dyn Fn(&CaseRecord) -> Option<usize>,
    ) -> Result<Option<Site>, HandshakeError> {
        if self.subject == Subject::Puppet {
            return Ok(None);
        }
        let record = self.run_alone(case, Depth::Light)?;
        let Some(shown) = shown(&record) else {
            return Ok(None);
        };
        let steps = calls_of_one_instance(case, &record, shown);
        let cause = record.steps[shown].call.cause.as_ref();
        let host = self.host;
        let before = memory::peak();
        let mut beat = |function| self.beat(function);
        let site = locate(host, &steps, cause, &mut beat);
        // What the copy took is nothing that the next case takes.
        if let (Some((baseline, last)), Some(before), Some(peak)) =
            (&mut self.peaks, before, memory::peak())
        {
            *baseline += peak.saturating_sub(before);
            *last = peak;
        }
        Ok(site)
    }
}

/// What the instance was called with on which this step was dispatched, the step last: each step as often as it was
/// dispatched, and the healthy calls in between. Behind a call that ended abnormally there is a fresh instance: the copy has
/// more fuel and time, and would not end there.
fn calls_of_one_instance<R: Vocabulary>(
    case: &Case<R>,
    record: &CaseRecord,
    shown: usize,
) -> Vec<Step<R>> {
    let ended = |call: &Call| call.cause.as_ref().is_some_and(Cause::is_abnormal);
    let mut steps = Vec::new();
    let mut probes = record.probes.iter().peekable();
    for (place, seen) in record.steps[..=shown].iter().enumerate() {
        if place > 0 && ended(&record.steps[place - 1].call) {
            steps.clear();
        }
        while let Some(probe) = probes.next_if(|probe| probe.after <= place) {
            let function = R::functions().iter().position(|of| of == probe.function);
            steps.extend(function.map(Step::healthy));
            if ended(&probe.call) {
                steps.clear();
            }
        }
        steps.push(case.steps[seen.place].clone());
    }
    steps
}
