//! How busy the machine is with other things. On a busy machine a clock says little of a call: it may have been ready to
//! run, or over, long before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// The watching thread sleeps for so long at a time. What comes on top is what any timer is late, that of a host too.
const NAP: Duration = Duration::from_millis(5);

/// How often a call that is over waits for a processor before that is seen: to notice that its time is over, to leave
/// the guest, to read what it left, and once more. How long it waited before that does not count: its time went on.
const WAITS_AT_THE_END: u32 = 4;

/// Watches the machine while calls are measured.
pub(crate) struct Watch {
    /// What the watching thread has seen since the beginning of a call.
    sights: Arc<Sights>,
    /// How many processors the machine has, this process or not: all threads of it are counted.
    processors: u64,
    /// Dropped to end the thread.
    _awake: Sender<()>,
}

/// What the watching thread sees.
#[derive(Default)]
struct Sights {
    /// The longest that it overslept, in microseconds.
    overslept: AtomicU64,
    /// How often it looked, and how many threads were running then or ready to, together.
    looks: AtomicU64,
    running: AtomicU64,
}

/// The beginning of a call.
pub(crate) struct Mark(Waited);

/// For how long a thread ran, for how long it was ready to and did not, and how often it ran, since it began.
#[derive(Default)]
struct Waited {
    ran: Duration,
    time: Duration,
    runs: u32,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let sights = Arc::new(Sights::default());
        let (awake, asleep) = mpsc::channel::<()>();
        std::thread::spawn({
            let sights = Arc::clone(&sights);
            move || loop {
                let start = Instant::now();
                match asleep.recv_timeout(NAP) {
                    Err(RecvTimeoutError::Timeout) => {
                        let late = start.elapsed().saturating_sub(NAP).as_micros();
                        let late = u64::try_from(late).unwrap_or(u64::MAX);
                        sights.overslept.fetch_max(late, Ordering::Relaxed);
                        if let Some(running) = running() {
                            sights.looks.fetch_add(1, Ordering::Relaxed);
                            sights.running.fetch_add(running, Ordering::Relaxed);
                        }
                    }
                    _ => break,
                }
            }
        });
        Self {
            sights,
            processors: *PROCESSORS,
            _awake: awake,
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        for sight in [
            &self.sights.overslept,
            &self.sights.looks,
            &self.sights.running,
        ] {
            sight.store(0, Ordering::Relaxed);
        }
        Mark(waited())
    }

    /// By how much a call since then may have been seen to end too late: how late timers were at most, and what this
    /// thread waited at the end of the call; or what it took longer for as many threads as wanted to run, if that is more.
    pub(crate) fn since(&self, mark: &Mark) -> Duration {
        let overslept = Duration::from_micros(self.sights.overslept.load(Ordering::Relaxed));
        let now = waited();
        let time = now.time.saturating_sub(mark.0.time);
        let runs = now.runs.wrapping_sub(mark.0.runs).max(1);
        let waited = overslept + time / runs * WAITS_AT_THE_END.min(runs);
        // What it slept of its own will nobody took from it.
        let wanted = now.ran.saturating_sub(mark.0.ran) + time;
        waited.max(wanted.mul_f64(self.share_of_others()))
    }

    /// The share of the time that others had, where more threads wanted to run than there are processors.
    fn share_of_others(&self) -> f64 {
        let looks = self.sights.looks.load(Ordering::Relaxed);
        let running = self.sights.running.load(Ordering::Relaxed);
        // The watching thread is one of them.
        let others = running.saturating_sub(looks);
        let room = self.processors * looks;
        if others > room {
            1.0 - room as f64 / others as f64
        } else {
            0.0
        }
    }
}

static PROCESSORS: LazyLock<u64> = LazyLock::new(processors);

/// How many processors the machine has: this process may be bound to fewer.
fn processors() -> u64 {
    // A line for all of them, and one for each. Source: Documentation/filesystems/proc.rst of Linux.
    let told = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let lines = told.lines().filter(|line| line.starts_with("cpu")).count();
    (lines as u64).saturating_sub(1).max(1)
}

/// How many threads of the machine are running, or ready to; `None` where the system does not tell.
fn running() -> Option<u64> {
    // The fourth field: running threads, a slash, all threads. Source: Documentation/filesystems/proc.rst of Linux.
    let told = std::fs::read_to_string("/proc/loadavg").ok()?;
    let (running, _) = told.split_whitespace().nth(3)?.split_once('/')?;
    running.parse().ok()
}

/// Nothing where the system does not tell.
fn waited() -> Waited {
    // Nanoseconds that it ran, nanoseconds that it waited, how often it ran. Source: Documentation/scheduler/sched-stats.rst
    // of Linux.
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let mut numbers = told.split_whitespace().map(|n| n.parse::<u64>().ok());
    match (
        numbers.next().flatten(),
        numbers.next().flatten(),
        numbers.next().flatten(),
    ) {
        (Some(ran), Some(time), Some(runs)) => Waited {
            ran: Duration::from_nanos(ran),
            time: Duration::from_nanos(time),
            runs: runs as u32,
        },
        _ => Waited::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_among_more_than_the_machine_can_run_has_waited() {
        let watch = Watch::start();
        let work = |time: Duration| {
            let start = Instant::now();
            while start.elapsed() < time {}
        };
        let time = Duration::from_millis(400);
        let processors = processors();
        std::thread::scope(|scope| {
            for _ in 0..4 * processors {
                scope.spawn(|| work(time));
            }
            let (mark, start) = (watch.mark(), Instant::now());
            work(time);
            let (busy, elapsed) = (watch.since(&mark), start.elapsed());
            assert!(busy > Duration::ZERO, "{busy:?}");
            // It and the watching thread waited no longer than there was time.
            assert!(busy <= 2 * elapsed, "{busy:?} of {elapsed:?}");
        });
    }
}
