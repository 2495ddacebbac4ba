//! Healthy calls: the dry-run requests without a program, of which is known what they come to.

use std::time::Duration;

use super::Runner;
use crate::case::Step;
use crate::execute::dispatch::execute;
use crate::execute::machine_load::Watch;
use crate::host::{HandshakeError, Host};
use crate::puppet::{Op, Program};
use crate::record::{ProbeRecord, Subject};
use crate::wire::Vocabulary;

impl<H: Host, R: Vocabulary> Runner<'_, H, R> {
    /// Whether the puppet is heard says a call that knocks, on a session of its own: a host may run it on another thread.
    pub(crate) fn calibrate_call_counter(&mut self) -> Result<(), HandshakeError> {
        if let Some(healthy) = self.healthy.first() {
            let program = Some(Program(vec![Op::LogCall, Op::EmitHealthy]));
            let step = Step {
                program,
                ..healthy.step.clone()
            };
            let mut session = self.host.open()?;
            self.call_counter
                .count_calls(|| execute(step.request_with_program(), &mut session));
        }
        Ok(())
    }

    /// A healthy call of each function, on a fresh session each. What two of them do not agree on is no matter of what was before.
    pub(crate) fn on_other_sessions(&mut self) -> Result<Vec<ProbeRecord>, HandshakeError> {
        let mut first = self.healthy_calls()?;
        if first
            .iter()
            .any(|probe| probe.result != probe.fresh_session)
        {
            // Each in another place than before, should every second session be otherwise.
            if self.healthy.len().is_multiple_of(2) {
                self.renew()?;
            }
            let mut again = self.healthy_calls()?.into_iter();
            first.retain(|probe| again.next().is_some_and(|a| a.result == probe.result));
        }
        Ok(first)
    }

    /// Each on a fresh session, as when the host was opened: what one session does to its own later calls is another matter.
    fn healthy_calls(&mut self) -> Result<Vec<ProbeRecord>, HandshakeError> {
        let mut calls = Vec::with_capacity(self.healthy.len());
        for place in 0..self.healthy.len() {
            self.renew()?;
            calls.push(self.probe(place, 0));
        }
        Ok(calls)
    }

    /// Makes the healthy call of a negotiated function.
    pub(crate) fn probe(&mut self, negotiated: usize, after: usize) -> ProbeRecord {
        self.heartbeat(self.healthy[negotiated].function);
        let healthy = &self.healthy[negotiated];
        let mark = self.watch.as_ref().map(Watch::mark);
        // It does not knock: what is heard is another call's.
        let session = &mut self.session;
        let mut dispatch = || execute(healthy.step.request_with_program(), session);
        let (seen, guest_calls) = match self.subject {
            Subject::Puppet => self.call_counter.count_calls(dispatch),
            Subject::Plugin => (dispatch(), None),
        };
        self.calls += 1;
        let watched = self.watch.as_ref().zip(mark);
        let busy = watched.map_or(Duration::ZERO, |(watch, mark)| watch.since(&mark));
        self.clock.note(&seen);
        self.carried = 0;
        ProbeRecord {
            function: healthy.function,
            after,
            expected_input: healthy.input.clone(),
            result: seen.result,
            call: seen.call,
            fresh_session: healthy.result.clone(),
            guest_calls,
            elapsed: seen.elapsed,
            busy,
        }
    }
}
