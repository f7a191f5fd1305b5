//! Running the tool calls of one assistant message: arguments checked, read-only neighbours side by side, the rest one
//! after the other.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use serde_json::Value;

use super::guard::print_of;
use super::legalise::clean;
use super::policy::Verdict;
use super::turn::{Question, Setup};
use crate::chat::{CallRecord, CallState, Image, ToolCall, ToolResult};
use crate::observability::{Event, RedactedStream, panic_point};
use crate::threads::run_parallel;
use crate::tools::{Action, Effects, Tool, ToolCtx, ToolError, fit};

/// Read-only calls of one message that run at once.
const WIDTH: usize = 4;
/// Tools may recurse over JSON or folders.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// Images of one call that a model gets.
const MAX_IMAGES: usize = 4;

/// For the model, when what a person allowed is no longer what would happen.
const CHANGED: &str = "Not done: while a person was asked, what this call would do changed (a link may lead elsewhere \
                       now). Look again before you repeat it.";
/// For the model, when the turn's time ended before the call began.
const TOO_LATE: &str = "Not run: the time for this request is used up.";

/// A call with its tool and checked arguments, or the reason why it will not run.
pub(super) struct Planned {
    pub(super) call: ToolCall,
    ready: Result<(Arc<dyn Tool>, Value, Effects), String>,
    /// What a person must allow first, and why.
    ask: Option<(Action, String)>,
}

impl Planned {
    /// Whether the journal must know that it begins.
    pub(super) fn needs_mark(&self) -> bool {
        matches!(self.ready, Ok((_, _, Effects::SideEffect)))
    }

    fn reads_only(&self) -> bool {
        self.ask.is_none() && matches!(self.ready, Ok((_, _, Effects::ReadOnly)) | Err(_))
    }

    /// Returns what a person must be asked before it runs.
    pub(super) fn question(&self) -> Option<Question<'_>> {
        let (action, reason) = self.ask.as_ref()?;
        Some(Question {
            call: &self.call,
            action,
            reason,
        })
    }

    /// Makes an error of it.
    pub(super) fn refuse(&mut self, why: String) {
        self.ready = Err(why);
    }

    /// Has the policy judge what it would do as things are now.
    fn judge(&mut self, setup: &Setup<'_>) {
        self.ask = None;
        let Ok((tool, arguments, _)) = &self.ready else {
            return;
        };
        let action = tool.action(arguments, setup.workspace);
        match setup.policy.judge(&self.call.name, &action) {
            Verdict::Allow => {}
            Verdict::Ask(reason) => self.ask = Some((action, reason)),
            Verdict::Deny(why) => self.ready = Err(why),
        }
    }

    /// Makes an error of a call that would do something else now than what the person allowed.
    pub(super) fn refuse_if_changed(&mut self, setup: &Setup<'_>) {
        let (Ok((tool, arguments, _)), Some((asked, _))) = (&self.ready, &self.ask) else {
            return;
        };
        if tool.action(arguments, setup.workspace) != *asked {
            self.ready = Err(CHANGED.to_owned());
        }
    }
}

/// Finds tools and checks arguments.
pub(super) fn plan(setup: &Setup<'_>, calls: Vec<ToolCall>) -> VecDeque<Planned> {
    let planned = calls.into_iter().map(|call| Planned {
        ready: prepare(setup, &call),
        ask: None,
        call,
    });
    planned.collect()
}

fn prepare(setup: &Setup<'_>, call: &ToolCall) -> Result<(Arc<dyn Tool>, Value, Effects), String> {
    let (tool, arguments) = setup.tools.check(&call.name, &call.arguments)?;
    let effects = tool.effects(&arguments);
    Ok((tool.clone(), arguments, effects))
}

/// Takes the next calls that may run side by side; the order of the calls is kept. The policy judges them only now:
/// what an earlier call of the message did, such as making a link, counts.
pub(super) fn next_batch(
    setup: &Setup<'_>,
    waiting: &mut VecDeque<Planned>,
) -> Option<Vec<Planned>> {
    let mut first = waiting.pop_front()?;
    first.judge(setup);
    let mut batch = vec![first];
    while batch[0].reads_only()
        && let Some(mut next) = waiting.pop_front()
    {
        next.judge(setup);
        if !next.reads_only() {
            waiting.push_front(next);
            break;
        }
        batch.push(next);
    }
    Some(batch)
}

