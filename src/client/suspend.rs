//! Stopping the process as a shell expects it. Runs on `main`; the terminal must have been given back.

use std::fs;
use std::io;

use rustix::process::{Pid, Signal, getpgid, getpgrp, getppid, getsid, kill_current_process_group};

/// Processes looked at on the way up to the shell.
const MAX_STEPS: usize = 64;

/// Tells whether a shell would notice that this job stops, and could let it go on: the nearest process above the job's own
/// ones must be in the same session (POSIX calls a job without such a parent orphaned). Elsewhere stopping would be for ever.
pub(super) fn has_shell() -> bool {
    let (Ok(session), group) = (getsid(None), getpgrp()) else {
        return false;
    };
    let mut above = getppid();
    for _ in 0..MAX_STEPS {
        let Some(pid) = above else { return false };
        if getsid(Some(pid)) != Ok(session) {
            return false;
        }
        if getpgid(Some(pid)) != Ok(group) {
            return true;
        }
        above = parent_of(pid);
    }
    false
}

/// Stops the whole job, as the terminal does on its own for programs that leave the key to it: the shell sees only those
/// stopped that it started itself. Returns when the job was continued.
pub(super) fn stop() -> io::Result<()> {
    Ok(kill_current_process_group(Signal::STOP)?)
}

/// Reads a process's parent; see proc_pid_stat(5). The name before it may hold anything, parentheses too.
fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let rest = stat.rsplit_once(')')?.1;
    Pid::from_raw(rest.split_whitespace().nth(1)?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found() {
        assert_eq!(parent_of(rustix::process::getpid()), getppid());
        assert_eq!(parent_of(Pid::INIT), None);
    }
}
