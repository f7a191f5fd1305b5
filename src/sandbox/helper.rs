//! The supervisor: `picobot --sandbox-exec`, one process per call, alive as long as anything the call started.
//!
//! Runs on the process's main thread; the threads that confine themselves are in the neighbour module `launch`. Being
//! the subreaper of all it started, it is told of every death, and no double fork leads away from it. It ends the call
//! when the command exits, at the deadline, or when the lifeline (its standard input) ends; then it kills what is left,
//! reports and exits. It owns all children of its process, so it may reap any.
//!
//! Not here: output. The command writes straight into the gateway's pipe, which is this process's standard error.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::retry_on_intr;
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process,
    set_child_subreaper, set_dumpable_behavior, setpriority_process, setsid,
};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::launch::{Launched, Sweeper, launch};
use super::processes::{Hunt, Process, descendants, hunt, own_children};
use super::protocol::{End, Instruction, Report};
use super::{INPUT_ARGUMENT, input, limits, masks, wait};

/// How long processes that outlive the command get to end by themselves: a `>(filter)` is often a little later.
const GRACE: Duration = Duration::from_millis(50);

/// How long that lasts for few processes one of which is at work or waits for the processor: a busy machine is slow, and
/// who sleeps will not end soon. Looked at this often.
const BUSY_GRACE: Duration = Duration::from_millis(700);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long the killing may take before survivors are reported.
const HUNT_BUDGET: Duration = Duration::from_secs(3);

/// The supervisor's own priority, as nice value.
const FIRST: i32 = -20;

/// How long to wait for deaths within the hunt.
const SETTLE: Duration = Duration::from_millis(5);

/// How many quick looks for new children follow each slow one.
const POUNCES: usize = 100;

/// How many processes a command may have where the kernel does not limit it, and how often that is checked.
const MAX_PROCESSES: usize = 512;
const COUNT_EVERY: Duration = Duration::from_millis(50);
/// How seldom it is checked where little happens: few processes, and no more than at the last look.
const COUNT_SELDOM: Duration = Duration::from_secs(2);
const FEW_PROCESSES: usize = 32;

const MAX_INSTRUCTION_BYTES: usize = 16 * 1024 * 1024;

/// Supervises one command as told on standard input, reports on standard output and returns the exit code.
///
/// For `main`, before anything else of the program: it must be alone in its process. Exit code 0 means that a report was
/// given, 64 that nobody was there to give an instruction or take the report.
pub fn helper_main() -> i32 {
    let Ok(report) = supervise() else { return 64 };
    let Ok(mut line) = serde_json::to_vec(&report) else {
        return 64;
    };
    line.push(b'\n');
    match io::stdout()
        .write_all(&line)
        .and_then(|()| io::stdout().flush())
    {
        Ok(()) => 0,
        Err(_) => 64,
    }
}

fn supervise() -> io::Result<Report> {
    // Fails only for a group's leader, which is apart from the gateway's terminal signals already.
    let _ = setsid();
    // Root's commands have no kernel limit of processes: whoever counts and kills them must get the processor although
    // thousands want it. The command's own thread goes back to an ordinary priority; others than root may not do this.
    let _ = setpriority_process(None, FIRST);
    set_child_subreaper(Some(getpid()))?;
    let mut supervisor = Supervisor::new()?;
    let has_input = std::env::args_os()
        .nth(2)
        .is_some_and(|argument| argument == INPUT_ARGUMENT);
    let input = has_input
        .then(|| input::take_over(&io::stdin()))
        .transpose()?;
    let instruction = read_instruction()?;
    // Before anything that starts a thread, and before our files in /proc are closed to ourselves.
    let masks = match instruction.confine.as_ref().map(masks::apply).transpose() {
        Ok(masks) => masks.unwrap_or_default(),
        Err(missing) => return Ok(Report::Unprotected(missing)),
    };
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let deadline = Instant::now() + Duration::from_millis(instruction.deadline_ms);
    let Launched {
        main,
        protection,
        sweeper,
    } = match launch(instruction, masks, input)? {
        Ok(launched) => launched,
        Err(refusal) => return Ok(refusal),
    };
    let end = supervisor.watch(main, deadline);
    if matches!(end, Ok(End::Exited(_) | End::Signalled(_))) {
        supervisor.grace();
    }
    let Hunt { killed, survivors } = supervisor.kill_all(sweeper.as_ref());
    Ok(Report::Ended {
        end: end?,
        killed,
        survivors,
        protection,
    })
}

/// Reads the instruction: one line. The rest of standard input is the lifeline.
fn read_instruction() -> io::Result<Instruction> {
    let mut line = Vec::new();
    let mut buffer = [0; 64 * 1024];
    while line.last() != Some(&b'\n') {
        // Unbuffered: what follows the line must stay in the pipe.
        let n = retry_on_intr(|| rustix::io::read(io::stdin().as_fd(), &mut buffer))?;
        if n == 0 || line.len() > MAX_INSTRUCTION_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend_from_slice(&buffer[..n]);
    }
    Ok(serde_json::from_slice(&line)?)
}

/// What the main thread waits for, and what it knows of its children.
struct Supervisor {
    /// Written to by the signal handlers.
    wake: UnixStream,
    /// Set by a signal that asks to end.
    terminated: Arc<AtomicBool>,
    main: Option<Pid>,
    main_status: Option<WaitStatus>,
    /// Whether the last reaping found no child at all: as subreaper, then there is no descendant either.
    childless: bool,
}

impl Supervisor {
    fn new() -> io::Result<Self> {
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let terminated = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::flag::register(signal, terminated.clone())?;
        }
        for signal in [SIGCHLD, SIGTERM, SIGINT, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(Self {
            wake,
            terminated,
            main: None,
            main_status: None,
            childless: false,
        })
    }

