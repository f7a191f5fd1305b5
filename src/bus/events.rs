//! What the session and its turns send out to clients.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::chat::{Role, SessionId, StopReason, Usage};

use super::inbound::ClientId;

/// A message for one client.
#[derive(Clone, PartialEq, Debug)]
pub struct Outbound {
    /// Where it goes.
    pub client: ClientId,
    /// The request it answers, if that had an id.
    pub request_id: Option<String>,
    /// The dialog it is about.
    pub session: Option<SessionId>,
    /// What it says.
    pub body: Body,
}

/// What an outbound message says.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    /// First message after connecting: the client's current dialog (`session`) and its title.
    Established {
        /// The dialog's title.
        title: String,
    },
    /// An input is stored and will be worked on.
    Accepted,
    /// The turn of an input has begun.
    TurnStarted {
        /// The turn's number.
        turn: i64,
    },
    /// A piece of the answer.
    Delta {
        /// The text.
        text: Arc<str>,
        /// Whether it is reasoning, not answer.
        reasoning: bool,
    },
    /// A tool call begins.
    ToolStarted {
        /// The call's id.
        call_id: String,
        /// The tool.
        name: String,
        /// Its arguments as JSON text.
        arguments: String,
    },
    /// Live output of a running tool.
    ToolOutput {
        /// The call's id.
        call_id: String,
        /// The new text.
        text: String,
    },
    /// A tool call has ended.
    ToolFinished {
        /// The call's id.
        call_id: String,
        /// The tool.
        name: String,
        /// Whether it failed.
        is_error: bool,
        /// How long it took.
        took: Duration,
        /// The result as the model sees it, cut to a few thousand characters.
        content: String,
    },
    /// A tool call waits for a person's yes.
    ApprovalRequest(Arc<ApprovalRequest>),
    /// A question is settled.
    ApprovalResolved {
        /// The question's id.
        id: String,
        /// How.
        outcome: ApprovalOutcome,
    },
    /// A turn has ended; comes before the answer or error.
    TurnFinished {
        /// The turn's number.
        turn: i64,
        /// Tokens of all its model calls.
        usage: Usage,
        /// The model that answered last.
        model: String,
        /// Why it ended; `None` for a turn that failed or was stopped.
        stop: Option<StopReason>,
        /// How long it took.
        took: Duration,
        /// How full the context is and what the turn cost, as far as known.
        meter: Meter,
    },
    /// The answer to an input.
    Answer {
        /// The text.
        content: Arc<str>,
        /// Whether the input joined another input's turn.
        merged: bool,
    },
    /// A slash command's answer.
    Command {
        /// The command's name without the slash.
        command: String,
        /// The text.
        content: String,
    },
    /// A request failed.
    Error {
        /// What kind of failure.
        code: ErrorCode,
        /// One sentence for people, with what to do.
        message: String,
    },
    /// A dialog was made and is now the client's.
    Created {
        /// Its title.
        title: String,
    },
    /// The dialogs of a chat, newest first.
    List {
        /// The dialogs.
        dialogs: Vec<DialogInfo>,
        /// Whether there are more, for a client that knows of pages.
        has_more: Option<bool>,
    },
    /// A dialog's newest messages, oldest first; the client was switched to it.
    Loaded {
        /// The messages, waiting inputs last.
        messages: Vec<HistoryItem>,
        /// Whether older ones exist.
        has_more: bool,
        /// What was asked for besides the messages.
        detail: Option<LoadedDetail>,
    },
    /// A dialog changed without the client asking.
    Updated {
        /// The dialog as it is now.
        dialog: DialogInfo,
        /// Whether it works.
        state: DialogState,
    },
    /// An input was taken back before its turn began.
    TakenBack {
        /// Its text.
        content: String,
        /// The id it was sent with.
        input: Option<String>,
    },
    /// A piece of a dialog as text.
    Exported {
        /// The piece.
        content: String,
        /// Where the next begins, if there is more.
        next: Option<i64>,
    },
    /// Messages in which a text was found, newest first.
    Found {
        /// The messages.
        items: Vec<FoundItem>,
    },
    /// A dialog has a new title.
    Renamed {
        /// The title.
        title: String,
    },
    /// A dialog was archived.
    Archived,
    /// A dialog was deleted.
    Deleted,
    /// A dialog's messages were deleted.
    Cleared,
    /// The slash commands: name, usage, description.
    Commands {
        /// One entry a command.
        commands: Vec<(&'static str, &'static str, &'static str)>,
    },
    /// Deliveries of the outbox: what there is, or what was changed.
    Deliveries {
        /// The deliveries.
        deliveries: Vec<DeliveryItem>,
    },
    /// Remembered answers to approval requests: what there is, or what was forgotten.
    Grants {
        /// The grants, oldest first.
        grants: Vec<GrantItem>,
    },
    /// Everything the client sent before its ping is committed.
    Pong,
    /// A remark that answers nothing, such as "still waiting".
    Notification {
        /// The text.
        content: String,
    },
}

/// Kinds of failure a program may want to tell apart. The words are part of the wire contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorCode {
    /// The request is not valid JSON of the expected shape.
    BadRequest,
    /// The `type` is not known.
    UnknownType,
    /// No such dialog.
    NotFound,
    /// The request needs the gateway's token.
    Forbidden,
    /// Too many messages wait.
    QueueFull,
    /// The message was not stored.
    Storage,
    /// The turn was stopped.
    Stopped,
    /// The model service failed.
    Provider,
    /// The model service refused the key or the account.
    Auth,
    /// The model service did not answer in time.
    Timeout,
    /// A fault of ours; the text holds a reference into the log.
    Internal,
    /// The configured budget is used up.
    Budget,
    /// The gateway is ending.
    ShuttingDown,
}

