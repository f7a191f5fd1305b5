//! What the gateway says: the outbound half of the contract. Pure; no thread.
//!
//! Long texts are borrowed when writing, so that encoding an answer copies it once, into the frame. Reading gives owned
//! texts. The additive types are sent only to clients that asked for them; who asked is not known here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::parse::is_object;

/// One message to a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServerMessage<'a> {
    /// What it says; its `type` comes first in the JSON.
    #[serde(flatten)]
    pub body: ServerBody<'a>,
    /// The id of the request it answers, if that had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Cow<'a, str>>,
}

impl ServerMessage<'_> {
    /// Returns the message as JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("string keys and plain values always serialise")
    }
}

impl ServerMessage<'static> {
    /// Reads one frame. An unknown type is [`ServerBody::Unknown`], unknown fields are ignored.
    ///
    /// Errs if the text is no JSON object, has no `type`, or lacks a field of a known type.
    pub fn parse(text: &str) -> Result<Self, FrameError> {
        Ok(serde_json::from_str(text)?)
    }
}

/// A frame from the gateway that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("unreadable message from the gateway")]
pub struct FrameError(#[from] serde_json::Error);

/// The outbound message types. Every `session_id` is `<channel>:<chat>:<dialog>`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerBody<'a> {
    /// The answer to a `user_input`.
    AssistantResponse {
        /// The text.
        content: Cow<'a, str>,
        /// The dialog.
        session_id: Cow<'a, str>,
        /// True if the input joined another input's turn; left out otherwise.
        #[serde(default, skip_serializing_if = "is_false")]
        merged: bool,
    },
    /// A request failed.
    Error {
        /// A word for programs, such as `bad_request`.
        code: Cow<'a, str>,
        /// One sentence for people.
        message: Cow<'a, str>,
        /// The dialog, if the failure has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        session_id: Option<Cow<'a, str>>,
    },
    /// The first message of a connection: its current dialog.
    SessionEstablished {
        /// The dialog.
        session_id: Cow<'a, str>,
        /// Its title.
        title: Cow<'a, str>,
    },
    /// A dialog was made and is now the connection's.
    SessionCreated {
        /// The dialog.
        session_id: Cow<'a, str>,
        /// Its title.
        title: Cow<'a, str>,
    },
    /// The dialogs of the connection's chat, newest first.
    SessionList {
        /// At most 1,000 dialogs.
        sessions: Vec<SessionInfo<'a>>,
        /// Whether there are more. Additive, with `offset` only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        has_more: Option<bool>,
    },
    /// A dialog's newest messages; it is now the connection's.
    SessionLoaded {
        /// The dialog.
        session_id: Cow<'a, str>,
        /// At most 200 messages, oldest first, waiting ones last.
        messages: Vec<HistoryEntry<'a>>,
        /// Whether older ones exist.
        has_more: bool,
        /// The `before` of the request. Additive, with `detail` only, as are the fields below.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<i64>,
        /// The dialog's title.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<Cow<'a, str>>,
        /// The model that answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<Cow<'a, str>>,
        /// How many tokens a request may hold.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_limit: Option<u64>,
        /// Tokens of the newest model call of the dialog, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context_tokens: Option<u64>,
    },
    /// A dialog has a new title.
    SessionRenamed {
        /// The dialog.
        session_id: Cow<'a, str>,
        /// The title.
        title: Cow<'a, str>,
    },
    /// A dialog was archived.
    SessionArchived {
        /// The dialog.
        session_id: Cow<'a, str>,
    },
    /// A dialog was deleted.
    SessionDeleted {
        /// The dialog.
        session_id: Cow<'a, str>,
    },
    /// A dialog's messages were deleted.
    HistoryCleared {
        /// The dialog.
        session_id: Cow<'a, str>,
    },
    /// The slash commands.
    SlashCommandsList {
        /// One entry a command.
        commands: Vec<CommandInfo<'a>>,
    },
    /// The answer to `outbox`: what there is, or what was changed. Additive.
    OutboxList {
        /// The deliveries.
        deliveries: Vec<DeliveryEntry<'a>>,
    },
    /// The answer to `grants`: what there is, or what was forgotten. Additive.
    GrantsList {
        /// The grants, oldest first.
        grants: Vec<GrantEntry<'a>>,
    },
    /// Everything before the `ping` is stored.
    Pong {},
    /// The answer to a slash command.
    CommandExecuted {
        /// The command as a person types it, with its slash and without arguments: `/new`.
        command: Cow<'a, str>,
        /// The text.
        content: Cow<'a, str>,
        /// The dialog, if the command was about one.
        #[serde(skip_serializing_if = "Option::is_none")]
        session_id: Option<Cow<'a, str>>,
    },
    /// A remark that answers nothing.
    SystemNotification {
        /// The text.
        content: Cow<'a, str>,
        /// The dialog, if it is about one.
        #[serde(skip_serializing_if = "Option::is_none")]
        session_id: Option<Cow<'a, str>>,
    },
    /// An input is stored and will be worked on. Additive.
    InputAccepted {
        /// The dialog.
        session_id: Cow<'a, str>,
    },
    /// The turn of an input has begun. Additive.
    TurnStarted {
        /// The dialog.
        session_id: Cow<'a, str>,
        /// The turn's number.
        turn: i64,
    },
    /// A piece of the answer. Additive.
    AssistantDelta {
        /// The text to append.
        content: Cow<'a, str>,
        /// The dialog.
        session_id: Cow<'a, str>,
        /// True for reasoning, which is no part of the answer; left out otherwise.
        #[serde(default, skip_serializing_if = "is_false")]
        reasoning: bool,
    },
    /// A tool call begins. Additive.
    ToolStarted {
        /// Pairs the messages of one call.
        call_id: Cow<'a, str>,
        /// The tool.
        name: Cow<'a, str>,
        /// Its arguments as the model wrote them: JSON text, not checked.
        arguments: Cow<'a, str>,
        /// The dialog.
        session_id: Cow<'a, str>,
    },
    /// Live output of a running tool. Additive.
    ToolOutput {
        /// The call.
        call_id: Cow<'a, str>,
        /// The text to append.
        content: Cow<'a, str>,
        /// The dialog.
        session_id: Cow<'a, str>,
    },
    /// A tool call has ended. Additive.
    ToolFinished {
        /// The call.
        call_id: Cow<'a, str>,
        /// The tool.
        name: Cow<'a, str>,
        /// Whether it failed.
        is_error: bool,
        /// The result, perhaps shortened.
        content: Cow<'a, str>,
        /// How long it took, in milliseconds.
        took_ms: u64,
        /// The dialog.
        session_id: Cow<'a, str>,
    },
    /// A turn has ended; comes before its answer or error. Additive.
    TurnFinished {
        /// The dialog.
        session_id: Cow<'a, str>,
        /// The turn's number.
        turn: i64,
        /// Tokens of all its model calls.
        usage: TokenUsage,
        /// The model that answered last.
        model: Cow<'a, str>,
        /// Why the model ended; left out for a turn that failed or was stopped.
        #[serde(skip_serializing_if = "Option::is_none")]
        stop_reason: Option<Cow<'a, str>>,
        /// How long it took, in milliseconds.
        took_ms: u64,
        /// Tokens of its last model call: how full the context is. Left out if not known, as are the three below.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context_tokens: Option<u64>,
        /// How many tokens a request may hold.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_limit: Option<u64>,
        /// What its model calls cost, in `currency`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<serde_json::Number>,
        /// The currency of `cost`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        currency: Option<Cow<'a, str>>,
    },
    /// A tool call waits for a person's yes. Additive.
    ApprovalRequest {
        /// Named in the `approval_reply`.
        approval_id: Cow<'a, str>,
        /// The tool.
        name: Cow<'a, str>,
        /// Its exact arguments as JSON text.
        arguments: Cow<'a, str>,
        /// When silence becomes a no, RFC 3339 in UTC.
        expires_at: Cow<'a, str>,
        /// The dialog.
        session_id: Cow<'a, str>,
        /// What would happen, on one line.
        summary: Cow<'a, str>,
        /// Why a person is asked.
        reason: Cow<'a, str>,
        /// Whether what it changes stays in the workspace.
        in_workspace: bool,
        /// Whether the answer `always` is remembered; else it counts as `allow`.
        can_always: bool,
    },
    /// A question is settled: the reply to `approval_reply`, and a note to everybody else who was asked. Additive.
    ApprovalResolved {
        /// The question.
        approval_id: Cow<'a, str>,
        /// `allow`, `always`, `deny`, or `expired` if nobody answered in time or the turn ended.
        decision: Cow<'a, str>,
        /// The dialog.
        session_id: Cow<'a, str>,
    },
    /// A dialog changed without this connection asking. Additive.
    SessionUpdated(SessionInfo<'a>),
    /// An input was taken back before its turn began. Additive.
    InputTakenBack {
        /// The dialog.
        session_id: Cow<'a, str>,
        /// Its text.
        content: Cow<'a, str>,
        /// The `request_id` it was sent with, if it had one.
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<Cow<'a, str>>,
    },
    /// A piece of a dialog as text. Additive.
    SessionExported {
        /// The dialog.
        session_id: Cow<'a, str>,
        /// The piece; the pieces behind one another are the whole.
        content: Cow<'a, str>,
        /// Named in `after` for the next piece; left out with the last.
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<i64>,
    },
    /// Messages in which a text was found, newest first. Additive.
    SearchResults {
        /// The messages.
        results: Vec<FoundMessage<'a>>,
    },
    /// A type this version does not know; only ever read, never sent.
    #[serde(other)]
    Unknown,
}

/// One dialog in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionInfo<'a> {
    /// The dialog.
    pub session_id: Cow<'a, str>,
    /// Its title.
    pub title: Cow<'a, str>,
    /// Whether it is archived.
    pub archived: bool,
    /// When its last message came, RFC 3339 in UTC.
    pub updated_at: Cow<'a, str>,
    /// How many messages it holds.
    pub message_count: u64,
    /// Whether it works: `idle`, `running` or `queued`. In `session_updated` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Cow<'a, str>>,
}

