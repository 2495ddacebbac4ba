//! What the system lets a process take that reads a plugin, and how one ends that wanted more.

use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, rlim_t, setrlimit};
use nix::sys::signal::Signal;

/// The most memory that a worker may write to, in bytes, where the system bounds it: what a plugin takes beyond,
/// it does not get.
pub const WORKER_MEMORY_MAX: u64 = 1 << 30;

/// The most time of the processor that a worker may take to load a plugin, and as much to compile the second copy of it that
/// it needs, where the system bounds it: what is compiled in parallel adds up.
pub const OPENING_TIME_MAX: Duration = Duration::from_secs(10);

/// How often a process is started again that somebody else killed at the same work, before that counts.
pub const KILLS_MAX: u32 = 4;

/// How the standard library words that there is no memory left.
pub(crate) const OUT_OF_MEMORY: &str = "memory allocation of ";

/// The bounds of this process. Where the system sets none, there are none.
#[derive(Clone, Copy, Debug)]
pub struct ProcessBounds {
    /// How much time of the processor the process may take, and the most that this may be, as it was started.
    time: Option<(rlim_t, rlim_t)>,
}

impl ProcessBounds {
    /// Bounds its memory to [`WORKER_MEMORY_MAX`], and leaves no core file behind: deaths are expected, and nobody looks at the
    /// remains.
    pub fn set() -> Self {
        let _ = setrlimit(Resource::RLIMIT_DATA, WORKER_MEMORY_MAX, WORKER_MEMORY_MAX);
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
        Self {
            time: getrlimit(Resource::RLIMIT_CPU).ok(),
        }
    }

    /// Lets it take [`OPENING_TIME_MAX`] of the processor from now on, or what it was started with where that is less.
    pub fn bound_time(&self) {
        let Some((most, hard)) = self.time else {
            return;
        };
        let used = getrusage(UsageWho::RUSAGE_SELF);
        let used = used.map_or(0, |used| {
            let seconds = used.user_time().tv_sec() + used.system_time().tv_sec();
            seconds.unsigned_abs()
        });
        let soon = used + OPENING_TIME_MAX.as_secs();
        let _ = setrlimit(Resource::RLIMIT_CPU, most.min(soon), hard);
    }

    /// Lets it take as much of the processor as the system allows.
    pub fn unbound_time(&self) {
        if let Some((_, hard)) = self.time {
            let _ = setrlimit(Resource::RLIMIT_CPU, hard, hard);
        }
    }

    /// What a process wanted that was bounded so, ended by a signal, and left these words on its standard error. `None`
    /// where it did not end for its bounds.
    pub fn exceeded(signal: Option<Signal>, words: &str) -> Option<String> {
        match signal? {
            Signal::SIGXCPU => {
                let most = OPENING_TIME_MAX.as_secs();
                Some(format!("more than {most} s of processor time"))
            }
            Signal::SIGABRT if words.contains(OUT_OF_MEMORY) => {
                let most = WORKER_MEMORY_MAX >> 20;
                Some(format!("more memory than the {most} MiB limit"))
            }
            _ => None,
        }
    }
}
