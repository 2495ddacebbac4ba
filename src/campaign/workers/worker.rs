//! The parent's side.

use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::NamedTempFile;

use super::Workers;
use super::protocol::{Answer, Hello, Order, Place, receive, send};
use crate::campaign::{Block, CampaignError, Lab, Plan, Stopped};
use crate::case::Case;
use crate::observation::{CaseRecord, Death, StepSeen, Subject};
use crate::oracle::{CHECKS, Oracle, Violation, WithinMemory, check_all};
use crate::wire::{Request, Vocabulary};

/// How often a worker may be killed from outside at the same work before that counts as its death.
const KILLS: usize = 3;

/// How much of what a worker says on its standard error is kept, in bytes.
const WORDS_MAX: usize = 4096;

/// A worker process, started when it is needed and again when it died.
pub struct Worker {
    workers: Workers,
    living: Option<Living>,
}

/// A worker that has opened the plugin.
struct Living {
    process: std::process::Child,
    orders: ChildStdin,
    answers: Receiver<Answer>,
    place: NamedTempFile,
    words: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    negotiated: Vec<usize>,
}

/// The end of a worker.
struct End {
    death: Death,
    place: Place,
    /// Whether somebody else killed it.
    from_outside: bool,
}

impl Worker {
    pub(super) fn new(workers: Workers) -> Self {
        Self {
            workers,
            living: None,
        }
    }

    /// The process, if it lives.
    pub fn id(&self) -> Option<u32> {
        self.living.as_ref().map(|living| living.process.id())
    }

    /// The places of the functions that the plugin negotiated; `None` where the worker dies while it opens it.
    ///
    /// # Errors
    /// [`CampaignError`] where it cannot be started or opens no session.
    pub fn negotiated(&mut self) -> Result<Option<Vec<usize>>, CampaignError> {
        Ok(self.live()?.ok().map(|living| living.negotiated.clone()))
    }

    /// Runs a case alone and tells what was seen, nothing where the worker died, and what the checks find.
    ///
    /// # Errors
    /// [`CampaignError`] where it cannot be started or opens no session.
    pub fn replay(
        &mut self,
        case: &Case,
    ) -> Result<(Vec<StepSeen>, Vec<Violation>), CampaignError> {
        let case = self.encode(case)?;
        match self.ask(&Order::Replay { case })? {
            Ok(Answer::Replayed(seen, violations)) => {
                self.forget_the_peak(&violations);
                Ok((seen, violations))
            }
            Ok(_) => Err(self.error("it answered what it was not asked".to_owned())),
            Err(end) => Ok((Vec::new(), self.violations_of(&end))),
        }
    }

    fn encode(&self, case: &Case) -> Result<Vec<u8>, CampaignError> {
        case.to_postcard()
            .map_err(|error| self.error(error.to_string()))
    }

    /// The living worker, started if there is none, or its end.
    fn live(&mut self) -> Result<Result<&mut Living, End>, CampaignError> {
        let living = match self.living.take() {
            Some(living) => living,
            None => match self.start()? {
                Ok(living) => living,
                Err(end) => return Ok(Err(end)),
            },
        };
        Ok(Ok(self.living.insert(living)))
    }

    fn start(&self) -> Result<Result<Living, End>, CampaignError> {
        let mut living = self
            .spawn()
            .map_err(|error| self.error(error.to_string()))?;
        match living.hear(self.workers.patience.opening) {
            Ok(Answer::Opened(negotiated)) => {
                living.negotiated = negotiated;
                Ok(Ok(living))
            }
            Ok(Answer::Refused(reason)) => Err(CampaignError::Refused { reason }),
            Ok(_) => Err(self.error("it answered what it was not asked".to_owned())),
            Err(end) => Ok(Err(end)),
        }
    }

