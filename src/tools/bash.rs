//! `bash`: a command line in the workspace, run by the sandbox. Runs on the turn's thread, which blocks until the end.
//!
//! A command that ran is a result whatever its exit code: models read the code. Only one that could not run or had to be
//! killed is an error. Not here: confinement, killing and output limits, which are the sandbox's.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::bash_output::CallOutput;
use super::process::{Process, shown};
use super::processes::Processes;
use super::{
    Action, CommandLine, Effects, Found, Reach, Standing, Tool, ToolCtx, ToolError, Workspace,
    typed_schema,
};
use crate::sandbox::{Call, End, Level, Outcome, Sandbox, SandboxError};

const MAX_TIMEOUT_SECS: u64 = 600;

/// Longest command line. Linux takes no longer argument: MAX_ARG_STRLEN is 32 pages, with the NUL at its end.
const MAX_COMMAND_BYTES: usize = 128 * 1024 - 1;

/// How long a command in the background is watched before the call returns: most of what cannot work fails at once.
const START_MOMENT: Duration = Duration::from_millis(700);

#[derive(Deserialize, JsonSchema)]
struct Arguments {
    /// The command line.
    command: String,
    /// Folder below the workspace to start in.
    cwd: Option<String>,
    /// Killed after this many seconds; default 120.
    #[schemars(range(min = 1, max = 600))]
    timeout_secs: Option<u64>,
    /// Return at once and leave it running; look after it with process.
    background: Option<bool>,
}

/// What the tool needs.
pub struct BashSettings {
    /// Runs the commands; its level must not be `off`, or every call fails.
    pub sandbox: Arc<Sandbox>,
    /// How long a command may run if its call names no time; 600 s at most.
    pub timeout: Duration,
    /// Where commands in the background are kept.
    pub processes: Processes,
}

/// The shell tool.
pub struct Bash {
    sandbox: Arc<Sandbox>,
    processes: Processes,
    timeout: Duration,
    shell: &'static str,
}

impl Bash {
    /// Makes the tool with bash, or with sh where there is no bash.
    pub fn new(settings: BashSettings) -> Self {
        let has_bash = Path::new("/bin/bash").exists();
        Self {
            sandbox: settings.sandbox,
            timeout: settings.timeout,
            processes: settings.processes,
            shell: if has_bash { "/bin/bash" } else { "/bin/sh" },
        }
    }
}

impl Bash {
    /// Makes the tool that looks after what this one starts in the background.
    pub(super) fn process_tool(&self) -> Process {
        Process::new(
            self.processes.clone(),
            self.sandbox.policy().level == Level::Full,
        )
    }

    /// Starts a command in the background and gives it a moment to fail.
    fn start(
        &self,
        command: &str,
        call: &Call<'_>,
        ctx: &ToolCtx<'_>,
    ) -> Result<String, ToolError> {
        let id = self.processes.start(ctx.session, command, call)?;
        let deadline = Instant::now() + START_MOMENT;
        let mut look = self
            .processes
            .look(ctx.session, &id, START_MOMENT, ctx.cancel)?;
        // What prints at once may still end at once.
        if look.end.is_none() && !ctx.cancel.is_cancelled() {
            let left = deadline.saturating_duration_since(Instant::now());
            let next = self.processes.look(ctx.session, &id, left, ctx.cancel)?;
            look.output.push_str(&next.output);
            (look.end, look.time) = (next.end, next.time);
        }
        Ok(format!("Background process {id}.\n{}", shown(&look)))
    }
}

impl Tool for Bash {
    fn name(&self) -> Cow<'static, str> {
        "bash".into()
    }

    fn description(&self) -> Cow<'static, str> {
        let policy = self.sandbox.policy();
        match (policy.level, policy.network) {
            (Level::Full, _) => "Runs a shell command in the workspace. No input. What it leaves running is killed.",
            (_, true) => {
                "Runs a shell command in the workspace. Only the workspace, $HOME and $TMPDIR are writable; no input. \
                 What it leaves running is killed."
            }
            (_, false) => {
                "Runs a shell command in the workspace. Only the workspace, $HOME and $TMPDIR are writable; no \
                 network, no input. What it leaves running is killed."
            }
        }
        .into()
    }

    fn parameters(&self) -> Value {
        typed_schema::<Arguments>()
    }

    fn effects(&self, _: &Value) -> Effects {
        Effects::SideEffect
    }

    fn action(&self, arguments: &Value, _: &Workspace) -> Action {
        let line = arguments["command"].as_str().unwrap_or_default();
        let command = CommandLine::parse(line);
        let mut manner = match arguments["cwd"].as_str().unwrap_or_default() {
            "" => String::new(),
            cwd => format!(" (in {cwd})"),
        };
        if arguments["background"] == true {
            manner.push_str(" (in the background)");
        }
        let mut action = Action::allowed(format!("{line}{manner}"));
        if command.can_be_remembered() {
            action.subject = command.argv.as_ref().map(|argv| {
                let argv = serde_json::to_string(argv);
                argv.expect("a list of texts always serialises") + &manner
            });
        }
        if self.sandbox.policy().level == Level::Full {
            action.standing = Standing::Ask("commands run without a sandbox here");
            action.reach = Reach::Outside;
        }
        action.command = Some(command);
        action
    }

    fn run(&self, arguments: &Value, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let arguments = Arguments::deserialize(arguments)
            .map_err(|error| ToolError::failed(format!("The arguments are not valid: {error}.")))?;
        if arguments.command.contains('\0') {
            return Err(ToolError::failed(
                "The command contains a NUL character; remove it.",
            ));
        }
        if arguments.command.len() > MAX_COMMAND_BYTES {
            return Err(ToolError::failed(format!(
                "The command has {} bytes, more than the {MAX_COMMAND_BYTES} that can be run; write it to a file with \
                 file_write and run that.",
                arguments.command.len()
            )));
        }
        let cwd = start_folder(ctx.workspace, arguments.cwd.as_deref())?;
        let secs = arguments.timeout_secs.unwrap_or(self.timeout.as_secs());
        let secs = secs.clamp(1, MAX_TIMEOUT_SECS);
        let call = Call {
            workspace: ctx.workspace.path(),
            cwd: &cwd,
            argv: vec![self.shell.into(), "-c".into(), arguments.command.into()],
            env: Vec::new(),
            deadline: Duration::from_secs(secs).min(ctx.time_left()),
            output_cap: 0,
        };
        if arguments.background == Some(true) {
            let [_, _, command] = &call.argv[..] else {
                return Err(ToolError::failed("There is no command."));
            };
            let command = command.to_string_lossy().into_owned();
            return self.start(&command, &call, ctx);
        }
        let mut output = CallOutput::new(ctx);
        let outcome = self
            .sandbox
            .run(&call, ctx.cancel, &mut |bytes| output.push(bytes));
        match outcome {
            Ok(outcome) => {
                let limit = match Duration::from_secs(secs) > call.deadline {
                    true => "the time for this request is used up".to_owned(),
                    false => format!("deadline {secs} s"),
                };
                result(&outcome, output.finish(), &limit)
            }
            Err(error) => Err(ToolError::Failed(sentence(&error))),
        }
    }
}