impl ErrorCode {
    /// Returns the word used on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::UnknownType => "unknown_type",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::QueueFull => "queue_full",
            Self::Storage => "storage",
            Self::Stopped => "stopped",
            Self::Provider => "provider",
            Self::Auth => "auth",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Budget => "budget",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// Reads the word back; unknown words are `Internal`.
    pub fn from_word(word: &str) -> Self {
        [
            Self::BadRequest,
            Self::UnknownType,
            Self::NotFound,
            Self::Forbidden,
            Self::QueueFull,
            Self::Storage,
            Self::Stopped,
            Self::Provider,
            Self::Auth,
            Self::Timeout,
            Self::Budget,
            Self::ShuttingDown,
        ]
        .into_iter()
        .find(|code| code.as_str() == word)
        .unwrap_or(Self::Internal)
    }
}

/// One delivery of the outbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveryItem {
    /// Its number.
    pub id: i64,
    /// Where it goes, `channel:chat`.
    pub to: String,
    /// Its state's word.
    pub state: String,
    /// How often sending was begun.
    pub attempts: u32,
    /// Why it did not arrive.
    pub error: Option<String>,
    /// The text.
    pub content: String,
    /// When it was stored.
    pub created_at: SystemTime,
    /// When it got its last state; `None` while it waits.
    pub finished_at: Option<SystemTime>,
}

/// A remembered answer to an approval request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantItem {
    /// Its number.
    pub id: i64,
    /// The tool.
    pub tool: String,
    /// What it allows.
    pub summary: String,
    /// When it was given.
    pub created_at: SystemTime,
    /// How many calls it has let through.
    pub n_used: u64,
    /// When the last of them was.
    pub used_at: Option<SystemTime>,
}

/// A question about one tool call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApprovalRequest {
    /// Named in the answer.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its exact arguments as JSON text.
    pub arguments: String,
    /// What would happen, on one line.
    pub summary: String,
    /// Why a person is asked.
    pub reason: String,
    /// Whether what it changes stays in the workspace.
    pub in_workspace: bool,
    /// Whether "always" can be answered.
    pub can_always: bool,
    /// When silence becomes a no.
    pub expires_at: SystemTime,
}

/// How a question was settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ApprovalOutcome {
    /// Allowed once.
    Allowed,
    /// Allowed, and remembered.
    Always,
    /// Denied.
    Denied,
    /// Nobody answered in time, or the turn ended.
    Expired,
}

impl ApprovalOutcome {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allow",
            Self::Always => "always",
            Self::Denied => "deny",
            Self::Expired => "expired",
        }
    }
}

/// One dialog in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DialogInfo {
    /// Its id.
    pub session: SessionId,
    /// Its title.
    pub title: String,
    /// Whether it is archived.
    pub archived: bool,
    /// When its last message came.
    pub updated_at: SystemTime,
    /// How many messages it holds.
    pub n_messages: u64,
}

/// How full a context is, and what was paid. What is not known is not guessed.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Meter {
    /// Tokens of the last model call.
    pub context: Option<u64>,
    /// How many tokens a request may hold.
    pub limit: Option<u64>,
    /// What the calls cost, and the currency; `None` too where they were paid in several.
    pub cost: Option<(f64, String)>,
}

/// What a client that wants detail is told of a dialog besides its messages.
#[derive(Clone, PartialEq, Debug)]
pub struct LoadedDetail {
    /// The cursor the page was asked with.
    pub before: Option<i64>,
    /// The dialog's title.
    pub title: String,
    /// The model that answers.
    pub model: String,
    /// How full the context is.
    pub meter: Meter,
}

/// A tool call of a loaded dialog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryCall {
    /// Its id.
    pub call_id: String,
    /// The tool.
    pub name: String,
    /// Its arguments as JSON text.
    pub arguments: String,
    /// Its result, perhaps shortened; empty while it runs.
    pub content: String,
    /// `running`, `done`, `failed`, `stopped` or `interrupted`.
    pub state: String,
    /// How long it took, if known.
    pub took: Option<Duration>,
}

/// Whether a dialog works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DialogState {
    /// Nothing runs or waits.
    Idle,
    /// A turn runs.
    Running,
    /// Inputs wait for a free slot.
    Queued,
}

impl DialogState {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Queued => "queued",
        }
    }
}

/// A message in which a text was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundItem {
    /// Its dialog.
    pub session: SessionId,
    /// The dialog's title.
    pub title: String,
    /// Who said it.
    pub role: Role,
    /// When it was stored.
    pub created_at: SystemTime,
    /// The text around the first place, on one line.
    pub snippet: String,
}

/// One message of a loaded dialog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryItem {
    /// Its number; `None` for an input that waits.
    pub id: Option<i64>,
    /// Who said it.
    pub role: Role,
    /// Its text as people see it; for tool rounds a line for each call.
    pub content: String,
    /// When it was stored.
    pub created_at: SystemTime,
    /// How far it is.
    pub state: ItemState,
    /// The model's reasoning, if it was asked for and stands in the open.
    pub reasoning: Option<String>,
    /// Its tool calls, if they were asked for.
    pub calls: Vec<HistoryCall>,
}

/// How far a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemState {
    /// Part of the history.
    Done,
    /// Waits for its turn.
    Queued,
    /// Its turn runs.
    Running,
    /// Its turn failed.
    Failed,
    /// Its turn was stopped.
    Stopped,
}

impl ItemState {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}
