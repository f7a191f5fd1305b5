//! Starting the command, confined, from threads of the supervisor that confine themselves.
//!
//! Two threads, because what confines the command must not reach the supervisor and yet somebody must reach all of the
//! command's processes at once:
//!
//! - `sweep` enters a Landlock domain that only cuts off signals to the outside, and lives as long as the supervisor.
//! - `launch`, started by it and so inside that domain, enters a second one with all the rules, starts the command, ends.
//!
//! A domain may signal itself and the domains within it, never those around it. So `sweep` can signal every process of
//! the command and no other, and none of them can signal `sweep`. Where this does not hold (level `full`, old kernels)
//! there is no sweeper, and the supervisor hunts process by process.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, getppid, kill_process_group, setpriority_process, test_kill_process,
};

use super::masks::Masks;
use super::protocol::{Instruction, Protection, Report};
use super::{confine, limits};

/// Commands yield to their supervisor and to the gateway.
const NICENESS: i32 = 5;

const STACK_BYTES: usize = 512 * 1024;

/// A command at work.
pub(super) struct Launched {
    /// The command's first process.
    pub(super) main: Pid,
    /// What confines it.
    pub(super) protection: Protection,
    /// Kills all of it at once, where that can be.
    pub(super) sweeper: Option<Sweeper>,
}

/// The way to the `sweep` thread.
pub(super) struct Sweeper {
    /// An order carries the sender of its answer.
    orders: Sender<Sender<()>>,
}

impl Sweeper {
    /// Sends SIGKILL to every process of the command, in one call that no forking can outrun.
    pub(super) fn sweep(&self) {
        let (answer, done) = bounded(1);
        if self.orders.send(answer).is_ok() {
            let _ = done.recv();
        }
    }
}

type Started = (Pid, Protection);

/// Starts the command; the inner error is why it was not.
pub(super) fn launch(
    instruction: Instruction,
    masks: Masks,
    input: Option<OwnedFd>,
) -> io::Result<Result<Launched, Report>> {
    if instruction.confine.is_none() {
        return Ok(
            start_from_thread(instruction, masks, input)?.map(|(main, protection)| Launched {
                main,
                protection,
                sweeper: None,
            }),
        );
    }
    // One order at a time: its sender waits for the answer.
    let (orders, queue) = bounded(1);
    let (answer, launched) = bounded(1);
    let _thread = crate::threads::spawn("sweep", STACK_BYTES, move || {
        let enclosed = enclose_signals();
        let started = start_from_thread(instruction, masks, input);
        let _ = answer.send((started, enclosed));
        if enclosed {
            serve_sweeps(&queue);
        }
    })?;
    // A dropped sender is a panic of the thread.
    let (started, enclosed) = launched.recv().map_err(io::Error::other)?;
    Ok(started?.map(|(main, protection)| Launched {
        main,
        protection,
        sweeper: enclosed.then_some(Sweeper { orders }),
    }))
}

/// Cuts the calling thread off from signalling the outside, and tells whether that is proven: the gateway, which runs as
/// the same user, could be signalled before and cannot be after.
fn enclose_signals() -> bool {
    let Some(gateway) = getppid() else {
        return false;
    };
    test_kill_process(gateway).is_ok()
        && confine::scope_signals().is_ok()
        && test_kill_process(gateway) == Err(Errno::PERM)
}

fn serve_sweeps(queue: &Receiver<Sender<()>>) {
    for answer in queue {
        // The "group" 1 stands for every process the caller may signal, its own excepted; see kill(2).
        let _ = kill_process_group(Pid::INIT, Signal::KILL);
        let _ = answer.send(());
    }
}

/// Runs `confine_and_start` on a thread of its own, which ends: what it confined itself to lives on in the command.
fn start_from_thread(
    instruction: Instruction,
    masks: Masks,
    input: Option<OwnedFd>,
) -> io::Result<Result<Started, Report>> {
    let (answer, started) = bounded(1);
    let _thread = crate::threads::spawn("launch", STACK_BYTES, move || {
        let _ = answer.send(confine_and_start(&instruction, &masks, input));
    })?;
    started.recv().map_err(io::Error::other)
}

fn confine_and_start(
    instruction: &Instruction,
    masks: &Masks,
    input: Option<OwnedFd>,
) -> Result<Started, Report> {
    let not_started = |error: io::Error| Report::NotStarted(error.to_string());
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(instruction.umask));
    // Of this thread and what it starts; failing is no reason not to run.
    let _ = setpriority_process(None, NICENESS);
    limits::apply().map_err(not_started)?;
    let protection = match &instruction.confine {
        Some(confine) => confine::apply(confine, masks).map_err(Report::Unprotected)?,
        None => Protection::default(),
    };
    let pid =
        start(instruction, input).map_err(|error| not_started(explain(error, instruction)))?;
    Ok((pid, protection))
}

fn start(instruction: &Instruction, input: Option<OwnedFd>) -> io::Result<Pid> {
    let [program, arguments @ ..] = instruction.argv.as_slice() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let output = || io::stderr().as_fd().try_clone_to_owned().map(Stdio::from);
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(instruction.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&instruction.cwd)
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .stdout(output()?)
        .stderr(output()?)
        .process_group(0)
        .spawn()?;
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Says whether the folder or the program is at fault, which the plain error does not.
fn explain(error: io::Error, instruction: &Instruction) -> io::Error {
    let subject = |path: Option<&OsString>| {
        path.map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    match std::fs::read_dir(&instruction.cwd) {
        Err(folder) => io::Error::other(format!("{}: {folder}", subject(Some(&instruction.cwd)))),
        Ok(_) => io::Error::other(format!("{}: {error}", subject(instruction.argv.first()))),
    }
}
