//! The gateway's side of a call: settings, the call, and what came of it. Runs on the thread that calls, which blocks.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::error::SandboxError;
use super::input::{self, CommandInput};
use super::output::Kept;
use super::protocol::{Confine, End, Instruction, Protection, Report};
use super::scratch::Scratch;
use super::supervised::Supervised;
use crate::threads::CancelToken;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The longest a command may run, whatever its call says.
const MAX_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a command that does nothing may take on a busy machine.
const PROBE_DEADLINE: Duration = Duration::from_secs(30);

/// How far commands are let.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Level {
    /// No commands.
    Off,
    /// System folders for reading, the workspace and private folders for writing, nothing else.
    #[default]
    Workspace,
    /// Everything the user may do. Still supervised, still with a clean environment.
    Full,
}

/// What holds for all commands of a process.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Our own binary, which becomes the supervisor.
    pub helper: PathBuf,
    /// How far commands are let.
    pub level: Level,
    /// Whether to refuse commands where the kernel lacks a protection.
    pub required: bool,
    /// Whether commands may use the internet. Local sockets stay closed.
    pub network: bool,
    /// Further paths to read and execute. Missing ones are skipped.
    pub read_paths: Vec<PathBuf>,
    /// Further folders with every right. Missing ones are skipped.
    pub write_paths: Vec<PathBuf>,
    /// Files and folders that commands must not see wherever they lie. Missing ones are skipped.
    pub private: Vec<PathBuf>,
    /// Variables of our own environment that commands get.
    pub env: Vec<(OsString, OsString)>,
    /// The file mode mask of commands: the user's own, not the gateway's.
    pub umask: u32,
    /// Where private folders are made.
    pub temp_dir: PathBuf,
}

impl Policy {
    /// Makes the default policy: level `workspace`, required, no network.
    pub fn new(umask: u32) -> Self {
        Self {
            helper: PathBuf::from("/proc/self/exe"),
            level: Level::default(),
            required: true,
            network: false,
            read_paths: Vec::new(),
            write_paths: Vec::new(),
            private: Vec::new(),
            env: Vec::new(),
            umask,
            temp_dir: std::env::temp_dir(),
        }
    }
}

/// One command.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The folder it may write to, absolute.
    pub workspace: &'a Path,
    /// The folder it starts in, absolute.
    pub cwd: &'a Path,
    /// The program, by absolute path, and its arguments.
    pub argv: Vec<OsString>,
    /// Environment variables besides the basic ones; they win over those.
    pub env: Vec<(OsString, OsString)>,
    /// How long it may run, a day at most.
    pub deadline: Duration,
    /// How many bytes of output to keep.
    pub output_cap: usize,
}

/// What came of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// What it printed, as plain text, with a mark where the middle was left out.
    pub output: String,
    /// How many bytes it printed.
    pub output_bytes: u64,
    /// How many processes had to be killed at the end.
    pub killed: usize,
    /// How many processes could not be killed.
    pub survivors: usize,
    /// What confined it.
    pub protection: Protection,
}

/// Runs commands under one policy. Calls may run at the same time; they share a private home and temporary folder.
#[derive(Debug)]
pub struct Sandbox {
    policy: Policy,
    scratch: Mutex<Option<Arc<Scratch>>>,
}

