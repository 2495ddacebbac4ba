//! The recorder: puts the results of the executors in the order of the cases.

use std::collections::{BTreeMap, VecDeque};

use super::block::SessionPart;
use super::examination::{EndedSession, Examination};
use crate::check::Violation;
use crate::generate::Plan;

/// A step of recording a block.
pub(super) enum Task {
    /// Count what ran, and examine how it ended.
    Record(SessionPart),
    /// Examine the violations of measuring checks, if it is time.
    MeasuredIfDue,
    /// Examine the violations of measuring checks in this session.
    ExamineMeasured(EndedSession),
    /// Finish the block.
    FinishBlock,
}

/// What is being examined. Violations are confirmed one at a time, so that what is known about each
/// does not depend on the number of executors.
pub(super) enum Current<R> {
    Nothing,
    Examining(Examination<R>),
    /// An executor confirms this violation.
    Confirming {
        examination: Examination<R>,
        violation: Violation,
    },
}

/// Results that were not examined.
pub(super) enum Unfinished {
    /// Not even counted.
    Part(SessionPart),
    /// Counted. `measured` says that only the violations of measuring checks are left.
    Session {
        session: EndedSession,
        measured: bool,
    },
}

/// Results that wait to be recorded.
pub(super) struct Recorder<R> {
    /// The first case that was not recorded.
    recorded: u64,
    /// Results that wait for those of earlier blocks, by their first case.
    waiting: BTreeMap<u64, VecDeque<SessionPart>>,
    /// The remaining tasks for the current block.
    agenda: VecDeque<Task>,
    pub(super) current: Current<R>,
    /// The sessions with unexamined violations of measuring checks.
    measured: Vec<EndedSession>,
}

impl<R> Recorder<R> {
    /// Returns a recorder that starts at this case.
    pub(super) fn new(first: u64) -> Self {
        Self {
            recorded: first,
            waiting: BTreeMap::new(),
            agenda: VecDeque::new(),
            current: Current::Nothing,
            measured: Vec::new(),
        }
    }

    /// Returns the first case that was not recorded.
    pub(super) fn recorded(&self) -> u64 {
        self.recorded
    }

    /// Receives the results of the block that begins with this case.
    pub(super) fn receive(&mut self, first: u64, parts: VecDeque<SessionPart>) {
        self.waiting.insert(first, parts);
    }

    /// Returns the next task; `None` if the next block has not arrived.
    pub(super) fn next_task(&mut self) -> Option<Task> {
        if self.agenda.is_empty()
            && let Some(parts) = self.waiting.remove(&self.recorded)
        {
            self.agenda.extend(parts.into_iter().map(Task::Record));
            self.agenda.extend([Task::MeasuredIfDue, Task::FinishBlock]);
        }
        self.agenda.pop_front()
    }

    /// Takes what is being examined, and leaves nothing.
    pub(super) fn take_current(&mut self) -> Current<R> {
        std::mem::replace(&mut self.current, Current::Nothing)
    }

    /// Keeps a session to examine the violations of its measuring checks later.
    pub(super) fn keep_measured(&mut self, session: EndedSession) {
        self.measured.push(session);
    }

    /// Schedules the violations of measuring checks to be examined next.
    pub(super) fn examine_measured(&mut self) {
        let measured = std::mem::take(&mut self.measured);
        for session in measured.into_iter().rev() {
            self.agenda.push_front(Task::ExamineMeasured(session));
        }
    }

    /// Returns the first case of the first session with waiting violations of measuring checks.
    pub(super) fn first_measured(&self) -> Option<u64> {
        self.measured.iter().map(|session| session.from).min()
    }

    /// Finishes the block and moves on to the next one.
    pub(super) fn finish_block(&mut self, plan: &Plan) {
        self.recorded = plan.session_of(self.recorded).end;
    }

    /// Takes the results that were not examined, in the order in which they would have been.
    pub(super) fn take_unfinished(&mut self) -> Vec<Unfinished> {
        let mut unfinished = Vec::new();
        let examination = match self.take_current() {
            Current::Nothing => None,
            Current::Examining(examination) => Some(examination),
            Current::Confirming {
                mut examination, ..
            } => {
                examination.put_back();
                Some(examination)
            }
        };
        unfinished.extend(examination.map(|examination| Unfinished::Session {
            measured: examination.measured,
            session: examination.into_session(),
        }));
        let of_measured = |session| Unfinished::Session {
            session,
            measured: true,
        };
        for task in std::mem::take(&mut self.agenda) {
            match task {
                Task::Record(part) => unfinished.push(Unfinished::Part(part)),
                Task::ExamineMeasured(session) => unfinished.push(of_measured(session)),
                Task::MeasuredIfDue | Task::FinishBlock => {}
            }
        }
        let waiting = std::mem::take(&mut self.waiting);
        unfinished.extend(waiting.into_values().flatten().map(Unfinished::Part));
        let measured = std::mem::take(&mut self.measured);
        unfinished.extend(measured.into_iter().map(of_measured));
        unfinished
    }
}
