//! How busy the machine is with other things. On a busy machine a clock says little of a call: it may have been ready to
//! run, or over, long before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// The watching thread sleeps for so long at a time. What comes on top is what any timer is late, that of a host too.
const NAP: Duration = Duration::from_millis(5);

/// How often a call that is over waits for a processor before that is seen: to notice that its time is over, to leave
/// the guest, to read what it left, and once more. How long it waited before that does not count: its time went on.
const WAITS_AT_THE_END: u32 = 4;

/// Watches the machine while calls are measured.
pub(super) struct Watch {
    /// The longest that the watching thread overslept, in microseconds.
    overslept: Arc<AtomicU64>,
    /// Dropped to end the thread.
    _awake: Sender<()>,
}

/// The beginning of a call.
pub(super) struct Mark(Waited);

/// For how long a thread has been ready to run and did not, and how often it ran, since it began.
#[derive(Default)]
struct Waited {
    time: Duration,
    runs: u32,
}

impl Watch {
    pub(super) fn start() -> Self {
        let overslept = Arc::new(AtomicU64::new(0));
        let (awake, asleep) = mpsc::channel::<()>();
        std::thread::spawn({
            let overslept = Arc::clone(&overslept);
            move || loop {
                let start = Instant::now();
                match asleep.recv_timeout(NAP) {
                    Err(RecvTimeoutError::Timeout) => {
                        let late = start.elapsed().saturating_sub(NAP).as_micros();
                        let late = u64::try_from(late).unwrap_or(u64::MAX);
                        overslept.fetch_max(late, Ordering::Relaxed);
                    }
                    _ => break,
                }
            }
        });
        Self {
            overslept,
            _awake: awake,
        }
    }

    pub(super) fn mark(&self) -> Mark {
        self.overslept.store(0, Ordering::Relaxed);
        Mark(waited())
    }

    /// By how much a call since then may have been seen to end too late: how late timers were at most, and what this
    /// thread waited at the end of the call.
    pub(super) fn since(&self, mark: &Mark) -> Duration {
        let overslept = Duration::from_micros(self.overslept.load(Ordering::Relaxed));
        let now = waited();
        let time = now.time.saturating_sub(mark.0.time);
        let runs = now.runs.wrapping_sub(mark.0.runs).max(1);
        overslept + time / runs * WAITS_AT_THE_END.min(runs)
    }
}

/// Nothing where the system does not tell.
fn waited() -> Waited {
    // Nanoseconds that it ran, nanoseconds that it waited, how often it ran. Source: Documentation/scheduler/sched-stats.rst
    // of Linux.
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let mut numbers = told.split_whitespace().map(|n| n.parse::<u64>().ok());
    match (
        numbers.next(),
        numbers.next().flatten(),
        numbers.next().flatten(),
    ) {
        (_, Some(time), Some(runs)) => Waited {
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
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
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
