//! With nothing to do the gateway does nothing: no thread of it wakes.

use std::fs;
use std::time::Duration;

use crate::support::script::Answer;
use crate::support::stage::Stage;

/// Sums the voluntary context switches of all threads of a process.
fn switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .map(|task| {
            // A thread may end in between; its switches then count no more.
            let status = fs::read_to_string(task.unwrap().path().join("status"));
            let status = status.unwrap_or_default();
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.map_or(0, |number| number.trim().parse().unwrap())
        })
        .sum()
}

#[test]
fn idle_means_no_wake_ups() {
    let stage = Stage::new([Answer::text("Hello.")]);
    let mut client = stage.client();
    assert_eq!(client.ask("hello"), "Hello.");
    client.ping();
    let pid = stage.gateway.process().pid();
    // What the turn left to tidy up is done first.
    assert!(client.is_silent_for(Duration::from_millis(300)));
    let before = switches(pid);
    assert!(before > 0);
    assert!(client.is_silent_for(Duration::from_secs(3)));
    let woken = switches(pid) - before;
    assert!(woken <= 5, "{woken} wake-ups in 3 s");
    client.ping();
    assert!(switches(pid) > before, "nothing is counted");
}