    fn spawn(&self) -> io::Result<Living> {
        let place = NamedTempFile::new_in(&*self.workers.folder)?;
        place
            .as_file()
            .write_all_at(&Place::OPENING.to_bytes(), 0)?;
        let mut process = Command::new(&self.workers.program)
            .args(&self.workers.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let gone = || io::Error::other("it has no standard streams");
        let mut orders = process.stdin.take().ok_or_else(gone)?;
        let mut output = process.stdout.take().ok_or_else(gone)?;
        let errors = process.stderr.take().ok_or_else(gone)?;
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            while let Ok(Some(answer)) = receive(&mut output) {
                if sender.send(answer).is_err() {
                    break;
                }
            }
        });
        let words = Arc::default();
        let reader = std::thread::spawn({
            let words = Arc::clone(&words);
            move || keep_the_last(errors, &words)
        });
        let hello = Hello {
            setup: self.workers.setup.clone(),
            folder: self.workers.folder.path().to_owned(),
            place: place.path().to_owned(),
        };
        // One that is dead already says so when it is heard.
        let _ = send(&mut orders, &hello);
        Ok(Living {
            process,
            orders,
            answers,
            place,
            words,
            reader: Some(reader),
            negotiated: Vec::new(),
        })
    }

    /// Gives an order and waits for the answer or the end. What was killed from outside is tried again.
    fn ask(&mut self, order: &Order) -> Result<Result<Answer, End>, CampaignError> {
        let mut kills = 0;
        let silence = self.workers.patience.dispatch;
        loop {
            let answer = match self.live()? {
                Ok(living) => living.ask(order, silence),
                Err(end) => Err(end),
            };
            match answer {
                Ok(Answer::Refused(reason)) => {
                    // It has opened sessions before: the plugin left it no memory for one more.
                    let end = self.living.as_ref().map(|living| living.starved(reason));
                    self.living = None;
                    return Ok(Err(end.ok_or_else(|| self.error("it is gone".to_owned()))?));
                }
                Err(end) if end.from_outside && kills < KILLS => {
                    self.living = None;
                    kills += 1;
                }
                Err(end) => {
                    self.living = None;
                    return Ok(Err(end));
                }
                answer => return Ok(answer),
            }
        }
    }

    fn error(&self, reason: String) -> CampaignError {
        CampaignError::Worker {
            program: self.workers.program.clone(),
            reason,
        }
    }

    fn violations_of(&self, end: &End) -> Vec<Violation> {
        let mut record = CaseRecord::new(self.workers.setup.subject);
        record.death = Some(end.death.clone());
        check_all(&CHECKS, &record)
    }

    /// The most memory that a process had stays what it was, so that only a new one can measure again.
    fn forget_the_peak(&mut self, found: &[Violation]) {
        if found.iter().any(|v| v.check == WithinMemory.name()) {
            self.living = None;
        }
    }

    /// A block that ended with the death of the worker: the cases before it once more, for what they came to.
    fn mourn(
        &mut self,
        plan: &Plan,
        cases: Range<u64>,
        deadline: Option<Instant>,
        end: &End,
    ) -> Result<Block, CampaignError> {
        let opening = end.place == Place::OPENING;
        // A plugin that cannot be opened has no cases worth trying.
        let case = match opening {
            true => cases.end - 1,
            false => end.place.case.clamp(cases.start, cases.end - 1),
        };
        let mut block = Block::of(plan);
        if !opening && case > cases.start {
            let before = self.run(plan, cases.start..case, deadline)?;
            // By chance it may stop before.
            if before.stopped.is_some() {
                return Ok(before);
            }
            block.add(&before);
        }
        block.cases += 1;
        block.stopped = Some(Stopped {
            case,
            violations: self.violations_of(end),
            // What somebody else did to it shows again, or is nothing.
            by_chance: end.from_outside,
        });
        Ok(block)
    }
}

