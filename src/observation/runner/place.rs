//! Where in a plugin something is that a case shows.

use super::{Depth, Runner, Subject};
use crate::case::Case;
use crate::host::{HandshakeError, Host, Site};
use crate::observation::locate::locate;
use crate::observation::{StepRecord, memory};
use crate::wire::Vocabulary;

impl<H: Host, R: Vocabulary> Runner<'_, H, R> {
    /// Where in the plugin the first step is that shows something, by a run of a copy that is metered; `None` where that
    /// cannot be told.
    ///
    /// # Errors
    /// [`HandshakeError`] where the host opens no session.
    pub fn locate(
        &mut self,
        case: &Case<R>,
        shows: &dyn Fn(&StepRecord) -> bool,
    ) -> Result<Option<Site>, HandshakeError> {
        if self.subject == Subject::Puppet {
            return Ok(None);
        }
        let record = self.run_alone(case, Depth::Light)?;
        let Some(shown) = record.steps.iter().position(shows) else {
            return Ok(None);
        };
        // Each as often as it was dispatched.
        let steps = record.steps[..=shown].iter();
        let steps: Vec<_> = steps.map(|seen| case.steps[seen.place].clone()).collect();
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
