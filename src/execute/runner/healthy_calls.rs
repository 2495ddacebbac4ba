//! Healthy calls: the dry-run requests without a program, whose outcome is known.

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
    /// Makes a log call on a session of its own, which shows whether log calls can be counted: a
    /// host may run the puppet on another thread.
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

    /// Makes a healthy call of each function, each on a fresh session. If a result differs, calls
    /// again and keeps only results that are equal both times: others do not depend on what
    /// happened before.
    pub(crate) fn on_other_sessions(&mut self) -> Result<Vec<ProbeRecord>, HandshakeError> {
        let mut first = self.healthy_calls()?;
        if first
            .iter()
            .any(|probe| probe.result != probe.fresh_session)
        {
            // Shift the sessions by one, in case every second session differs.
            if self.healthy.len().is_multiple_of(2) {
                self.renew()?;
            }
            let mut again = self.healthy_calls()?.into_iter();
            first.retain(|probe| again.next().is_some_and(|a| a.result == probe.result));
        }
        Ok(first)
    }

    /// Makes each call on a fresh session, as when the host was opened. What a session does to its
    /// own later calls is another matter.
    fn healthy_calls(&mut self) -> Result<Vec<ProbeRecord>, HandshakeError> {
        let mut calls = Vec::with_capacity(self.healthy.len());
        for index in 0..self.healthy.len() {
            self.renew()?;
            calls.push(self.probe(index, 0));
        }
        Ok(calls)
    }

    /// Makes the healthy call of a negotiated function, given by its index among these.
    pub(crate) fn probe(&mut self, negotiated: usize, after: usize) -> ProbeRecord {
        self.heartbeat(self.healthy[negotiated].function);
        let healthy = &self.healthy[negotiated];
        let mark = self.watch.as_ref().map(Watch::mark);
        // A healthy call makes no log call, so one that is counted belongs to another call.
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
