//! The process of a worker, from its start to its end.

use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::NamedTempFile;

use super::Workers;
use super::bounds::{OUT_OF_MEMORY, ProcessBounds};
use super::protocol::{Answer, Heartbeat, Hello, Opened, Order, frame, receive};
use crate::campaign::Interrupt;
use crate::host::cause::EXIT_CODE;
use crate::record::Death;
use crate::wire::{Request, Vocabulary};

/// How long a process may live after it closed its output.
const EXIT_GRACE: Duration = Duration::from_secs(1);

/// How long a worker that runs cases may have been silent when the campaign ends. Each call is a
/// sign of life.
const SILENCE_AT_END: Duration = Duration::from_secs(2);

/// How often to check for an answer, a sign of life, and interrupts.
const POLL: Duration = Duration::from_millis(50);

/// The manner of death of a worker that has opened sessions but cannot open another one.
pub(crate) const NO_SESSION: &str = "no session";

/// The manner of death of a worker that shows no sign of life.
const SILENCE: &str = "silence";

/// The most bytes that are kept of a worker's stderr.
const STDERR_TAIL_MAX: usize = 4096;

/// The process of a worker. Dropping it kills the process.
pub(crate) struct WorkerProcess {
    process: std::process::Child,
    /// Frames for the standard input, written as the process reads them.
    orders: Sender<Arc<[u8]>>,
    answers: Receiver<Answer>,
    heartbeat: NamedTempFile,
    stderr_tail: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    /// What it learned by opening the plugin.
    pub(crate) opened: Opened,
}

/// The reason why a worker gave no answer.
pub(crate) enum NoAnswer {
    /// It died.
    Died(End),
    /// The campaign is over, and nothing waits for it any more.
    Interrupted,
}

/// The end of a worker.
pub(crate) struct End {
    pub(crate) death: Death,
    pub(crate) heartbeat: Heartbeat,
    /// Whether something else killed it.
    pub(crate) from_outside: bool,
}

impl End {
    /// Returns the end of a worker that is unusable.
    pub(crate) fn new(manner: &str, stderr_tail: String, heartbeat: Heartbeat) -> Self {
        Self {
            death: Death {
                function: label(heartbeat),
                manner: manner.to_owned(),
                stderr_tail,
            },
            heartbeat,
            from_outside: false,
        }
    }

    /// Describes the resource limit that the worker exceeded while it loaded a plugin, if any.
    pub(crate) fn cost(&self) -> Option<String> {
        let Death {
            manner,
            stderr_tail,
            ..
        } = &self.death;
        ProcessBounds::exceeded(manner.parse().ok(), stderr_tail)
    }

    /// Returns whether the machine may be the cause, so that the end must reproduce to count.
    pub(crate) fn is_flaky(&self) -> bool {
        self.from_outside || [SILENCE, NO_SESSION].contains(&&self.death.manner[..])
    }
}

