//! The sandbox with the real binary as supervisor and real processes under it.
//!
//! "Nothing left" is looked up in /proc by a marker that only the test's own command lines hold.

// Clippy takes only the functions marked as tests for tests, not what they share.
#![allow(clippy::unwrap_used)]

mod confinement;
mod endings;
mod escapes;
mod gateway;
mod masks;
mod running;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use picobot::sandbox::{
    Call, End, Level, OUTPUT_CAP_BYTES, Outcome, Policy, Sandbox, SandboxError,
};
use picobot::threads::CancelToken;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The longest any wait may take.
const CEILING: Duration = Duration::from_secs(60);

/// A sandbox with a workspace and a folder that is out of reach.
struct Ground {
    sandbox: Sandbox,
    workspace: PathBuf,
    outside: PathBuf,
    marker: String,
    _root: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Policy)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let [workspace, outside, temp_dir] =
            ["workspace", "outside", "temp"].map(|name| root.path().join(name));
        for folder in [&workspace, &outside, &temp_dir] {
            std::fs::create_dir(folder).unwrap();
        }
        let mut policy = policy(&temp_dir);
        change(&mut policy);
        Self {
            sandbox: Sandbox::new(policy),
            workspace,
            outside,
            marker: format!("marker-{}", uuid::Uuid::now_v7().simple()),
            _root: root,
        }
    }

    fn full() -> Self {
        Self::with(|policy| policy.level = Level::Full)
    }

    fn call(&self, command: &str, deadline: Duration) -> Call<'_> {
        // The marker is $0 of the shell: seen in /proc, and for scripts to hand on.
        let argv = ["/bin/bash", "-c", command, &self.marker];
        Call {
            workspace: &self.workspace,
            cwd: &self.workspace,
            argv: argv.map(Into::into).to_vec(),
            env: Vec::new(),
            deadline,
            output_cap: OUTPUT_CAP_BYTES,
        }
    }

    /// Runs a command that should end by itself.
    fn run(&self, command: &str) -> Outcome {
        self.run_for(command, Duration::from_secs(60))
    }

    fn run_for(&self, command: &str, deadline: Duration) -> Outcome {
        let call = self.call(command, deadline);
        let outcome = self
            .sandbox
            .run(&call, &CancelToken::new(), &mut |_| {})
            .unwrap();
        assert_eq!(outcome.survivors, 0);
        assert_none_left(&self.marker);
        outcome
    }

    fn check(&self, command: &str, end: End, output: &str) {
        let outcome = self.run(command);
        assert_eq!(
            (outcome.end, outcome.output.as_str()),
            (end, output),
            "{command}"
        );
    }

    fn error(&self, call: &Call<'_>) -> SandboxError {
        self.sandbox
            .run(call, &CancelToken::new(), &mut |_| {})
            .unwrap_err()
    }
}

fn policy(temp_dir: &Path) -> Policy {
    let mut policy = Policy::new(0o022);
    policy.helper = env!("CARGO_BIN_EXE_picobot").into();
    policy.temp_dir = temp_dir.to_owned();
    policy
}

/// Lists the living processes whose command line holds the marker.
pub(crate) fn marked(marker: &str) -> Vec<i32> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| *pid != std::process::id().cast_signed())
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(marker)
        })
        .collect()
}

pub(crate) fn assert_none_left(marker: &str) {
    assert_eq!(marked(marker), Vec::<i32>::new());
}

/// Waits until no marked process is left.
fn wait_until_gone(marker: &str) {
    let end = Instant::now() + CEILING;
    loop {
        let left = marked(marker);
        let Some(&first) = left.first() else { return };
        assert!(Instant::now() < end, "still there: {left:?}");
        if let Ok(fd) = pidfd_open(Pid::from_raw(first).unwrap(), PidfdFlags::empty()) {
            wait_for(&fd);
        }
    }
}

fn wait_for(fd: &OwnedFd) {
    let limit = Timespec::try_from(CEILING).unwrap();
    poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&limit)).unwrap();
}

/// Tells whether a program is installed where confined commands can run it.
fn has(program: &str) -> bool {
    Path::new(program).exists()
}
