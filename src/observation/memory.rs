//! How much memory the process has. It is the whole process that is measured, so only a process that does
//! nothing else can tell what a dispatch took: a [worker](crate::campaign::Workers).

/// The most memory that the process has had resident, in bytes; `None` where the system does not tell.
pub fn peak() -> Option<u64> {
    // What Linux counts for `getrusage` begins with the most that the parent had.
    if cfg!(target_os = "linux") {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        return Some(kib << 10);
    }
    #[cfg(unix)]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let peak = u64::try_from(usage.max_rss()).ok()?;
        // macOS counts bytes, the others KiB.
        Some(if cfg!(target_os = "macos") {
            peak
        } else {
            peak << 10
        })
    }
    #[cfg(not(unix))]
    None
}

/// The memory that the process has resident, in bytes; `None` where the system does not tell.
pub fn resident() -> Option<u64> {
    // Pages of the process: all, resident, …
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size()?)
}

fn page_size() -> Option<u64> {
    #[cfg(unix)]
    {
        use nix::unistd::{SysconfVar, sysconf};
        u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()
    }
    #[cfg(not(unix))]
    None
}
