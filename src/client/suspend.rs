//! Stopping the process as a shell expects it. Runs on `main`; the terminal must have been given back.

use std::fs;
use std::io;

use rustix::process::{Signal, kill_current_process_group};

/// Processes looked at on the way up to the shell.
const MAX_STEPS: usize = 64;

/// Where a process stands, by process ids; 0 is a process that this process id namespace does not have, as above a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Standing {
    parent: i32,
    group: i32,
    session: i32,
}

impl Standing {
    /// Reads it from `/proc`; the calls for it have no word for a session that begins outside of the namespace.
    fn of(process: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    /// See proc_pid_stat(5). The name in the line may hold anything, parentheses too.
    fn parse(stat: &str) -> Option<Self> {
        let mut ids = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
        let mut next = || ids.next()?.parse().ok();
        Some(Self {
            parent: next()?,
            group: next()?,
            session: next()?,
        })
    }
}

/// Tells whether a shell would notice that this job stops, and could let it go on: the nearest process above the job's own
/// ones must be in the same session (POSIX calls a job without such a parent orphaned). Elsewhere stopping would be for ever.
pub(super) fn has_shell() -> bool {
    let Some(own) = Standing::of("self").filter(|own| own.session != 0) else {
        return false;
    };
    let mut parent = own.parent;
    for _ in 0..MAX_STEPS {
        match Standing::of(&parent.to_string()) {
            Some(above) if above.session == own.session => {
                if above.group != own.group {
                    return true;
                }
                parent = above.parent;
            }
            _ => return false,
        }
    }
    false
}

/// Stops the whole job, as the terminal does on its own for programs that leave the key to it: the shell sees only those
/// stopped that it started itself. Returns when the job was continued.
pub(super) fn stop() -> io::Result<()> {
    Ok(kill_current_process_group(Signal::STOP)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standings_are_read() {
        let own = Standing::of("self").unwrap();
        assert_eq!(own.parent, std::os::unix::process::parent_id() as i32);
        let inside_a_container = "7 (a) b (c) S 0 0 0 34816 7 4194304 1";
        let outside = Standing {
            parent: 0,
            group: 0,
            session: 0,
        };
        assert_eq!(Standing::parse(inside_a_container), Some(outside));
        for odd in ["", "7 (a)", "7 (a) S 1 x 3"] {
            assert_eq!(Standing::parse(odd), None, "{odd}");
        }
    }
}
