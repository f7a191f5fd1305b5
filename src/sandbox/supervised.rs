//! A running supervisor as the gateway sees it: a child, a lifeline and two pipes. One call's thread owns it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::input::hand_over;
use super::orphans::{KnownChild, reap_orphans, start_known};
use super::processes::hunt;
use super::protocol::Report;
use super::wait;
use super::{HELPER_ARGUMENT, INPUT_ARGUMENT};
use crate::threads::CancelToken;

/// What a supervisor gets beyond the command's deadline, for starting, killing and reporting.
const MARGIN: Duration = Duration::from_secs(4);

/// What it gets after a cancel: as long, since nobody kills what it started better than itself.
const CANCEL_MARGIN: Duration = MARGIN;

/// How long the gateway hunts itself where the supervisor failed.
const HUNT_BUDGET: Duration = Duration::from_millis(200);

/// How long to wait for deaths within that hunt.
const SETTLE: Duration = Duration::from_millis(2);

/// How long output may follow a supervisor's end, if somebody still holds the pipe.
const LAST_OUTPUT: Duration = Duration::from_millis(50);

const MAX_REPORT_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 64 * 1024;

/// The pipe whose end tells the supervisor to stop; shared with whoever cancels.
type Lifeline = Arc<Mutex<Option<OwnedFd>>>;

/// One supervisor at work.
#[derive(Debug)]
pub(super) struct Supervised {
    child: Child,
    _known: KnownChild,
    exit: OwnedFd,
    lifeline: Lifeline,
    /// What of the instruction the pipe did not take yet.
    unsent: Option<Unsent>,
    output: Option<OwnedFd>,
    report: Option<OwnedFd>,
    report_line: Vec<u8>,
}

#[derive(Debug)]
struct Unsent {
    pipe: OwnedFd,
    line: Vec<u8>,
    sent: usize,
}

/// What a wait may find ready.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Exit,
    Output,
    Report,
    Room,
    Cancel,
}

impl Supervised {
    /// Starts a supervisor with nothing of our environment; `line` is sent later.
    ///
    /// `input` becomes the command's standard input; without it there is none.
    pub(super) fn start(helper: &Path, line: Vec<u8>, input: Option<OwnedFd>) -> io::Result<Self> {
        let (output, output_end) = io::pipe()?;
        let mut command = Command::new(helper);
        command
            .arg0("picobot")
            .arg(HELPER_ARGUMENT)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output_end);
        let socket = match &input {
            None => None,
            Some(reader) => {
                let (near, far) = UnixStream::pair()?;
                hand_over(&near, reader)?;
                command.arg(INPUT_ARGUMENT).stdin(OwnedFd::from(far));
                Some(OwnedFd::from(near))
            }
        };
        let (mut child, known) = start_known(|| command.spawn(), Child::id)?;
        // It holds the supervisor's ends of the pipes, which must be the only ones.
        drop(command);
        let prepare = |child: &mut Child| {
            let pid = Pid::from_raw(child.id().cast_signed()).ok_or(Errno::SRCH)?;
            let exit = pidfd_open(pid, PidfdFlags::empty())?;
            let pipe = child.stdin.take().map(OwnedFd::from);
            let lifeline = socket.or(pipe).ok_or(Errno::BADF)?;
            ioctl_fionbio(&lifeline, true)?;
            let pipe = lifeline.try_clone()?;
            io::Result::Ok((exit, lifeline, pipe))
        };
        let (exit, lifeline, pipe) = match prepare(&mut child) {
            Ok(prepared) => prepared,
            Err(error) => {
                // It has no instruction yet, so there is nothing but itself to end.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        ioctl_fionbio(&output, true)?;
        Ok(Self {
            report: child.stdout.take().map(OwnedFd::from),
            child,
            _known: known,
            exit,
            lifeline: Arc::new(Mutex::new(Some(lifeline))),
            unsent: Some(Unsent {
                pipe,
                line,
                sent: 0,
            }),
            output: Some(output.into()),
            report_line: Vec::new(),
        })
    }

    /// Passes output on until the supervisor is gone, and returns what it reported, if it did.
    ///
    /// If it is not gone in time, it is killed with all it started.
    pub(super) fn finish(
        mut self,
        deadline: Duration,
        cancel: &CancelToken,
        on_output: &mut dyn FnMut(&[u8]),
    ) -> Option<Report> {
        let mut limit = Instant::now() + deadline + MARGIN;
        let Ok(cancelled) = eventfd(0, EventfdFlags::CLOEXEC).map(Arc::new) else {
            self.kill();
            let _ = self.child.wait();
            return None;
        };
        let _closer = cancel.on_cancel(closer(self.lifeline.clone(), cancelled.clone()));
        let mut watched = Some(&*cancelled);
        let in_time = loop {
            let left = limit.saturating_duration_since(Instant::now());
            let Ok(ready) = self.wait(watched, left) else {
                break false;
            };
            for source in &ready {
                match source {
                    Source::Exit => {}
                    Source::Output => self.read_output(on_output),
                    Source::Report => self.read_report(),
                    Source::Room => self.send(),
                    Source::Cancel => {
                        watched = None;
                        self.unsent = None;
                        limit = limit.min(Instant::now() + CANCEL_MARGIN);
                    }
                }
            }
            if ready.contains(&Source::Exit) {
                break true;
            }
            if left.is_zero() {
                break false;
            }
        };
        if !in_time {
            self.kill();
        }
        let _ = self.child.wait();
        self.read_last(on_output);
        let report = serde_json::from_slice(&self.report_line).ok();
        if !is_clean(report.as_ref()) {
            reap_orphans();
        }
        report
    }

    fn wait(&self, cancelled: Option<&OwnedFd>, limit: Duration) -> io::Result<Vec<Source>> {
        let unsent = self.unsent.as_ref().map(|unsent| unsent.pipe.as_fd());
        let (sources, mut fds): (Vec<_>, Vec<_>) = [
            // First, so that nothing more is sent once it is known.
            (Source::Cancel, cancelled.map(AsFd::as_fd), PollFlags::IN),
            (Source::Exit, Some(self.exit.as_fd()), PollFlags::IN),
            (
                Source::Output,
                self.output.as_ref().map(AsFd::as_fd),
                PollFlags::IN,
            ),
            (
                Source::Report,
                self.report.as_ref().map(AsFd::as_fd),
                PollFlags::IN,
            ),
            (Source::Room, unsent, PollFlags::OUT),
        ]
        .into_iter()
        .filter_map(|(source, fd, flags)| Some((source, PollFd::from_borrowed_fd(fd?, flags))))
        .unzip();
        wait::poll_for(&mut fds, limit)?;
        let ready = sources.into_iter().zip(&fds);
        Ok(ready
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(source, _)| source)
            .collect())
    }