/// A message in which a text was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FoundMessage<'a> {
    /// Its dialog.
    pub session_id: Cow<'a, str>,
    /// The dialog's title.
    pub title: Cow<'a, str>,
    /// `user` or `assistant`.
    pub role: Cow<'a, str>,
    /// When it was stored, RFC 3339 in UTC.
    pub created_at: Cow<'a, str>,
    /// The text around the first place, on one line.
    pub snippet: Cow<'a, str>,
}

/// One message of a loaded dialog.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HistoryEntry<'a> {
    /// `user`, `assistant` or `tool`.
    pub role: Cow<'a, str>,
    /// The text.
    pub content: Cow<'a, str>,
    /// When it was stored, RFC 3339 in UTC.
    pub created_at: Cow<'a, str>,
    /// `done`, `queued`, `running`, `failed` or `stopped`.
    pub state: Cow<'a, str>,
    /// Its number, for `before`. Additive, with `detail` only, as are the fields below; waiting inputs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// The model's reasoning, where it is kept in the open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Cow<'a, str>>,
    /// The tool calls of an assistant message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<HistoryCall<'a>>,
}

/// One tool call of a loaded dialog.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HistoryCall<'a> {
    /// The call's id.
    pub call_id: Cow<'a, str>,
    /// The tool.
    pub name: Cow<'a, str>,
    /// Its arguments as the model wrote them: JSON text, not checked.
    pub arguments: Cow<'a, str>,
    /// The result, perhaps shortened; empty while it runs.
    pub content: Cow<'a, str>,
    /// `running`, `done`, `failed`, `stopped` or `interrupted`.
    pub state: Cow<'a, str>,
    /// How long it took, in milliseconds, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

