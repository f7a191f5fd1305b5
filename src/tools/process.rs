//! `process`: looks after what `bash` started in the background. Runs on the turn's thread.
//!
//! One small tool for all that can be done: without `id` it lists, with `id` it shows what is new; `input` is typed first,
//! `kill` ends it. Not here: the processes themselves (`processes`).

use std::borrow::Cow;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::processes::{Look, ProcessInfo, ProcessPort, Processes};
use super::{Action, Effects, Reach, Standing, Tool, ToolCtx, ToolError, Workspace, typed_schema};

/// How long a killed process may take to be gone.
const END_LIMIT: Duration = Duration::from_secs(3);
/// How long a look waits for news at least: who looks again and again sees another running time each time, so that the
/// guard against circles does not end a turn that waits for a build.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// How long to wait for an answer to input if the call names no time.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

#[derive(Deserialize, JsonSchema)]
struct Arguments {
    /// Which; without it all are listed.
    id: Option<String>,
    /// Typed into it, line end included; "" closes its input.
    input: Option<String>,
    /// End it.
    kill: Option<bool>,
    /// Wait so long for output or its end.
    #[schemars(range(min = 0, max = 600))]
    wait_secs: Option<u64>,
}

/// The tool.
pub(super) struct Process {
    processes: Processes,
    /// Whether commands run without a sandbox.
    unconfined: bool,
}

impl Process {
    pub(super) fn new(processes: Processes, unconfined: bool) -> Self {
        Self {
            processes,
            unconfined,
        }
    }
}

impl Tool for Process {
    fn name(&self) -> Cow<'static, str> {
        "process".into()
    }

    fn description(&self) -> Cow<'static, str> {
        "Lists background processes, or shows one's new output, types input, or ends it.".into()
    }

    fn parameters(&self) -> Value {
        typed_schema::<Arguments>()
    }

    fn effects(&self, arguments: &Value) -> Effects {
        match (&arguments["input"], &arguments["kill"]) {
            (Value::Null, Value::Null | Value::Bool(false)) => Effects::Idempotent,
            _ => Effects::SideEffect,
        }
    }

    fn action(&self, arguments: &Value, _: &Workspace) -> Action {
        let id = arguments["id"].as_str().unwrap_or_default();
        match arguments["input"].as_str() {
            Some(input) if self.unconfined => {
                let mut action = Action::allowed(format!("type into {id}: {input}"));
                action.standing = Standing::Ask("commands run without a sandbox here");
                action.reach = Reach::Outside;
                action
            }
            Some(input) => Action::allowed(format!("type into {id}: {input}")),
            None => Action::allowed(format!("look after background process {id}")),
        }
    }

    fn run(&self, arguments: &Value, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let arguments = Arguments::deserialize(arguments)
            .map_err(|error| ToolError::failed(format!("The arguments are not valid: {error}.")))?;
        let Some(id) = arguments.id.as_deref().filter(|id| !id.is_empty()) else {
            if arguments.input.is_some() || arguments.kill == Some(true) {
                return Err(ToolError::failed(
                    "id is missing; without it nothing can be typed or ended.",
                ));
            }
            return Ok(listing(&self.processes.list(ctx.session)));
        };
        match arguments.input.as_deref() {
            None => {}
            Some("") => self.processes.close_input(ctx.session, id)?,
            Some(input) => self.processes.write(ctx.session, id, input)?,
        }
        let mut wait = match (arguments.wait_secs, &arguments.input) {
            (Some(secs), _) => Duration::from_secs(secs.min(600)),
            (None, Some(_)) => ANSWER_LIMIT,
            (None, None) => Duration::ZERO,
        };
        if arguments.input.is_none() {
            wait = wait.max(LEAST_WAIT);
        }
        wait = wait.min(ctx.time_left());
        if arguments.kill == Some(true) {
            self.processes.kill(ctx.session, Some(id));
            wait = END_LIMIT;
        }
        let look = match arguments.kill {
            Some(true) => self.look_at_end(id, wait, ctx)?,
            _ => self.processes.look(ctx.session, id, wait, ctx.cancel)?,
        };
        if ctx.cancel.is_cancelled() {
            return Err(ToolError::Cancelled);
        }
        Ok(shown(&look))
    }
}

impl Process {
    /// Looks until it has ended; what it prints meanwhile is no reason to return.
    fn look_at_end(&self, id: &str, limit: Duration, ctx: &ToolCtx<'_>) -> Result<Look, ToolError> {
        let deadline = std::time::Instant::now() + limit;
        let mut output = String::new();
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let look = self.processes.look(ctx.session, id, left, ctx.cancel)?;
            output.push_str(&look.output);
            if look.end.is_some() || left.is_zero() || ctx.cancel.is_cancelled() {
                return Ok(Look { output, ..look });
            }
        }
    }
}

/// Returns output with a last line that tells the state.
pub(super) fn shown(look: &Look) -> String {
    let mut text = look.output.clone();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    match &look.end {
        Some(end) => text.push_str(end),
        None => text.push_str(&format!("[running for {} s]", look.time.as_secs())),
    }
    text
}

fn listing(processes: &[ProcessInfo]) -> String {
    if processes.is_empty() {
        return "No background processes.".to_owned();
    }
    let lines = processes.iter().map(|process| {
        let state = process.end.as_deref().unwrap_or("running");
        let command = process.command.lines().next().unwrap_or_default();
        format!(
            "{} {state} {} s: {command}",
            process.id,
            process.time.as_secs()
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}
