//! What came in from the executors, taken down in the order of the cases.

use std::collections::{BTreeMap, VecDeque};

use super::block::SessionPart;
use super::examination::{EndedSession, Examination};
use crate::check::Violation;
use crate::generate::Plan;

/// A step of taking down a block.
pub(super) enum Task {
    /// Count what ran, and look into how it ended.
    Record(SessionPart),
    /// Look into what was measured, if it is time.
    MeasuredIfDue,
    /// Look into what was measured in this session.
    ExamineMeasured(EndedSession),
    /// The block is taken down.
    FinishBlock,
}

/// What is looked into at the moment. One violation at a time is confirmed, so that what is known of it does not depend on
/// how many executors there are.
pub(super) enum Current<R> {
    Nothing,
    Examining(Examination<R>),
    /// An executor confirms this violation.
    Confirming {
        examination: Examination<R>,
        violation: Violation,
    },
}

/// What came in and was not looked into.
pub(super) enum Unfinished {
    /// Neither counted.
    Part(SessionPart),
    /// Counted. `measured` says that only what was measured is left of it.
    Session {
        session: EndedSession,
        measured: bool,
    },
}

/// What came in and waits for its turn.
pub(super) struct Recorder<R> {
    /// The first case that was not taken down.
    recorded: u64,
    /// What came in and waits for what was handed out before it, by the first case.
    waiting: BTreeMap<u64, VecDeque<SessionPart>>,
    /// What is left to do for the block that is taken down.
    agenda: VecDeque<Task>,
    pub(super) current: Current<R>,
    /// The sessions in which checks that measure have found what nobody has looked into.
    measured: Vec<EndedSession>,
}

impl<R> Recorder<R> {
    /// Takes down what runs from this case on.
    pub(super) fn new(first: u64) -> Self {
        Self {
            recorded: first,
            waiting: BTreeMap::new(),
            agenda: VecDeque::new(),
            current: Current::Nothing,
            measured: Vec::new(),
        }
    }

    /// The first case that was not taken down.
    pub(super) fn recorded(&self) -> u64 {
        self.recorded
    }

    /// What an executor made of the block that begins with this case.
    pub(super) fn receive(&mut self, first: u64, parts: VecDeque<SessionPart>) {
        self.waiting.insert(first, parts);
    }

    /// What to do next; `None` where the next block has not come in.
    pub(super) fn next_task(&mut self) -> Option<Task> {
        if self.agenda.is_empty()
            && let Some(parts) = self.waiting.remove(&self.recorded)
        {
            self.agenda.extend(parts.into_iter().map(Task::Record));
            self.agenda.extend([Task::MeasuredIfDue, Task::FinishBlock]);
        }
        self.agenda.pop_front()
    }

    /// What is being looked into, which nothing is from then on.
    pub(super) fn take_current(&mut self) -> Current<R> {
        std::mem::replace(&mut self.current, Current::Nothing)
    }

    /// Looks into what was measured later.
    pub(super) fn keep_measured(&mut self, session: EndedSession) {
        self.measured.push(session);
    }

    /// Looks into what was measured next.
    pub(super) fn examine_measured(&mut self) {
        let measured = std::mem::take(&mut self.measured);
        for session in measured.into_iter().rev() {
            self.agenda.push_front(Task::ExamineMeasured(session));
        }
    }

    /// The first case of the first session in which what was measured waits.
    pub(super) fn first_measured(&self) -> Option<u64> {
        self.measured.iter().map(|session| session.from).min()
    }

    /// The block is taken down: that of the next session is next.
    pub(super) fn finish_block(&mut self, plan: &Plan) {
        self.recorded = plan.session_of(self.recorded).end;
    }

    /// What came in and was not looked into, in the order in which it would have been.
    pub(super) fn take_unfinished(&mut self) -> Vec<Unfinished> {
        let mut unfinished = Vec::new();
        match self.take_current() {
            Current::Nothing => {}
            Current::Examining(examination) | Current::Confirming { examination, .. } => {
                unfinished.push(Unfinished::Session {
                    measured: examination.measured,
                    session: examination.session,
                });
            }
        }
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
