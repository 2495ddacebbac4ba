//! Healthy calls: the dry-run requests without a program, of which is known what they come to.

use std::sync::Arc;
use std::time::Duration;

use super::{Runner, Subject};
use crate::case::Step;
use crate::host::{HandshakeError, Host};
use crate::observation::busy::Watch;
use crate::observation::react::react;
use crate::observation::{ProbeRecord, Reaction};
use crate::puppet::{Op, Program};
use crate::wire::{Function, Vocabulary};

/// A function that the plugin negotiated.
pub(super) struct Healthy<R> {
    pub(super) place: usize,
    pub(super) function: &'static Function,
    pub(super) version: u32,
    pub(super) step: Step<R>,
    /// The input of the healthy call; `None` where its request does not serialize.
    pub(super) input: Option<Arc<[u8]>>,
    /// The puppet's healthy answer.
    pub(super) answer: Vec<u8>,
    /// What the healthy call comes to on a fresh session.
    pub(super) reaction: Reaction,
}

impl<H: Host, R: Vocabulary> Runner<'_, H, R> {
    /// Whether the puppet is heard says a call that knocks, on a session of its own: a host may run it on another thread.
    pub(super) fn learn_to_listen(&mut self) -> Result<(), HandshakeError> {
        if let Some(healthy) = self.healthy.first() {
            let program = Some(Program(vec![Op::Knock, Op::EmitHealthy]));
            let step = Step {
                program,
                ..healthy.step.clone()
            };
            let mut session = self.host.open()?;
            self.ear.listen(|| react(step.told(), &mut session));
        }
        Ok(())
    }

    /// A healthy call of each function, on a fresh session each. What two of them do not agree on is no matter of what was before.
    pub(super) fn elsewhere(&mut self) -> Result<Vec<ProbeRecord>, HandshakeError> {
        let mut first = self.healthy_calls()?;
        if first.iter().any(|probe| probe.reaction != probe.fresh) {
            // Each in another place than before, should every second session be otherwise.
            if self.healthy.len().is_multiple_of(2) {
                self.renew()?;
            }
            let mut again = self.healthy_calls()?.into_iter();
            first.retain(|probe| again.next().is_some_and(|a| a.reaction == probe.reaction));
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
    pub(super) fn probe(&mut self, negotiated: usize, after: usize) -> ProbeRecord {
        self.beat(self.healthy[negotiated].function);
        let healthy = &self.healthy[negotiated];
        let mark = self.watch.as_ref().map(Watch::mark);
        // It does not knock: what is heard is another call's.
        let session = &mut self.session;
        let mut dispatch = || react(healthy.step.told(), session);
        let (seen, knocks) = match self.subject {
            Subject::Puppet => self.ear.listen(dispatch),
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
            reaction: seen.reaction,
            call: seen.call,
            fresh: healthy.reaction.clone(),
            knocks,
            elapsed: seen.elapsed,
            busy,
        }
    }
}
