//! The resource limits of processes that read a plugin, and how to recognize a process that
//! exceeded them.

use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, rlim_t, setrlimit};
use nix::sys::signal::Signal;

/// The most memory that a worker may allocate, in bytes, if the system enforces it.
pub const WORKER_MEMORY_MAX: u64 = 1 << 30;

/// The most processor time for loading a plugin, and again for compiling the second copy that a
/// worker needs, if the system enforces it. Threads that compile in parallel add up.
pub const OPENING_TIME_MAX: Duration = Duration::from_secs(10);

/// How often a worker that something else killed is restarted for the same work, before the death
/// counts.
pub const KILLS_MAX: u32 = 4;

/// The message of the standard library if there is no memory left.
pub(crate) const OUT_OF_MEMORY: &str = "memory allocation of ";

/// The resource limits of this process. Without support by the system, there are none.
#[derive(Clone, Copy, Debug)]
pub struct ProcessBounds {
    /// The soft and the hard limit of processor time with which the process was started.
    time: Option<(rlim_t, rlim_t)>,
}

impl ProcessBounds {
    /// Bounds the memory to [`WORKER_MEMORY_MAX`] and disables core files, because crashes are
    /// expected and nobody reads the files.
    pub fn set() -> Self {
        let _ = setrlimit(Resource::RLIMIT_DATA, WORKER_MEMORY_MAX, WORKER_MEMORY_MAX);
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
        Self {
            time: getrlimit(Resource::RLIMIT_CPU).ok(),
        }
    }

    /// Bounds the processor time to [`OPENING_TIME_MAX`] from now on, or to the initial limit if
    /// that is less.
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

    /// Allows as much processor time as the system does.
    pub fn unbound_time(&self) {
        if let Some((_, hard)) = self.time {
            let _ = setrlimit(Resource::RLIMIT_CPU, hard, hard);
        }
    }

    /// Describes which limit a process exceeded, given the signal that ended it and its stderr.
    /// Returns `None` if it did not end because of a limit.
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