/// A remembered answer to an approval request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GrantEntry<'a> {
    /// Its number.
    pub id: i64,
    /// The tool.
    pub name: Cow<'a, str>,
    /// What it allows, on one line.
    pub summary: Cow<'a, str>,
    /// When it was given, RFC 3339 in UTC.
    pub created_at: Cow<'a, str>,
    /// How many calls it has let through.
    pub n_used: u64,
    /// When the last of them was, RFC 3339 in UTC; left out if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Cow<'a, str>>,
}

/// One delivery to a channel that pushes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeliveryEntry<'a> {
    /// Its number.
    pub id: i64,
    /// Where it goes, `<channel>:<chat>`.
    pub to: Cow<'a, str>,
    /// `pending`, `started`, `sent`, `failed`, `expired` or `dropped`.
    pub state: Cow<'a, str>,
    /// How often sending was begun.
    pub attempts: u32,
    /// Why it did not arrive; left out if there is nothing to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Cow<'a, str>>,
    /// The text.
    pub content: Cow<'a, str>,
    /// When it was stored, RFC 3339 in UTC.
    pub created_at: Cow<'a, str>,
    /// When it got its last state, RFC 3339 in UTC; left out while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Cow<'a, str>>,
}

/// One slash command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CommandInfo<'a> {
    /// The command with its slash: `/rename`.
    pub name: Cow<'a, str>,
    /// How to type it: `/rename <title>`.
    pub usage: Cow<'a, str>,
    /// One sentence.
    pub description: Cow<'a, str>,
}

/// Token counts; one that is not known is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Prompt tokens, cached ones included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Generated tokens, reasoning included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Prompt tokens read from the provider's cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    /// Generated tokens spent on reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
}

/// What any frame says of itself, for readers that pass frames on without knowing every type.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Glance {
    /// The message type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The request it answers, if named.
    pub request_id: Option<String>,
    /// The dialog it is about, if named.
    pub session_id: Option<String>,
}

impl Glance {
    /// Reads only these three fields; `None` if the text is no object with a `type`.
    pub fn of(text: &str) -> Option<Self> {
        if !is_object(text) {
            return None;
        }
        serde_json::from_str(text).ok()
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
