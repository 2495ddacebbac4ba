//! Locates the step of a case that shows a violation.

use super::Runner;
use crate::case::{Case, Depth, Step};
use crate::execute::locate::locate;
use crate::execute::memory;
use crate::host::{Call, Cause, HandshakeError, Host, Site};
use crate::record::{CaseRecord, Subject};
use crate::wire::Vocabulary;

impl<H: Host, R: Vocabulary> Runner<'_, H, R> {
    /// Locates a step in the plugin with a metered copy. `shown` returns the index of the step in
    /// the record. Returns `None` if the step cannot be located, or there is no such step.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] if the host cannot open a session.
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
        let mut heartbeat = |function| self.heartbeat(function);
        let site = locate(host, &steps, cause, &mut heartbeat);
        // The memory of the copy must not count for the next case.
        if let (Some((baseline, last)), Some(before), Some(peak)) =
            (&mut self.peaks, before, memory::peak())
        {
            *baseline += peak.saturating_sub(before);
            *last = peak;
        }
        Ok(site)
    }
}

/// Returns the calls of the instance on which this step was dispatched, with the step last: each
/// dispatch, and the healthy calls in between. An instance is fresh after a call that ended
/// abnormally. Calls before that are left out, because the copy has more fuel and time and would
/// not end there.
fn calls_of_one_instance<R: Vocabulary>(
    case: &Case<R>,
    record: &CaseRecord,
    shown: usize,
) -> Vec<Step<R>> {
    let ended = |call: &Call| call.cause.as_ref().is_some_and(Cause::is_abnormal);
    let mut steps = Vec::new();
    let mut probes = record.probes.iter().peekable();
    for (index, seen) in record.steps[..=shown].iter().enumerate() {
        if index > 0 && ended(&record.steps[index - 1].call) {
            steps.clear();
        }
        while let Some(probe) = probes.next_if(|probe| probe.after <= index) {
            let function = R::functions().iter().position(|of| of == probe.function);
            steps.extend(function.map(Step::healthy));
            if ended(&probe.call) {
                steps.clear();
            }
        }
        steps.push(case.steps[seen.step_index].clone());
    }
    steps
}
