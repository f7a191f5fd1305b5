//! What a turn can do: the `Tool` trait, the registry, and one file per tool.
//!
//! Tools run on the turn's thread (read-only ones of one message on scoped threads beside it), act, and return text and images.
//! They see the workspace, a cancel token and a place for live output, and nothing of sessions or channels.

mod action;
mod bash;
mod bash_output;
mod binary;
mod calculator;
mod check;
mod command_line;
mod encoding;
mod file_edit;
mod file_read;
mod file_write;
mod list;
mod process;
mod processes;
mod random;
mod registry;
mod schema;
mod search;
mod seen;
mod send_message;
mod similar;
mod spill;
#[cfg(test)]
mod testing;
mod typed;
mod untrusted;
mod web;
mod words;
mod workspace;

use std::borrow::Cow;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chat::{Image, SessionId};
use crate::observability::Redactor;
use crate::threads::CancelToken;

pub use action::{Action, Reach, Standing};
pub use bash::{Bash, BashSettings};
pub use check::check_arguments;
pub use command_line::{CommandLine, base_name};
pub use list::builtin;
pub use processes::{ProcessInfo, ProcessPort, Processes};
pub(crate) use random::random_hex;
pub use registry::Registry;
pub use schema::typed_schema;
pub use send_message::{Courier, send_message};
pub use spill::{MAX_RESULT_CHARS, Spill, Spilled, fit};
pub use typed::TypedTool;
pub use web::{Resolve, WebSettings};
pub use workspace::{
    FileError, Folder, FolderEntry, Found, ResultLimits, Target, Workspace, WorkspaceFile,
    WorkspaceOptions,
};

/// Largest file the file tools change or hash, in bytes.
const MAX_EDIT_BYTES: u64 = 8 * 1024 * 1024;

/// What running a call again would do; decides about journaling and parallel runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effects {
    /// Changes nothing: may run beside others and may be run again.
    ReadOnly,
    /// Changes something, but twice is the same as once.
    Idempotent,
    /// Must not be run twice on our own initiative.
    SideEffect,
}

/// What a tool may use while it runs.
pub struct ToolCtx<'a> {
    /// The workspace; `workspace.path()` is the folder, absolute.
    pub workspace: &'a Workspace,
    /// The dialog the call belongs to.
    pub session: &'a SessionId,
    /// Stops the call.
    pub cancel: &'a CancelToken,
    /// Masks secrets in what leaves the call by other ways than its result, which is masked behind it.
    pub secrets: &'a Redactor,
    /// Takes live output for clients that watch.
    pub output: &'a (dyn Fn(&str) + Sync),
    /// Random word of this turn; marks text from outside so that it cannot pretend to end.
    pub boundary: &'a str,
    /// When the turn's time is over: a call that would last longer is cut.
    pub until: Instant,
    /// Judges what a call turns out to do on its way, such as following a redirect to another host; an error is a
    /// sentence for the model.
    pub judge: &'a (dyn Fn(&Action) -> Result<(), String> + Sync),
    /// Takes images for the model to see beside the result; `None` if it sees none.
    pub images: Option<&'a (dyn Fn(Image) + Sync)>,
}

impl ToolCtx<'_> {
    /// Returns how much of the turn's time is left.
    fn time_left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// Why a call gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// For the model: what was wrong and what to do next. Goes back as an error result.
    #[error("{0}")]
    Failed(String),
    /// The turn was stopped while the call ran.
    #[error("Stopped by user")]
    Cancelled,
}

impl ToolError {
    /// Makes an error for the model.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}

/// One ability of the agent.
pub trait Tool: Send + Sync {
    /// Returns the name the model calls, `^[a-z][a-z0-9_]{0,63}$`.
    fn name(&self) -> Cow<'static, str>;

    /// Returns one or two sentences for the model.
    fn description(&self) -> Cow<'static, str>;

    /// Returns the JSON Schema of the arguments: an object with `properties`.
    fn parameters(&self) -> Value;

    /// Tells what running these arguments again would do.
    fn effects(&self, arguments: &Value) -> Effects;

    /// Tells what a call would do, for the approval policy and for the person who may be asked.
    fn action(&self, _arguments: &Value, _workspace: &Workspace) -> Action {
        Action::allowed(self.name())
    }

    /// Runs a call. `arguments` is an object that passed the schema check.
    fn run(&self, arguments: &Value, ctx: &ToolCtx<'_>) -> Result<String, ToolError>;
}
