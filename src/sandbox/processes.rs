//! Finding and killing process trees through /proc.
//!
//! Used by the supervisor on itself and by the gateway on a supervisor that hangs. No state; the caller's thread. A
//! process number may be given anew between a look and a signal, so signals go through a pidfd that was checked against
//! the start time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

/// One line of /proc/PID/stat, as far as it matters here. Source: proc_pid_stat(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pid: i32,
    state: u8,
    parent: i32,
    group: i32,
    threads: u64,
    start: u64,
}

impl Process {
    /// Reads one process, `None` if there is none of that number.
    fn read(pid: i32) -> Option<Self> {
        parse_stat(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Tells whether it can still do something; a zombie cannot.
    fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// Tells whether it runs, waits for the processor or for a disk.
    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.state, b'R' | b'D')
    }

    /// Returns what no two processes share, as long as the machine runs.
    fn identity(&self) -> (i32, u64) {
        (self.pid, self.start)
    }

    /// Sends a signal if the process is still the one that was read.
    fn signal(&self, signal: Signal) -> bool {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return false;
        };
        let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else {
            return false;
        };
        let same = Self::read(self.pid).is_some_and(|now| now.identity() == self.identity());
        same && pidfd_send_signal(fd, signal).is_ok()
    }
}

/// Reads all processes that can be seen.
fn snapshot() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Process::read)
        .collect()
}

/// Lists the living children, grandchildren and so on of a process.
pub(super) fn descendants(root: i32) -> Vec<Process> {
    let mut by_parent: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in snapshot() {
        by_parent.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for process in by_parent.remove(&parent).unwrap_or_default() {
            parents.push(process.pid);
            found.push(process);
        }
    }
    found.retain(Process::is_alive);
    found
}

/// Lists the children of this very process, dead ones that wait to be reaped included.
///
/// Much quicker than a look at all processes. None of the numbers can be given anew before this process reaps it.
pub(super) fn own_children() -> Vec<Pid> {
    let lists: Option<Vec<String>> = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
        .map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .collect();
    let Some(lists) = lists else {
        // The kernel was built without these lists, or a thread ended meanwhile.
        let me = std::process::id().cast_signed();
        let mut all = snapshot();
        all.retain(|process| process.parent == me);
        return all
            .iter()
            .filter_map(|process| Pid::from_raw(process.pid))
            .collect();
    };
    lists
        .iter()
        .flat_map(|list| list.split_ascii_whitespace())
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}

/// Counts the threads of all processes of a user, which is what RLIMIT_NPROC counts.
pub(super) fn threads_of_user(uid: u32) -> u64 {
    use std::os::unix::fs::MetadataExt;
    snapshot()
        .iter()
        .filter(|process| {
            std::fs::metadata(format!("/proc/{}", process.pid)).is_ok_and(|m| m.uid() == uid)
        })
        .map(|process| process.threads)
        .sum()
}

/// What a hunt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Hunt {
    /// Processes that were killed.
    pub(super) killed: usize,
    /// Processes that were still there when the time was over.
    pub(super) survivors: usize,
}

/// Kills all descendants of a process, again and again until none is left or the time is over.
///
/// Everything is stopped before anything is killed, so that nobody can start a new one in answer to a death. Whole
/// process groups are signalled at once, which no forking can outrun. `settle` is called after each round: it waits a
/// moment for deaths to happen and reaps what it may; it returns true if it knows that nobody is left.
pub(super) fn hunt(root: i32, budget: Duration, settle: &mut dyn FnMut() -> bool) -> Hunt {
    let end = Instant::now() + budget;
    let mut killed = BTreeSet::new();
    loop {
        for group in freeze(root, end, &mut killed) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        for process in descendants(root) {
            process.signal(Signal::KILL);
            killed.insert(process.identity());
        }
        let survivors = match settle() {
            true => 0,
            false => descendants(root).len(),
        };
        if survivors == 0 || Instant::now() >= end {
            return Hunt {
                killed: killed.len(),
                survivors,
            };
        }
    }
}

/// Stops all descendants of a process until a look finds no new one; returns their process groups.
fn freeze(root: i32, end: Instant, found: &mut BTreeSet<(i32, u64)>) -> Vec<Pid> {
    let own_group = own_group();
    let mut stopped = BTreeSet::new();
    let mut groups = Vec::new();
    loop {
        let mut new = descendants(root);
        new.retain(|process| stopped.insert(process.identity()));
        if new.is_empty() || Instant::now() >= end {
            found.extend(stopped);
            return groups;
        }
        for process in new {
            if !process.signal(Signal::STOP) {
                continue;
            }
            // A descendant may have joined the caller's own group, which must not be stopped.
            let foreign = Some(process.group) != own_group;
            if let Some(group) = Pid::from_raw(process.group)
                && foreign
                && !groups.contains(&group)
            {
                let _ = kill_process_group(group, Signal::STOP);
                groups.push(group);
            }
        }
    }
}

/// Returns this process's group as /proc shows it: 0 where the group's leader is outside our process namespace.
fn own_group() -> Option<i32> {
    Process::read(std::process::id().cast_signed()).map(|me| me.group)
}

fn parse_stat(line: &[u8]) -> Option<Process> {
    // The second field is the program's name in parentheses, and the name may hold anything.
    let name_end = line.iter().rposition(|&b| b == b')')?;
    let pid_end = line.iter().position(|&b| b == b' ')?;
    let pid = std::str::from_utf8(&line[..pid_end]).ok()?.parse().ok()?;
    let rest = std::str::from_utf8(&line[name_end + 1..]).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Process {
        pid,
        state: *fields.first()?.as_bytes().first()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TAIL: &str = " S 7 8 9 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 3 0 4711 1 2 3";

    #[test]
    fn who_could_go_on_is_at_work() {
        let at_work = |state| {
            let line = format!("5 (a b){}", TAIL.replacen('S', state, 1));
            parse_stat(line.as_bytes()).unwrap().is_at_work()
        };
        assert_eq!(
            ["R", "D", "S", "T", "Z"].map(at_work),
            [true, true, false, false, false]
        );
    }

    fn check(name: &str) {
        let process = parse_stat(format!("42 ({name}){TAIL}\n").as_bytes()).unwrap();
        let expected = Process {
            pid: 42,
            state: b'S',
            parent: 7,
            group: 8,
            threads: 3,
            start: 4711,
        };
        assert_eq!(process, expected, "{name}");
    }

    #[test]
    fn names_cannot_forge_fields() {
        for name in ["bash", "a) R 1 1", "((", "", "a\nb", ") Z 1 (", "你好"] {
            check(name);
        }
    }

    #[test]
    fn finds_itself_and_its_thread_count() {
        let me = Process::read(std::process::id().cast_signed()).unwrap();
        assert!(me.is_alive());
        assert!(me.threads >= 1);
        assert!(threads_of_user(rustix::process::getuid().as_raw()) >= me.threads);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse_stat(&line);
        }
    }
}
