//! A worker's process, from its start to its end.

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

use super::protocol::{Answer, Hello, Opened, Order, Place, frame, receive};
use super::{OPENING_TIME_MAX, WORKER_MEMORY_MAX, Workers};
use crate::campaign::Interrupt;
use crate::observation::Death;
use crate::wire::{Request, Vocabulary};

/// How long a process may live on when it says nothing more.
const LAST_MOMENTS: Duration = Duration::from_secs(1);

/// How long a worker that runs cases may have been silent when the campaign ends: each call is a sign of life.
const LAST_SILENCE: Duration = Duration::from_secs(2);

/// How often it is looked whether a worker has answered, shows a sign of life, or is to be waited for at all.
const POLL: Duration = Duration::from_millis(50);

/// How one ends that opened sessions before, and does not any more.
pub(super) const NO_SESSION: &str = "no session";

/// How the standard library words that there is no memory left.
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// How much of what a worker says on its standard error is kept, in bytes.
const WORDS_MAX: usize = 4096;

/// A worker's process. It is killed when this is dropped.
pub(super) struct Living {
    process: std::process::Child,
    /// What is sent here is written to its standard input, when it reads it.
    orders: Sender<Arc<[u8]>>,
    answers: Receiver<Answer>,
    place: NamedTempFile,
    words: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    /// What it learned of the plugin.
    pub(super) opened: Opened,
}

/// Why a worker gave no answer.
pub(super) enum NoAnswer {
    /// It is dead.
    Died(End),
    /// The campaign is over: nobody waits for it.
    Interrupted,
}

/// The end of a worker.
pub(super) struct End {
    pub(super) death: Death,
    pub(super) place: Place,
    /// Whether somebody else killed it.
    pub(super) from_outside: bool,
}

impl End {
    /// Of a worker that is no use any more.
    pub(super) fn of(manner: &str, words: String, place: Place) -> Self {
        Self {
            death: Death {
                function: label(place),
                manner: manner.to_owned(),
                words,
            },
            place,
            from_outside: false,
        }
    }

    /// What it had no more of, of what the system gives a worker that loads a plugin.
    pub(super) fn cost(&self) -> Option<String> {
        let Death { manner, words, .. } = &self.death;
        match &manner[..] {
            "SIGXCPU" => {
                let most = OPENING_TIME_MAX.as_secs();
                Some(format!(
                    "more than the {most} s of the processor that there are"
                ))
            }
            "SIGABRT" if words.contains(OUT_OF_MEMORY) => {
                let most = WORKER_MEMORY_MAX >> 20;
                Some(format!("more memory than there is, {most} MiB at most,"))
            }
            _ => None,
        }
    }

    /// Whether it may be the machine's fault: then it shows again, or is nothing.
    pub(super) fn is_by_chance(&self) -> bool {
        self.from_outside || ["silence", NO_SESSION].contains(&&self.death.manner[..])
    }
}

impl Living {
    /// `inspects` says whether it describes the plugin first.
    pub(super) fn spawn(workers: &Workers, inspects: bool) -> io::Result<Self> {
        let place = NamedTempFile::new_in(&*workers.folder)?;
        place
            .as_file()
            .write_all_at(&Place::OPENING.to_bytes(), 0)?;
        let mut process = Command::new(&workers.program)
            .args(&workers.arguments)
            // Every call that fails makes errors, and with `RUST_BACKTRACE` each of them a backtrace that nobody reads.
            .env("RUST_LIB_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What a terminal sends to its foreground, such as Ctrl-C, is for the parent to answer.
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
        let words = Arc::default();
        let reader = thread().spawn({
            let words = Arc::clone(&words);
            move || keep_the_last(errors, &words)
        })?;
        let hello = Hello {
            inspects,
            folder: workers.folder.path().into(),
            place: place.path().into(),
        };
        for told in [Arc::clone(&workers.setup_frame), frame(&hello)?.into()] {
            // One that is dead already says so when it is heard.
            let _ = orders.send(told);
        }
        Ok(Self {
            process,
            orders,
            answers,
            place,
            words,
            reader: Some(reader),
            opened: Opened::default(),
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn ask(
        &mut self,
        order: &Order,
        silence: Duration,
        interrupt: &Interrupt,
    ) -> Result<Answer, NoAnswer> {
        match frame(order) {
            // One that is dead already says so when it is heard.
            Ok(order) => drop(self.orders.send(order.into())),
            Err(error) => {
                let end = End::of("no order", error.to_string(), self.place());
                return Err(NoAnswer::Died(end));
            }
        }
        let at_the_end = match order {
            Order::Run { .. } => LAST_SILENCE,
            _ => silence,
        };
        self.hear_until(silence, interrupt, at_the_end)
    }

    /// Waits for the answer of one that opens the plugin, or for so long without a beat.
    pub(super) fn hear(
        &mut self,
        silence: Duration,
        interrupt: &Interrupt,
    ) -> Result<Answer, NoAnswer> {
        self.hear_until(silence, interrupt, silence)
    }

    /// The same; where the campaign is over, one that was silent for so long before is taken for dead: it hangs.
    fn hear_until(
        &mut self,
        silence: Duration,
        interrupt: &Interrupt,
        at_the_end: Duration,
    ) -> Result<Answer, NoAnswer> {
        let mut last = (self.place(), Instant::now());
        loop {
            match self.answers.recv_timeout(POLL) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(NoAnswer::Died(self.end(false)));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let place = self.place();
            if place != last.0 {
                last = (place, Instant::now());
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

    pub(super) fn place(&self) -> Place {
        let mut bytes = [0; Place::BYTES];
        match self.place.as_file().read_exact_at(&mut bytes, 0) {
            Ok(()) => Place::from_bytes(&bytes),
            Err(_) => Place::OPENING,
        }
    }

    /// What it died of. One that is silent, or lives on with its output closed, is killed.
    fn end(&mut self, silent: bool) -> End {
        let until = Instant::now() + LAST_MOMENTS;
        let mut status = None;
        while !silent && status.is_none() && Instant::now() < until {
            status = self.process.try_wait().ok().flatten();
            std::thread::sleep(Duration::from_millis(1));
        }
        let manner = match &status {
            Some(status) => manner(status),
            None => "silence".to_owned(),
        };
        if status.is_none() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        // All of its words are there when it is gone.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        // What the standard library says behind that says nothing.
        let mut lines = words.lines();
        let of_memory = words.lines().find(|line| line.contains(OUT_OF_MEMORY));
        let last = of_memory.or_else(|| lines.next_back()).unwrap_or_default();
        let killed = status.and_then(|status| status.signal()) == Some(Signal::SIGKILL as i32);
        End {
            from_outside: killed,
            ..End::of(&manner, last.to_owned(), self.place())
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

fn keep_the_last(mut errors: impl Read, words: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = errors.read(&mut buffer) {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend(&buffer[..length]);
        let excess = words.len().saturating_sub(WORDS_MAX);
        words.drain(..excess);
    }
}