/// Returns the folder a command starts in: the workspace or one below it.
fn start_folder(workspace: &Workspace, cwd: Option<&str>) -> Result<PathBuf, ToolError> {
    let Some(cwd) = cwd.filter(|cwd| !cwd.is_empty()) else {
        return Ok(workspace.path().to_owned());
    };
    match workspace.find(cwd) {
        Ok(Found::Folder(folder)) => Ok(workspace.path().join(folder.name)),
        Ok(Found::File(_)) => Err(ToolError::failed(format!(
            "cwd: {cwd} is a file, not a folder."
        ))),
        Err(error) => Err(ToolError::failed(format!("cwd: {cwd}: {error}"))),
    }
}

/// `limit` says what ended a command that took too long.
fn result(outcome: &Outcome, mut text: String, limit: &str) -> Result<String, ToolError> {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    match outcome.survivors {
        0 => {}
        n => text.push_str(&format!("[processes that could not be stopped: {n}]\n")),
    }
    match outcome.end {
        End::Exited(code) => Ok(text + &exit_line(code, outcome.killed)),
        End::Signalled(signal) => Ok(text + &format!("[signal {signal}]")),
        End::Deadline => Err(ToolError::Failed(text + &format!("[killed: {limit}]"))),
        End::TooManyProcesses => Err(ToolError::failed(text + "[killed: too many processes]")),
        End::Cancelled => Err(ToolError::Cancelled),
    }
}

/// Says how a command in the background ended, which had so long.
pub(super) fn ending(outcome: &Outcome, lifetime: Duration) -> String {
    match outcome.end {
        End::Exited(code) => exit_line(code, outcome.killed),
        End::Signalled(signal) => format!("[signal {signal}]"),
        End::Deadline => format!("[killed: deadline {} s]", lifetime.as_secs()),
        End::TooManyProcesses => "[killed: too many processes]".to_owned(),
        End::Cancelled => "[killed]".to_owned(),
    }
}

fn exit_line(code: i32, killed: usize) -> String {
    match killed {
        0 => format!("[exit {code}]"),
        n => format!("[exit {code}; stopped in the background: {n}]"),
    }
}

pub(super) fn sentence(error: &SandboxError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    if let Some(first) = text.get(..1) {
        let first = first.to_uppercase();
        text.replace_range(..1, &first);
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Protection;

    fn check(end: End, output: &str, killed: usize, expected: Result<&str, &str>) {
        let outcome = Outcome {
            end,
            output: output.into(),
            output_bytes: output.len() as u64,
            killed,
            survivors: 0,
            protection: Protection::default(),
        };
        let expected = expected
            .map(str::to_owned)
            .map_err(|text| ToolError::Failed(text.to_owned()));
        assert_eq!(
            result(&outcome, output.to_owned(), "deadline 120 s"),
            expected
        );
    }

    #[test]
    fn the_last_line_tells_how_it_ended() {
        check(End::Exited(0), "", 0, Ok("[exit 0]"));
        check(End::Exited(3), "a", 0, Ok("a\n[exit 3]"));
        check(End::Signalled(9), "a\n", 0, Ok("a\n[signal 9]"));
        check(
            End::Exited(0),
            "a\n",
            2,
            Ok("a\n[exit 0; stopped in the background: 2]"),
        );
        check(End::Deadline, "a\n", 1, Err("a\n[killed: deadline 120 s]"));
    }

    #[test]
    fn errors_become_sentences() {
        assert_eq!(
            sentence(&SandboxError::Off),
            "Running commands is switched off; set sandbox.level to \"workspace\" to allow it."
        );
        let error = SandboxError::Scratch(std::io::ErrorKind::StorageFull.into());
        assert_eq!(
            sentence(&error),
            "The command's private folders could not be made: no storage space."
        );
    }
}