impl Sandbox {
    /// Makes a sandbox; nothing is started or created before the first call.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            scratch: Mutex::new(None),
        }
    }

    /// Returns the policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Finds out how commands in a workspace are confined, by running one that does nothing. Blocks for its run.
    pub fn probe(
        &self,
        workspace: &Path,
        cancel: &CancelToken,
    ) -> Result<Protection, SandboxError> {
        let call = Call {
            workspace,
            cwd: workspace,
            argv: vec!["/bin/true".into()],
            env: Vec::new(),
            deadline: PROBE_DEADLINE,
            output_cap: 0,
        };
        Ok(self.run(&call, cancel, &mut |_| {})?.protection)
    }

    /// Runs a command and waits for its end; nothing it started is left then.
    ///
    /// `on_output` gets the raw output as it comes, all of it. Blocks at most for the deadline and a few seconds; after a
    /// cancel for less than 2 s.
    pub fn run(
        &self,
        call: &Call<'_>,
        cancel: &CancelToken,
        on_output: &mut dyn FnMut(&[u8]),
    ) -> Result<Outcome, SandboxError> {
        if self.policy.level == Level::Off {
            return Err(SandboxError::Off);
        }
        if cancel.is_cancelled() {
            return Ok(cancelled(Kept::new(call.output_cap)));
        }
        self.start(call, false)?.wait(cancel, on_output)
    }

    /// Starts a command that has a standard input, and does not wait for its end: [`Started::wait`] does.
    pub fn start_with_input(&self, call: &Call<'_>) -> Result<Started, SandboxError> {
        if self.policy.level == Level::Off {
            return Err(SandboxError::Off);
        }
        self.start(call, true)
    }

    fn start(&self, call: &Call<'_>, has_input: bool) -> Result<Started, SandboxError> {
        let deadline = call.deadline.min(MAX_DEADLINE);
        let scratch = self.scratch()?;
        let instruction = self.instruction(call, deadline, &scratch);
        let mut line = serde_json::to_vec(&instruction)
            .map_err(|error| SandboxError::NotStarted(error.to_string()))?;
        line.push(b'\n');
        let (input, reader) = match has_input {
            true => input::pipe().map(|(input, reader)| (Some(input), Some(reader))),
            false => Ok((None, None)),
        }
        .map_err(SandboxError::Supervisor)?;
        let supervised = Supervised::start(&self.policy.helper, line, reader)
            .map_err(SandboxError::Supervisor)?;
        Ok(Started {
            supervised,
            input,
            kept: Kept::new(call.output_cap),
            deadline,
            _scratch: scratch,
        })
    }

    fn instruction(&self, call: &Call<'_>, deadline: Duration, scratch: &Scratch) -> Instruction {
        let confine = (self.policy.level != Level::Full).then(|| self.confine(call, scratch));
        Instruction {
            argv: call.argv.clone(),
            cwd: call.cwd.into(),
            env: self.environment(call, scratch),
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            umask: self.policy.umask,
            confine,
        }
    }

    fn confine(&self, call: &Call<'_>, scratch: &Scratch) -> Confine {
        let policy = &self.policy;
        let names = |paths: &[PathBuf]| paths.iter().map(OsString::from).collect::<Vec<_>>();
        let mut write = vec![
            call.workspace.into(),
            scratch.home().into(),
            scratch.tmp().into(),
        ];
        let present = policy.write_paths.iter().filter(|path| path.is_dir());
        write.extend(present.map(OsString::from));
        Confine {
            required: policy.required,
            network: policy.network,
            read: names(&policy.read_paths),
            write,
            private: names(&policy.private),
            masks: scratch.masks().into(),
            tmp: scratch.tmp().into(),
        }
    }

    fn environment(&self, call: &Call<'_>, scratch: &Scratch) -> Vec<(OsString, OsString)> {
        let mut env: Vec<(OsString, OsString)> = vec![
            ("PATH".into(), PATH.into()),
            ("HOME".into(), scratch.home().into()),
            ("TMPDIR".into(), scratch.tmp().into()),
            ("LANG".into(), "C.UTF-8".into()),
            ("TERM".into(), "dumb".into()),
        ];
        env.extend(std::env::var_os("TZ").map(|zone| ("TZ".into(), zone)));
        // A later entry of the same name wins.
        env.extend(self.policy.env.iter().cloned());
        env.extend(call.env.iter().cloned());
        env
    }

    fn scratch(&self) -> Result<Arc<Scratch>, SandboxError> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        match &*scratch {
            Some(scratch) if scratch.is_whole() => Ok(scratch.clone()),
            _ => {
                let new = Scratch::new(&self.policy.temp_dir).map_err(SandboxError::Scratch)?;
                Ok(scratch.insert(Arc::new(new)).clone())
            }
        }
    }
}

/// A command at work. Dropping it ends the command.
#[derive(Debug)]
pub struct Started {
    supervised: Supervised,
    input: Option<CommandInput>,
    kept: Kept,
    deadline: Duration,
    /// The command's folders stay as long as it runs.
    _scratch: Arc<Scratch>,
}

impl Started {
    /// Takes the command's standard input, once. If nobody does, it stays open until [`Started::wait`] returns.
    pub fn take_input(&mut self) -> Option<CommandInput> {
        self.input.take()
    }

    /// Waits for the command's end; see [`Sandbox::run`].
    pub fn wait(
        self,
        cancel: &CancelToken,
        on_output: &mut dyn FnMut(&[u8]),
    ) -> Result<Outcome, SandboxError> {
        let mut kept = self.kept;
        let report = self.supervised.finish(self.deadline, cancel, &mut |bytes| {
            kept.push(bytes);
            on_output(bytes);
        });
        match report {
            Some(Report::Ended {
                end,
                killed,
                survivors,
                protection,
            }) => Ok(Outcome {
                end,
                output_bytes: kept.total(),
                output: kept.into_text(),
                killed,
                survivors,
                protection,
            }),
            Some(Report::Unprotected(missing)) => Err(SandboxError::Unprotected { missing }),
            Some(Report::NotStarted(reason)) => Err(SandboxError::NotStarted(reason)),
            None if cancel.is_cancelled() => Ok(cancelled(kept)),
            None => Err(SandboxError::SupervisorLost),
        }
    }
}

/// The outcome where nobody reports one.
fn cancelled(kept: Kept) -> Outcome {
    Outcome {
        end: End::Cancelled,
        output_bytes: kept.total(),
        output: kept.into_text(),
        killed: 0,
        survivors: 0,
        protection: Protection::default(),
    }
}
