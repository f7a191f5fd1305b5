//! The gateway's death, and a supervisor's. Each needs a process of its own to play the gateway: this test binary again.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use picobot::sandbox::{Call, Level, OUTPUT_CAP_BYTES, Sandbox, init_gateway, start_known};
use picobot::threads::CancelToken;

use super::{Ground, assert_none_left, marked, policy, wait_until_gone};

const ROLE: &str = "PICOBOT_TEST_GATEWAY";

/// Plays the gateway when another test asks for it; passes at once otherwise.
#[test]
fn plays_the_gateway() {
    let Some(folder) = std::env::var_os(ROLE).map(PathBuf::from) else {
        return;
    };
    init_gateway().unwrap();
    let mut policy = policy(&folder);
    policy.level = Level::Full;
    let command = std::fs::read_to_string(folder.join("command")).unwrap();
    let marker = std::fs::read_to_string(folder.join("marker")).unwrap();
    let call = Call {
        workspace: &folder,
        cwd: &folder,
        argv: ["/bin/bash", "-c", &command, &marker]
            .map(Into::into)
            .to_vec(),
        env: Vec::new(),
        deadline: Duration::from_secs(600),
        output_cap: OUTPUT_CAP_BYTES,
    };
    // A child on purpose, which must outlive whatever happens to the call.
    let (mut kept, known) = start_known(
        || Command::new("/bin/cat").stdin(Stdio::piped()).spawn(),
        Child::id,
    )
    .unwrap();
    let result = Sandbox::new(policy).run(&call, &CancelToken::new(), &mut |_| println!("up"));
    assert_none_left(&marker);
    assert!(
        kept.try_wait().unwrap().is_none(),
        "the wrong child was killed"
    );
    drop(kept.stdin.take());
    assert!(kept.wait().unwrap().success());
    drop(known);
    println!("result: {}", result.unwrap_err());
}

fn start_gateway(ground: &Ground, command: &str) -> Child {
    std::fs::write(ground.workspace.join("command"), command).unwrap();
    std::fs::write(ground.workspace.join("marker"), &ground.marker).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args([
            "sandbox::gateway::plays_the_gateway",
            "--exact",
            "--nocapture",
        ])
        .env(ROLE, &ground.workspace)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_gateway_leaves_nothing() {
    let ground = Ground::new();
    let mut gateway = start_gateway(
        &ground,
        "trap '' TERM; setsid bash -c 'sleep 1000; :' $0 & echo up; wait",
    );
    let output = BufReader::new(gateway.stdout.take().unwrap());
    assert!(output.lines().any(|line| line.unwrap().ends_with("up")));
    assert!(!marked(&ground.marker).is_empty());
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    wait_until_gone(&ground.marker);
}

#[test]
fn a_command_that_kills_its_supervisor_leaves_nothing() {
    let ground = Ground::new();
    let gateway = start_gateway(
        &ground,
        "setsid bash -c 'sleep 1000; :' $0 & bash -c 'sleep 1000; :' $0 & kill -9 $PPID; sleep 1000",
    );
    let output = gateway.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("ended without a report"), "{text}");
    assert_none_left(&ground.marker);
}
