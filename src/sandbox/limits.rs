//! Resource limits of a command. They belong to the process and are inherited: the supervisor takes them itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::processes;

const GIB: u64 = 1 << 30;

/// Threads and processes a command may add to those its user already has.
const MAX_NEW_THREADS: u64 = 256;

/// CPU seconds are per process; DATA and not AS, because node and Go reserve far more address space than they use.
const LIMITS: [(Resource, u64); 5] = [
    (Resource::Cpu, 300),
    (Resource::Data, 4 * GIB),
    (Resource::Fsize, GIB),
    (Resource::Nofile, 1024),
    (Resource::Core, 0),
];

/// Lowers the limits of this process, never above what it has.
pub(super) fn apply() -> std::io::Result<()> {
    for (resource, limit) in LIMITS {
        lower(resource, limit)?;
    }
    if !counts_by_itself() {
        let uid = rustix::process::getuid().as_raw();
        lower(
            Resource::Nproc,
            processes::threads_of_user(uid) + MAX_NEW_THREADS,
        )?;
    }
    Ok(())
}

/// Tells whether the supervisor must watch the number of processes: the kernel exempts root from RLIMIT_NPROC.
pub(super) fn counts_by_itself() -> bool {
    rustix::process::getuid().is_root()
}

fn lower(resource: Resource, limit: u64) -> std::io::Result<()> {
    let maximum = getrlimit(resource)
        .maximum
        .map_or(limit, |old| old.min(limit));
    let new = Rlimit {
        current: Some(maximum),
        maximum: Some(maximum),
    };
    Ok(setrlimit(resource, new)?)
}
