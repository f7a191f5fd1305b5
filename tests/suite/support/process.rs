//! A child process of the binary: started, watched, signalled, and killed when dropped.
//!
//! A thread follows each of its outputs, so that a test can wait for a text and show everything when it fails.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use picobot::threads::{Thread, spawn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Longest wait for a start or an end. Debug builds on a busy machine are slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Longest wait for the last output of a process that has ended; somebody who holds its pipe is not waited for.
const DRAIN: Duration = Duration::from_secs(5);

const STACK: usize = 128 * 1024;

/// What a process writes to one of its outputs.
#[derive(Clone)]
pub(crate) struct Output(Arc<(Mutex<Seen>, Condvar)>);

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    ended: bool,
}

impl Output {
    fn follow(mut source: impl Read + Send + 'static) -> (Self, Thread) {
        let output = Self(Arc::default());
        let follower = spawn("output", STACK, {
            let output = output.clone();
            move || {
                let mut piece = [0; 4096];
                while let Ok(n @ 1..) = source.read(&mut piece) {
                    output.note(|seen| seen.bytes.extend(&piece[..n]));
                }
                output.note(|seen| seen.ended = true);
            }
        });
        (output, follower.unwrap())
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        let (seen, changed) = &*self.0;
        change(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }

    /// Returns what came so far.
    pub(crate) fn text(&self) -> String {
        let seen = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&seen.bytes).into_owned()
    }

    /// Waits until a text came; false if the output ended without it or it took too long.
    pub(crate) fn has(&self, text: &str) -> bool {
        let (seen, changed) = &*self.0;
        let came = |seen: &Seen| {
            let wanted = text.as_bytes();
            seen.bytes
                .windows(wanted.len())
                .any(|bytes| bytes == wanted)
        };
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, _) = changed
            .wait_timeout_while(seen, PATIENCE, |seen| !seen.ended && !came(seen))
            .unwrap_or_else(PoisonError::into_inner);
        came(&seen)
    }
}

/// A running process.
pub(crate) struct Process {
    child: Child,
    handle: OwnedFd,
    stdout: Option<Output>,
    stderr: Output,
    followers: Vec<Thread>,
}

/// How a process ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit code, unless a signal ended it.
    pub(crate) code: Option<i32>,
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its stdout; empty if that went elsewhere.
    pub(crate) stdout: String,
    /// Its stderr.
    pub(crate) stderr: String,
}

impl Process {
    /// Starts a command without input.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::spawn(command, None, Stdio::piped())
    }

    /// Starts a command that reads these bytes from stdin.
    pub(crate) fn with_input(command: &mut Command, input: &[u8]) -> Self {
        Self::spawn(command, Some(input.to_vec()), Stdio::piped())
    }

    /// Starts a command without input whose stdout goes elsewhere.
    pub(crate) fn with_stdout(command: &mut Command, stdout: impl Into<Stdio>) -> Self {
        Self::spawn(command, None, stdout.into())
    }

    fn spawn(command: &mut Command, input: Option<Vec<u8>>, stdout: Stdio) -> Self {
        let stdin = if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        let mut child = command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        let mut followers = Vec::new();
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            let feeder = spawn("input", STACK, move || {
                // It may end without reading everything.
                let _ = stdin.write_all(&input);
            });
            followers.push(feeder.unwrap());
        }
        let stdout = child.stdout.take().map(|stdout| {
            let (output, follower) = Output::follow(stdout);
            followers.push(follower);
            output
        });
        let (stderr, follower) = Output::follow(child.stderr.take().unwrap());
        followers.push(follower);
        Self {
            child,
            handle,
            stdout,
            stderr,
            followers,
        }
    }

    /// Returns its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns its stdout.
    pub(crate) fn stdout(&self) -> &Output {
        self.stdout.as_ref().expect("its stdout goes elsewhere")
    }

    /// Returns its stderr.
    pub(crate) fn stderr(&self) -> &Output {
        &self.stderr
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits at most so long for its end; tells whether it came.
    pub(crate) fn ends_within(&self, limit: Duration) -> bool {
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap(),
            tv_nsec: limit.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(&self.handle, PollFlags::IN)];
        loop {
            match poll(&mut fds, Some(&limit)) {
                Err(rustix::io::Errno::INTR) => {}
                ended => return ended.unwrap() == 1,
            }
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn finish(self) -> Finished {
        self.finish_within(PATIENCE)
    }

    /// Waits for its end, which must come within this time.
    #[track_caller]
    pub(crate) fn finish_within(mut self, limit: Duration) -> Finished {
        assert!(
            self.ends_within(limit),
            "it does not end:\n{}",
            self.stderr.text()
        );
        let status = self.child.wait().unwrap();
        self.join();
        Finished {
            code: status.code(),
            status,
            stdout: self.stdout.as_ref().map(Output::text).unwrap_or_default(),
            stderr: self.stderr.text(),
        }
    }

    /// Kills it without warning and waits until it is gone.
    pub(crate) fn kill9(mut self) {
        self.reap();
    }

    fn reap(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join();
    }

    fn join(&mut self) {
        for follower in self.followers.drain(..) {
            let _ = follower.join_within(DRAIN);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.reap();
        if std::thread::panicking() {
            eprintln!("-- stderr of a process:\n{}--", self.stderr.text());
        }
    }
}

/// Runs a command without input to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Finished {
    Process::start(command).finish()
}
