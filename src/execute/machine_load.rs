//! The load of the machine by other work. On a busy machine the clock says little about a call: it
//! may have been ready to run, or finished, long before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// The sleep of the watching thread. The time by which it oversleeps is the lateness of any timer,
/// including that of a host.
const NAP: Duration = Duration::from_millis(5);

/// How often a finished call may wait for a processor before its end is noticed: to see that its
/// time is up, to leave the guest, to read its result, and once more. Earlier waits do not count,
/// because the call's time went on.
const WAITS_AT_THE_END: u32 = 4;

/// A watcher of the machine's load while calls are measured.
pub(crate) struct Watch {
    /// What the watching thread saw since the start of a call.
    sights: Arc<Sights>,
    /// The number of processors of the machine, not of this process: all threads of the machine are
    /// counted.
    processors: u64,
    /// Dropping it ends the thread.
    _awake: Sender<()>,
}

/// What the watching thread sees.
#[derive(Default)]
struct Sights {
    /// The longest time that it overslept, in microseconds.
    overslept: AtomicU64,
    /// The number of looks, and the sum over all of them of the threads that were running or ready
    /// to run.
    looks: AtomicU64,
    running: AtomicU64,
}

/// The start of a call.
pub(crate) struct Mark(Waited);

/// The times of a thread since it started: how long it ran, how long it was ready but did not run,
/// and how often it ran.
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

    /// Returns by how much the end of a call since the mark may have been noticed too late: the
    /// largest lateness of timers plus the waits of this thread at the end of the call, or the
    /// slowdown by the number of ready threads if that is more.
    pub(crate) fn since(&self, mark: &Mark) -> Duration {
        let overslept = Duration::from_micros(self.sights.overslept.load(Ordering::Relaxed));
        let now = waited();
        let time = now.time.saturating_sub(mark.0.time);
        let runs = now.runs.wrapping_sub(mark.0.runs).max(1);
        let waited = overslept + time / runs * WAITS_AT_THE_END.min(runs);
        // Voluntary sleep was not taken by others.
        let wanted = now.ran.saturating_sub(mark.0.ran) + time;
        waited.max(wanted.mul_f64(self.share_of_others()))
    }

    /// Returns the share of the time that other threads had, if more were ready than there are
    /// processors.
    fn share_of_others(&self) -> f64 {
        let looks = self.sights.looks.load(Ordering::Relaxed);
        let running = self.sights.running.load(Ordering::Relaxed);
        // The watching thread counts as one of them.
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

/// Returns the number of processors of the machine. This process may be bound to fewer.
fn processors() -> u64 {
    // One line for all processors, and one for each. Source: Documentation/filesystems/proc.rst of
    // Linux.
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with("cpu")).count();
    (lines as u64).saturating_sub(1).max(1)
}

/// Returns the number of threads on the machine that are running or ready to run, or `None` if the
/// system does not report it.
fn running() -> Option<u64> {
    // The fourth field: running threads, a slash, all threads. Source:
    // Documentation/filesystems/proc.rst of Linux.
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let (running, _) = text.split_whitespace().nth(3)?.split_once('/')?;
    running.parse().ok()
}

/// Returns the times of this thread, or zeros if the system does not report them.
fn waited() -> Waited {
    // Nanoseconds that it ran, nanoseconds that it waited, and how often it ran. Source:
    // Documentation/scheduler/sched-stats.rst of Linux.
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|n| n.parse::<u64>().ok());
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
            // This thread and the watching thread waited no longer than the elapsed time.
            assert!(busy <= 2 * elapsed, "{busy:?} of {elapsed:?}");
        });
    }
}
