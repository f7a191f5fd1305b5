//! `bash`: a command line in the workspace, run by the sandbox. Runs on the turn's thread, which blocks until the end.
//!
//! A command that ran is a result whatever its exit code: models read the code. Only one that could not run or had to be
//! killed is an error. Not here: confinement, killing and output limits, which are the sandbox's.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Action, CommandLine, Effects, Found, Reach, Standing, Tool, ToolCtx, ToolError, Workspace,
    typed_schema,
};
use crate::sandbox::{Call, Cleaner, End, Level, OUTPUT_CAP_BYTES, Outcome, Sandbox, SandboxError};

const MAX_TIMEOUT_SECS: u64 = 600;

/// How much of a call's output is shown while it runs; who prints more is building something, not talking.
const MAX_LIVE_BYTES: usize = 256 * 1024;

#[derive(Deserialize, JsonSchema)]
struct Arguments {
    /// The command line.
    command: String,
    /// Folder below the workspace to start in.
    cwd: Option<String>,
    /// Killed after this many seconds; default 120.
    #[schemars(range(min = 1, max = 600))]
    timeout_secs: Option<u64>,
}

/// What the tool needs.
pub struct BashSettings {
    /// Runs the commands; its level must not be `off`, or every call fails.
    pub sandbox: Arc<Sandbox>,
    /// How long a command may run if its call names no time; 600 s at most.
    pub timeout: Duration,
}

/// The shell tool.
pub struct Bash {
    sandbox: Arc<Sandbox>,
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
            shell: if has_bash { "/bin/bash" } else { "/bin/sh" },
        }
    }
}

impl Tool for Bash {
    fn name(&self) -> Cow<'static, str> {
        "bash".into()
    }

    fn description(&self) -> Cow<'static, str> {
        let policy = self.sandbox.policy();
        match (policy.level, policy.network) {
            (Level::Full, _) => "Runs a shell command in the workspace. No input; nothing keeps running after it.",
            (_, true) => {
                "Runs a shell command in the workspace. Only the workspace, $HOME and $TMPDIR are writable; no input; \
                 nothing keeps running after it."
            }
            (_, false) => {
                "Runs a shell command in the workspace. Only the workspace, $HOME and $TMPDIR are writable; no \
                 network, no input; nothing keeps running after it."
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

    fn action(&self, arguments: &Value) -> Action {
        let line = arguments["command"].as_str().unwrap_or_default();
        let command = CommandLine::parse(line);
        let folder = match arguments["cwd"].as_str().unwrap_or_default() {
            "" => String::new(),
            cwd => format!(" (in {cwd})"),
        };
        let mut action = Action::allowed(format!("{line}{folder}"));
        if command.can_be_remembered() {
            action.subject = command.argv.as_ref().map(|argv| {
                let argv = serde_json::to_string(argv);
                argv.expect("a list of texts always serialises") + &folder
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
        let cwd = start_folder(ctx.workspace, arguments.cwd.as_deref())?;
        let secs = arguments.timeout_secs.unwrap_or(self.timeout.as_secs());
        let secs = secs.clamp(1, MAX_TIMEOUT_SECS);
        let call = Call {
            workspace: ctx.workspace.path(),
            cwd: &cwd,
            argv: vec![self.shell.into(), "-c".into(), arguments.command.into()],
            env: Vec::new(),
            deadline: Duration::from_secs(secs),
            output_cap: OUTPUT_CAP_BYTES,
        };
        let mut live = Live::new(ctx.output);
        let outcome = self
            .sandbox
            .run(&call, ctx.cancel, &mut |bytes| live.show(bytes));
        match outcome {
            Ok(outcome) => result(outcome, secs),
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

/// Shows output while it comes, as plain text and up to a limit.
struct Live<'a> {
    show: &'a (dyn Fn(&str) + Sync),
    cleaner: Cleaner,
    room: usize,
}

impl<'a> Live<'a> {
    fn new(show: &'a (dyn Fn(&str) + Sync)) -> Self {
        Self {
            show,
            cleaner: Cleaner::new(),
            room: MAX_LIVE_BYTES,
        }
    }

    fn show(&mut self, bytes: &[u8]) {
        if self.room == 0 {
            return;
        }
        let mut text = String::new();
        self.cleaner
            .push(&bytes[..bytes.len().min(self.room)], &mut text);
        self.room -= bytes.len().min(self.room);
        if self.room == 0 {
            text.push_str("\n[more output is not shown live]\n");
        }
        if !text.is_empty() {
            (self.show)(&text);
        }
    }
}

fn result(outcome: Outcome, secs: u64) -> Result<String, ToolError> {
    let mut text = outcome.output;
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
        End::Deadline => Err(ToolError::Failed(
            text + &format!("[killed: deadline {secs} s]"),
        )),
        End::TooManyProcesses => Err(ToolError::failed(text + "[killed: too many processes]")),
        End::Cancelled => Err(ToolError::Cancelled),
    }
}

fn exit_line(code: i32, killed: usize) -> String {
    match killed {
        0 => format!("[exit {code}]"),
        n => format!("[exit {code}; stopped in the background: {n}]"),
    }
}

fn sentence(error: &SandboxError) -> String {
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
        assert_eq!(result(outcome, 120), expected);
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

    #[test]
    fn live_output_is_plain_and_ends_at_its_limit() {
        let shown = std::sync::Mutex::new(String::new());
        let show = |text: &str| shown.lock().unwrap().push_str(text);
        let mut live = Live::new(&show);
        live.show("\x1b[1m你".as_bytes());
        live.show(&vec![b'x'; 2 * MAX_LIVE_BYTES]);
        live.show(b"never");
        let shown = shown.lock().unwrap();
        assert!(shown.starts_with("你x"));
        assert!(shown.ends_with("x\n[more output is not shown live]\n"));
        assert!(shown.len() < MAX_LIVE_BYTES + 100);
    }
}
