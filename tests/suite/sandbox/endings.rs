//! Nothing of a call is left, however it ends and however hard it tries to stay.

use std::time::Duration;

use picobot::sandbox::{End, Outcome};
use picobot::threads::CancelToken;

use super::{Ground, assert_none_left, has};

const SHORT: Duration = Duration::from_millis(500);

/// Confined, where all is killed at once, and free, where processes are hunted one by one.
fn both_ways() -> [Ground; 2] {
    [Ground::new(), Ground::full()]
}

#[test]
fn the_deadline_kills_what_ignores_signals() {
    let ground = Ground::new();
    let outcome = ground.run_for(
        "trap '' TERM INT HUP; echo started; while :; do sleep 1; done",
        SHORT,
    );
    assert_eq!(outcome.end, End::Deadline);
    assert_eq!(outcome.output, "started\n");
    assert!(outcome.killed >= 1);
}

#[test]
fn daemons_die_with_the_call() {
    let sleeper = "bash -c 'sleep 1000; :' $0";
    for command in [
        format!("{sleeper} & sleep 0.1"),
        format!("nohup {sleeper} >/dev/null 2>&1 & echo"),
        format!("setsid {sleeper} & sleep 0.1"),
        format!("(setsid setsid {sleeper} >/dev/null 2>&1 &) ; sleep 0.1"),
        format!("((({sleeper} &) &) &) ; sleep 0.1"),
        format!("trap '' TERM; {sleeper} & disown; sleep 0.1"),
        format!("set -m; {sleeper} & kill -STOP $!; sleep 0.1"),
    ] {
        for ground in both_ways() {
            let outcome = ground.run(&command);
            assert_eq!(outcome.end, End::Exited(0), "{command}");
            assert!(outcome.killed >= 1, "{command}");
        }
    }
}

#[test]
fn a_double_forked_daemon_with_its_own_session_dies() {
    if !has("/usr/bin/python3") {
        return;
    }
    let ground = Ground::new();
    let daemon = "
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
for fd in range(3): os.close(fd)
os.chdir('/')
open(sys.argv[2] + '/up', 'w').close()
time.sleep(1000)
";
    std::fs::write(ground.workspace.join("daemon.py"), daemon).unwrap();
    let outcome = ground
        .run("/usr/bin/python3 daemon.py $0 $PWD; while [ ! -e up ]; do sleep 0.01; done; echo up");
    assert_eq!(
        (outcome.end, outcome.output.as_str()),
        (End::Exited(0), "up\n")
    );
    assert_eq!(outcome.killed, 1);
}

#[test]
fn a_grandchild_that_holds_the_pipe_does_not_hold_the_call() {
    let ground = Ground::new();
    let outcome = ground.run("echo out; (bash -c 'sleep 1000; :' $0 &)");
    assert_eq!(
        (outcome.end, outcome.output.as_str()),
        (End::Exited(0), "out\n")
    );
}

#[test]
fn what_ends_soon_after_the_command_is_still_heard() {
    let ground = Ground::new();
    let outcome = ground.run("echo late > >(read -r x; echo \"$x!\")");
    assert_eq!((outcome.output.as_str(), outcome.killed), ("late!\n", 0));
}

#[test]
fn a_burst_of_forks_is_killed() {
    for ground in both_ways() {
        let outcome = ground.run_for(
            "bomb() { for i in 1 2; do ( [ $1 -lt 6 ] && bomb $(($1 + 1)); sleep 1000 ) & done; }
             bomb 0; wait",
            Duration::from_secs(6),
        );
        assert_eq!(outcome.end, End::Deadline);
        assert!(outcome.killed >= 100, "{}", outcome.killed);
    }
}

/// Every process starts its successor in a new session and dies: no group to kill, no parent to ask. Only confined: where
/// processes are hunted one by one it may get away, and is reported.
#[test]
fn a_process_that_hops_is_caught() {
    if !has("/usr/bin/python3") {
        return;
    }
    let ground = Ground::new();
    let hopper = "
import os
for i in range(20000):
    if os.fork(): os._exit(0)
    os.setsid()
";
    std::fs::write(ground.workspace.join("hopper.py"), hopper).unwrap();
    let outcome = ground.run_for("/usr/bin/python3 hopper.py $0; sleep 1000", SHORT);
    assert_eq!(outcome.end, End::Deadline);
}

/// Two processes that bring each other back.
#[test]
fn processes_that_revive_each_other_die() {
    let script = "
        for n in $(seq 500); do
            [ -e stop ] && exit
            kill -0 $1 2>/dev/null || { setsid bash twin.sh $$ $2 & set -- $! $2; }
            sleep 0.01
        done";
    for ground in both_ways() {
        std::fs::write(ground.workspace.join("twin.sh"), script).unwrap();
        let outcome = ground.run_for("bash twin.sh 999999999 $0", SHORT);
        assert_eq!(outcome.end, End::Deadline);
        assert!(outcome.killed >= 2);
    }
}

#[test]
fn too_many_processes_end_the_call() {
    let ground = Ground::new();
    let outcome =
        ground.run("i=0; while [ $((i += 1)) -le 1500 ]; do sleep 1000 & done 2>/dev/null; exit 4");
    // Where the kernel's own limit holds, the shell gives up by itself.
    match rustix::process::getuid().is_root() {
        true => assert_eq!(outcome.end, End::TooManyProcesses),
        false => assert!(matches!(outcome.end, End::Exited(_))),
    }
}

#[test]
fn a_cancel_ends_the_call() {
    let ground = Ground::new();
    for command in [
        "echo up; sleep 1000",
        "trap '' TERM; setsid bash -c 'sleep 1000; :' $0 & echo up; wait",
        "yes",
    ] {
        assert_eq!(cancelled_when_up(&ground, command).end, End::Cancelled);
    }
    let token = CancelToken::new();
    token.cancel();
    let call = ground.call("echo never", SHORT);
    let outcome = ground.sandbox.run(&call, &token, &mut |_| {}).unwrap();
    assert_eq!((outcome.end, outcome.output.as_str()), (End::Cancelled, ""));
}

fn cancelled_when_up(ground: &Ground, command: &str) -> Outcome {
    let token = CancelToken::new();
    let call = ground.call(command, Duration::from_secs(600));
    let outcome = ground
        .sandbox
        .run(&call, &token, &mut |_| token.cancel())
        .unwrap();
    assert_none_left(&ground.marker);
    outcome
}

/// A supervisor that does nothing at all is killed by the gateway itself.
#[test]
fn a_supervisor_that_hangs_is_killed() {
    let ground = Ground::new();
    let helper = ground.outside.join("helper");
    let script = format!(
        "#!/bin/bash\nsetsid bash -c 'sleep 1000; :' {} & echo up >&2\nwait\n",
        ground.marker
    );
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let hanging = Ground::with(|policy| policy.helper = helper.clone());
    assert_eq!(cancelled_when_up(&hanging, "true").end, End::Cancelled);
    assert_none_left(&ground.marker);
}