impl WorkerProcess {
    /// Spawns the process. `inspects` says whether it describes the plugin first.
    pub(crate) fn spawn(workers: &Workers, inspects: bool) -> io::Result<Self> {
        let heartbeat = NamedTempFile::new_in(&*workers.folder)?;
        heartbeat
            .as_file()
            .write_all_at(&Heartbeat::OPENING.to_bytes(), 0)?;
        let mut process = Command::new(&workers.program)
            .args(&workers.arguments)
            // Each failing call creates errors, each with an unread backtrace if `RUST_BACKTRACE`
            // is set.
            .env("RUST_LIB_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Signals of the terminal, such as Ctrl-C, are for the parent to handle.
            .process_group(0)
            .spawn()?;
        let gone = || io::Error::other("it has no standard streams");
        let input = process.stdin.take().ok_or_else(gone)?;
        let output = process.stdout.take().ok_or_else(gone)?;
        let errors = process.stderr.take().ok_or_else(gone)?;
        let (orders, to_write) = mpsc::channel();
        let thread = std::thread::Builder::new;
        thread().spawn(move || write_all(input, &to_write))?;
        let (heard, answers) = mpsc::channel();
        thread().spawn(move || read_all(output, &heard))?;
        let stderr_tail = Arc::default();
        let reader = thread().spawn({
            let stderr_tail = Arc::clone(&stderr_tail);
            move || keep_tail(errors, &stderr_tail)
        })?;
        let hello = Hello {
            inspects,
            folder: workers.folder.path().into(),
            heartbeat: heartbeat.path().into(),
        };
        for told in [Arc::clone(&workers.setup_frame), frame(&hello)?.into()] {
            // If the process is dead, that is noticed when its answer is read.
            let _ = orders.send(told);
        }
        Ok(Self {
            process,
            orders,
            answers,
            heartbeat,
            stderr_tail,
            reader: Some(reader),
            opened: Opened::default(),
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn ask(
        &mut self,
        order: &Order,
        silence: Duration,
        interrupt: &Interrupt,
    ) -> Result<Answer, NoAnswer> {
        match frame(order) {
            // If the process is dead, that is noticed when its answer is read.
            Ok(order) => drop(self.orders.send(order.into())),
            Err(error) => {
                let end = End::new("no order", error.to_string(), self.heartbeat());
                return Err(NoAnswer::Died(end));
            }
        }
        let at_the_end = match order {
            Order::Run { .. } => SILENCE_AT_END,
            _ => silence,
        };
        self.wait_until(silence, interrupt, at_the_end)
    }

    /// Waits for the answer of a process that opens the plugin, or for this long without a
    /// heartbeat.
    pub(crate) fn wait_for_answer(
        &mut self,
        silence: Duration,
        interrupt: &Interrupt,
    ) -> Result<Answer, NoAnswer> {
        self.wait_until(silence, interrupt, silence)
    }

    /// Does the same. If the campaign is over, a process that was silent for `at_the_end` hangs,
    /// and counts as dead.
    fn wait_until(
        &mut self,
        silence: Duration,
        interrupt: &Interrupt,
        at_the_end: Duration,
    ) -> Result<Answer, NoAnswer> {
        let mut last = (self.heartbeat(), Instant::now());
        loop {
            match self.answers.recv_timeout(POLL) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(NoAnswer::Died(self.end(false)));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let heartbeat = self.heartbeat();
            if heartbeat != last.0 {
                last = (heartbeat, Instant::now());
            }
            let quiet = last.1.elapsed();
            let is_over = interrupt.is_over();
            if quiet > silence || is_over && quiet > at_the_end {
                return Err(NoAnswer::Died(self.end(true)));
            }
            if is_over {
                return Err(NoAnswer::Interrupted);
            }
        }
    }

    pub(crate) fn heartbeat(&self) -> Heartbeat {
        let mut bytes = [0; Heartbeat::BYTES];
        match self.heartbeat.as_file().read_exact_at(&mut bytes, 0) {
            Ok(()) => Heartbeat::from_bytes(&bytes),
            Err(_) => Heartbeat::OPENING,
        }
    }

    /// Returns the end of the process. One that is silent, or lives on with its output closed, is
    /// killed.
    fn end(&mut self, silent: bool) -> End {
        let until = Instant::now() + EXIT_GRACE;
        let mut status = None;
        while !silent && status.is_none() && Instant::now() < until {
            status = self.process.try_wait().ok().flatten();
            std::thread::sleep(Duration::from_millis(1));
        }
        let manner = match &status {
            Some(status) => manner(status),
            None => SILENCE.to_owned(),
        };
        if status.is_none() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        // Once it is gone, its stderr is complete.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let stderr_tail = self
            .stderr_tail
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let stderr_tail = String::from_utf8_lossy(&stderr_tail).trim().to_owned();
        // Lines of the standard library after that message say nothing.
        let mut lines = stderr_tail.lines();
        let of_memory = stderr_tail
            .lines()
            .find(|line| line.contains(OUT_OF_MEMORY));
        let last = of_memory.or_else(|| lines.next_back()).unwrap_or_default();
        let killed = status.and_then(|status| status.signal()) == Some(Signal::SIGKILL as i32);
        End {
            from_outside: killed,
            ..End::new(&manner, last.to_owned(), self.heartbeat())
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the label of the current function, if any.
fn label(heartbeat: Heartbeat) -> Option<String> {
    let function = usize::try_from(heartbeat.function).ok()?;
    let function = Request::functions().get(function)?;
    Some(function.label.to_owned())
}

fn manner(status: &ExitStatus) -> String {
    let signal = status.signal().and_then(|n| Signal::try_from(n).ok());
    match (signal, status.code()) {
        (Some(signal), _) => signal.as_str().to_owned(),
        (None, Some(code)) => format!("{EXIT_CODE} {code}"),
        (None, None) => status.to_string(),
    }
}

fn write_all(mut input: impl Write, frames: &Receiver<Arc<[u8]>>) {
    while let Ok(frame) = frames.recv() {
        if input
            .write_all(&frame)
            .and_then(|()| input.flush())
            .is_err()
        {
            return;
        }
    }
}

fn read_all(mut output: impl Read, heard: &Sender<Answer>) {
    while let Ok(Some(answer)) = receive(&mut output) {
        if heard.send(answer).is_err() {
            return;
        }
    }
}

fn keep_tail(mut errors: impl Read, stderr_tail: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = errors.read(&mut buffer) {
        let mut stderr_tail = stderr_tail.lock().unwrap_or_else(PoisonError::into_inner);
        stderr_tail.extend(&buffer[..length]);
        let excess = stderr_tail.len().saturating_sub(STDERR_TAIL_MAX);
        stderr_tail.drain(..excess);
    }
}