    /// Sends what the pipe takes of the instruction.
    fn send(&mut self) {
        let Some(unsent) = &mut self.unsent else {
            return;
        };
        match rustix::io::write(&unsent.pipe, &unsent.line[unsent.sent..]) {
            Ok(n) => unsent.sent += n,
            Err(Errno::AGAIN | Errno::INTR) => return,
            // The supervisor is gone; its exit tells the rest.
            Err(_) => unsent.sent = unsent.line.len(),
        }
        if unsent.sent == unsent.line.len() {
            self.unsent = None;
        }
    }

    fn read_output(&mut self, on_output: &mut dyn FnMut(&[u8])) {
        let open = self
            .output
            .as_ref()
            .is_some_and(|pipe| read_some(pipe, on_output));
        if !open {
            self.output = None;
        }
    }

    fn read_report(&mut self) {
        let line = &mut self.report_line;
        let open = self
            .report
            .as_ref()
            .is_some_and(|pipe| read_some(pipe, &mut |bytes| line.extend_from_slice(bytes)));
        if !open || self.report_line.len() > MAX_REPORT_BYTES {
            self.report = None;
        }
    }

    /// Reads what is left in the pipes once the supervisor is gone.
    fn read_last(&mut self, on_output: &mut dyn FnMut(&[u8])) {
        let end = Instant::now() + LAST_OUTPUT;
        while self.report.is_some() && Instant::now() < end {
            self.read_report();
        }
        while let Some(output) = &self.output {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            wait::for_input(output, left);
            self.read_output(on_output);
        }
    }

    /// Kills the supervisor and all it started.
    fn kill(&mut self) {
        let id = self.child.id().cast_signed();
        hunt(id, HUNT_BUDGET, &mut || {
            wait::pause(SETTLE);
            false
        });
        let _ = self.child.kill();
    }
}

/// Reads once; returns false at the end of the pipe.
fn read_some(pipe: &impl AsFd, take: &mut dyn FnMut(&[u8])) -> bool {
    let mut buffer = [0; READ_BYTES];
    match rustix::io::read(pipe, &mut buffer) {
        Ok(0) => false,
        Ok(n) => {
            take(&buffer[..n]);
            true
        }
        Err(Errno::AGAIN | Errno::INTR) => true,
        Err(_) => false,
    }
}

/// Makes what a cancel runs: it ends the lifeline and wakes the waiting thread, and never blocks.
fn closer(lifeline: Lifeline, cancelled: Arc<OwnedFd>) -> impl FnOnce() + Send {
    move || {
        drop(
            lifeline
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let _ = rustix::io::write(&*cancelled, &1u64.to_ne_bytes());
    }
}

/// Tells whether a supervisor ended as it should and left nothing behind.
fn is_clean(report: Option<&Report>) -> bool {
    match report {
        Some(Report::Ended { survivors, .. }) => *survivors == 0,
        Some(Report::Unprotected(_) | Report::NotStarted(_)) => true,
        None => false,
    }
}