/// Runs a batch for a model that sees images or not, and returns what is kept of each call, in order. What still runs at
/// `until` is cut.
pub(super) fn run_batch(
    setup: &Setup<'_>,
    batch: Vec<Planned>,
    takes_images: bool,
    until: Instant,
) -> Vec<(CallRecord, ToolResult)> {
    let jobs = batch
        .into_iter()
        .map(|planned| {
            Box::new(move || run_one(setup, planned, takes_images, until))
                as Box<dyn FnOnce() -> _ + Send + '_>
        })
        .collect();
    run_parallel("tool", STACK_BYTES, WIDTH, jobs)
}

fn run_one(
    setup: &Setup<'_>,
    planned: Planned,
    takes_images: bool,
    until: Instant,
) -> (CallRecord, ToolResult) {
    let Planned { call, ready, .. } = planned;
    let started_at = SystemTime::now();
    let began = Instant::now();
    setup.watch.tool_started(&call);
    let shown = Mutex::new(Vec::new());
    let show = |image: Image| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() < MAX_IMAGES {
            shown.push(image);
        }
    };
    let live = Mutex::new(RedactedStream::new(setup.secrets));
    let show_live = |text: &str| setup.watch.tool_output(&call.id, text);
    let ctx = ToolCtx {
        workspace: setup.workspace,
        session: setup.session,
        cancel: setup.cancel,
        output: &|text| {
            let mut live = live.lock().unwrap_or_else(PoisonError::into_inner);
            live.push(text, &mut { show_live });
        },
        secrets: setup.secrets,
        boundary: setup.boundary,
        until,
        judge: &|action| setup.policy.judge_underway(&call.name, action),
        images: takes_images.then_some(&show),
    };
    let result = if setup.cancel.is_cancelled() {
        Err(ToolError::Cancelled)
    } else if ready.is_ok() && began >= until {
        Err(ToolError::failed(TOO_LATE))
    } else {
        ready
            .map_err(ToolError::Failed)
            .and_then(|(tool, arguments, _)| run_tool(&call.name, &*tool, &arguments, &ctx))
    };
    let state = match &result {
        Ok(_) => CallState::Done,
        Err(ToolError::Failed(_)) => CallState::Failed,
        Err(ToolError::Cancelled) => CallState::Stopped,
    };
    let live = live.into_inner().unwrap_or_else(PoisonError::into_inner);
    live.finish(&mut { show_live });
    let shown = shown.into_inner().unwrap_or_else(PoisonError::into_inner);
    let is_error = result.is_err();
    let content = result.unwrap_or_else(|error| error.to_string());
    let content = clean(&setup.secrets.redact(&content)).into_owned();
    let print = print_of(&call, &content);
    let content = if content.trim().is_empty() {
        "(no output)".to_owned()
    } else {
        fit(setup.workspace, &call.name, content)
    };
    let record = CallRecord {
        call_id: call.id.clone(),
        name: call.name,
        state,
        started_at,
        took: began.elapsed(),
        result_bytes: content.len(),
        print,
    };
    setup.watch.tool_finished(&record, &content);
    setup.observers.tell(Event::ToolRan {
        turn: setup.turn,
        name: &record.name,
        took: record.took,
        is_error,
        bytes: content.len(),
    });
    let result = ToolResult {
        call_id: call.id,
        content,
        is_error,
        images: if is_error { Vec::new() } else { shown },
    };
    (record, result)
}

/// Runs a tool; its panic is its own failure, not the turn's.
fn run_tool(
    name: &str,
    tool: &dyn Tool,
    arguments: &Value,
    ctx: &ToolCtx<'_>,
) -> Result<String, ToolError> {
    let run = || {
        panic_point("tool");
        tool.run(arguments, ctx)
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        log::error!("tool {name} panicked");
        Err(ToolError::failed(
            "Internal error in this tool; the log has the details. Try another way.",
        ))
    })
}