impl Lab<Request> for Worker {
    fn run(
        &mut self,
        plan: &Plan,
        cases: Range<u64>,
        deadline: Option<Instant>,
    ) -> Result<Block, CampaignError> {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        let order = Order::Run {
            seed: plan.seed,
            menu: plan.menu.clone(),
            cases: cases.clone(),
            time: deadline.map(left),
        };
        match self.ask(&order)? {
            Ok(Answer::Block(block)) => {
                let stopped = block.stopped.iter();
                let found: Vec<_> = stopped.flat_map(|s| s.violations.clone()).collect();
                self.forget_the_peak(&found);
                Ok(block)
            }
            Ok(_) => Err(self.error("it answered what it was not asked".to_owned())),
            Err(end) => self.mourn(plan, cases, deadline, &end),
        }
    }

    fn judge(&mut self, case: &Case, check: &str) -> Result<Vec<Violation>, CampaignError> {
        let order = Order::Judge {
            case: self.encode(case)?,
            check: check.to_owned(),
        };
        match self.ask(&order)? {
            Ok(Answer::Judged(violations)) => {
                self.forget_the_peak(&violations);
                Ok(violations)
            }
            Ok(_) => Err(self.error("it answered what it was not asked".to_owned())),
            Err(end) => Ok(self.violations_of(&end)),
        }
    }

    fn subject(&self) -> Subject {
        self.workers.setup.subject
    }
}

impl Living {
    fn ask(&mut self, order: &Order, silence: Duration) -> Result<Answer, End> {
        // One that is dead already says so when it is heard.
        let _ = send(&mut self.orders, order);
        self.hear(silence)
    }

    /// Waits for an answer, or for so long without a dispatch.
    fn hear(&mut self, silence: Duration) -> Result<Answer, End> {
        let mut last = (self.place(), Instant::now());
        loop {
            match self.answers.recv_timeout(Duration::from_millis(500)) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(self.end(false)),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let place = self.place();
            if place != last.0 {
                last = (place, Instant::now());
            } else if last.1.elapsed() > silence {
                return Err(self.end(true));
            }
        }
    }

    /// The end of one that lives and opens no session any more.
    fn starved(&self, reason: String) -> End {
        let place = self.place();
        End {
            death: Death {
                function: label(place),
                manner: "no session".to_owned(),
                words: reason,
            },
            place,
            from_outside: false,
        }
    }

    fn place(&self) -> Place {
        let mut bytes = [0; Place::BYTES];
        match self.place.as_file().read_exact_at(&mut bytes, 0) {
            Ok(()) => Place::from_bytes(&bytes),
            Err(_) => Place::OPENING,
        }
    }

    /// What it died of; a silent one is killed.
    fn end(&mut self, silent: bool) -> End {
        if silent {
            let _ = self.process.kill();
        }
        let status = self.process.wait();
        // All of its words are there when it is gone.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        let last = words.lines().next_back().unwrap_or_default().to_owned();
        let place = self.place();
        End {
            death: Death {
                function: label(place),
                manner: match silent {
                    true => "silence".to_owned(),
                    false => status
                        .as_ref()
                        .map_or("nobody knows what".to_owned(), manner),
                },
                words: last,
            },
            place,
            from_outside: !silent
                && status.is_ok_and(|status| status.signal() == Some(Signal::SIGKILL as i32)),
        }
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The function that a place is at.
fn label(place: Place) -> Option<String> {
    let function = usize::try_from(place.function).ok()?;
    let function = Request::functions().get(function)?;
    Some(function.label.to_owned())
}

fn manner(status: &ExitStatus) -> String {
    let signal = status.signal().and_then(|n| Signal::try_from(n).ok());
    match (signal, status.code()) {
        (Some(signal), _) => signal.as_str().to_owned(),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => status.to_string(),
    }
}

fn keep_the_last(mut errors: impl Read, words: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = errors.read(&mut buffer) {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend(&buffer[..length]);
        let excess = words.len().saturating_sub(WORDS_MAX);
        words.drain(..excess);
    }
}