    /// Waits until the command exits or the call must end.
    fn watch(&mut self, main: Pid, deadline: Instant) -> io::Result<End> {
        self.main = Some(main);
        let mut next_count = limits::counts_by_itself().then(|| Instant::now() + COUNT_EVERY);
        let (mut pause, mut counted) = (COUNT_EVERY, 0);
        loop {
            self.reap();
            if let Some(status) = self.main_status {
                return Ok(end_of(status));
            }
            let now = Instant::now();
            if self.terminated.load(Ordering::Acquire) {
                return Ok(End::Cancelled);
            }
            if now >= deadline {
                return Ok(End::Deadline);
            }
            if next_count.is_some_and(|at| now >= at) {
                let count = descendants(getpid().as_raw_pid()).len();
                if count > MAX_PROCESSES {
                    return Ok(End::TooManyProcesses);
                }
                pause = match count <= counted.min(FEW_PROCESSES) {
                    true => COUNT_SELDOM.min(pause * 2),
                    false => COUNT_EVERY,
                };
                counted = count;
                next_count = Some(Instant::now() + pause);
            }
            let wake_at = next_count.map_or(deadline, |at| at.min(deadline));
            let left = wake_at.saturating_duration_since(now);
            if matches!(self.wait(left)?, Wake::Lifeline) {
                return Ok(End::Cancelled);
            }
        }
    }

    /// Gives what outlives the command a moment to end by itself.
    fn grace(&mut self) {
        let start = Instant::now();
        loop {
            self.reap();
            let over = start.elapsed();
            let left = match GRACE.saturating_sub(over) {
                Duration::ZERO if over < BUSY_GRACE && few_at_work() => LOOK_EVERY,
                left => left,
            };
            if self.childless || left.is_zero() || !matches!(self.wait(left), Ok(Wake::Other)) {
                return;
            }
        }
    }

    fn kill_all(&mut self, sweeper: Option<&Sweeper>) -> Hunt {
        self.reap();
        if self.childless {
            return Hunt::default();
        }
        // One sweep kills all there are, however many; from then on it is they who need the processor, to die. Without a
        // sweeper many must be outrun first, few must not be starved.
        let seen = descendants(getpid().as_raw_pid()).len();
        if let Some(sweeper) = sweeper {
            sweeper.sweep();
        }
        if sweeper.is_some() || seen <= FEW_PROCESSES {
            let _ = setpriority_process(None, 0);
        }
        let end = Instant::now() + HUNT_BUDGET;
        let hunted = match sweeper {
            Some(sweeper) => self.sweep_all(sweeper, seen),
            None => hunt(getpid().as_raw_pid(), HUNT_BUDGET, &mut || {
                let _ = setpriority_process(None, 0);
                wait::for_input(&self.wake, SETTLE);
                self.drain();
                self.pounce();
                self.childless
            }),
        };
        // Who is no longer seen has died since the last look, or is hidden with all of /proc.
        while hunted.survivors == 0 && !self.childless && Instant::now() < end {
            wait::for_input(&self.wake, SETTLE);
            self.drain();
            self.pounce();
        }
        Hunt {
            survivors: hunted.survivors.max(usize::from(!self.childless)),
            ..hunted
        }
    }

    /// Kills everything confined, `killed` of which were seen, with single calls, which nothing can outrun.
    fn sweep_all(&mut self, sweeper: &Sweeper, killed: usize) -> Hunt {
        let end = Instant::now() + HUNT_BUDGET;
        loop {
            sweeper.sweep();
            wait::for_input(&self.wake, SETTLE);
            self.drain();
            self.reap();
            if self.childless || Instant::now() >= end {
                let left = || descendants(getpid().as_raw_pid()).len();
                let survivors = if self.childless { 0 } else { left() };
                return Hunt { killed, survivors };
            }
        }
    }

    /// Kills direct children as soon as they are seen, some times in a row. This catches what forks and exits faster than
    /// a look at all processes takes: each time it does, it becomes a direct child.
    fn pounce(&mut self) {
        for _ in 0..POUNCES {
            for child in own_children() {
                let _ = kill_process(child, Signal::KILL);
            }
            self.reap();
            if self.childless {
                return;
            }
        }
    }

    /// Waits for a death, the lifeline's end or the time.
    fn wait(&mut self, pause: Duration) -> io::Result<Wake> {
        let stdin = io::stdin();
        let mut fds = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(&self.wake, PollFlags::IN),
        ];
        wait::poll_for(&mut fds, pause)?;
        // Nothing is ever sent after the instruction, so anything to read there is the end.
        let lifeline = !fds[0].revents().is_empty();
        self.drain();
        Ok(if lifeline {
            Wake::Lifeline
        } else {
            Wake::Other
        })
    }

    fn drain(&mut self) {
        let mut buffer = [0; 256];
        while self.wake.read(&mut buffer).is_ok_and(|n| n == buffer.len()) {}
    }

    fn reap(&mut self) {
        self.childless = loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if Some(pid) == self.main => {
                    self.main_status = Some(status);
                }
                Ok(Some(_)) => {}
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
    }
}

enum Wake {
    /// The gateway is gone or wants the call to end.
    Lifeline,
    /// A signal or the time.
    Other,
}

/// Tells whether few processes are left and one of them would go on if it could.
fn few_at_work() -> bool {
    let left = descendants(getpid().as_raw_pid());
    left.len() <= FEW_PROCESSES && left.iter().any(Process::is_at_work)
}

fn end_of(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Exited(code),
        (None, Some(signal)) => End::Signalled(signal),
        // Neither can be: stops and continues are not asked for.
        (None, None) => End::Exited(status.as_raw()),
    }
}
