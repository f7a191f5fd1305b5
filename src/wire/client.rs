//! What clients say: the inbound half of the contract. Pure; no thread.
//!
//! Writing is here (our own clients do it); reading what a stranger wrote, with its error texts, is in `parse`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

/// One message from a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClientMessage {
    /// What is asked; its `type` comes first in the JSON.
    #[serde(flatten)]
    pub body: ClientBody,
    /// The client's own id of this request, echoed on every reply; for `user_input` also the idempotency key.
    /// 1 to 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl ClientMessage {
    /// Returns the message as JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("string keys and plain values always serialise")
    }
}

/// The inbound message types.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientBody {
    /// Text for the assistant, or a slash command.
    UserInput {
        /// What was typed; blank only beside images.
        content: String,
        /// The channel, `cli_chat` unless given.
        #[serde(skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
        /// The chat, `local` unless given. With neither channel nor chat the connection's current dialog is meant.
        #[serde(skip_serializing_if = "Option::is_none")]
        chat_id: Option<String>,
        /// A label of the sender, never authority; at most 256 bytes.
        #[serde(skip_serializing_if = "Option::is_none")]
        sender_id: Option<String>,
        /// An exact dialog; wins over channel and chat. Additive.
        #[serde(skip_serializing_if = "Option::is_none")]
        session_id: Option<String>,
        /// Images that belong to the text, at most [`MAX_IMAGES`]. Additive.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        images: Vec<InputImage>,
    },
    /// Deletes a dialog's messages.
    ClearHistory {
        /// The chat whose current dialog is meant.
        #[serde(skip_serializing_if = "Option::is_none")]
        chat_id: Option<String>,
        /// The dialog; wins over the chat.
        #[serde(skip_serializing_if = "Option::is_none")]
        session_id: Option<String>,
    },
    /// Makes a dialog and switches this connection to it.
    CreateSession {
        /// Its title, at most 256 characters.
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<String>,
    },
    /// Lists the dialogs of the connection's chat.
    ListSessions {
        /// Whether archived ones are wanted too; false if left out.
        include_archived: bool,
        /// Whether those of every chat and channel are wanted; false if left out. Additive.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        all_chats: bool,
        /// So many of the newest are left out; the reply then says whether there are more. Additive.
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
    },
    /// Switches this connection to a dialog and shows its newest messages.
    LoadSession {
        /// The dialog.
        session_id: String,
        /// Whether tool calls, ids and what is known of the model are wanted too. Additive.
        #[serde(skip_serializing_if = "is_false")]
        detail: bool,
        /// The `id` of a message: shows those before it instead of the newest. Additive.
        #[serde(skip_serializing_if = "Option::is_none")]
        before: Option<i64>,
    },
    /// Names a dialog.
    RenameSession {
        /// The dialog, else the connection's current one.
        #[serde(skip_serializing_if = "Option::is_none")]
        session_id: Option<String>,
        /// The new title, not blank, at most 256 characters.
        title: String,
    },
    /// Archives a dialog.
    ArchiveSession {
        /// The dialog, else the connection's current one.
        #[serde(skip_serializing_if = "Option::is_none")]
        session_id: Option<String>,
    },
    /// Deletes a dialog and its messages.
    DeleteSession {
        /// The dialog, else the connection's current one.
        #[serde(skip_serializing_if = "Option::is_none")]
        session_id: Option<String>,
    },
    /// Asks for the slash commands.
    GetSlashCommands,
    /// Asks for a `pong`, sent when everything before it on this connection is stored.
    Ping,
    /// Chooses the additive messages this connection gets; replaces an earlier choice and has no reply. Additive.
    Hello {
        /// Capability names; unknown ones are ignored.
        capabilities: Vec<String>,
    },
    /// Takes an input back that still waits for its turn. Additive.
    TakeBack {
        /// The `request_id` the input was sent with; the newest waiting one of the current dialog if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<String>,
    },
    /// Asks for a whole dialog as text, in pieces. Additive.
    ExportSession {
        /// The dialog.
        session_id: String,
        /// Where the last piece ended: its `next`. From the beginning if left out.
        #[serde(skip_serializing_if = "is_zero")]
        after: i64,
        /// The form of the text.
        form: ExportForm,
    },
    /// Looks for a text in the messages of the connection's chat. Additive.
    SearchMessages {
        /// The text, not blank, at most [`MAX_QUERY_CHARS`] characters; letter case of ASCII does not matter.
        query: String,
        /// Most results, 1 to 100; 20 if left out.
        limit: u64,
        /// Whether every chat and channel is looked through; false if left out.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        all_chats: bool,
    },
    /// Shows or changes what waits to be pushed to channels, or could not be. Needs the token. Additive.
    Outbox {
        /// What to do.
        action: OutboxAction,
        /// The deliveries meant, at most [`MAX_IDS`]; all that the action can change if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        ids: Option<Vec<i64>>,
        /// Whether `list` shows what was sent or dropped too; false if left out.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        include_sent: bool,
    },
    /// Shows or takes back remembered answers to approval requests. Needs the token. Additive.
    Grants {
        /// What to do.
        action: GrantsAction,
        /// The grants meant, at most [`MAX_IDS`]; none of them if left out of `revoke`.
        #[serde(skip_serializing_if = "Option::is_none")]
        ids: Option<Vec<i64>>,
    },
    /// Answers an `approval_request`. Additive.
    ApprovalReply {
        /// The request's id, 1 to 256 bytes.
        approval_id: String,
        /// The answer.
        decision: Decision,
    },
}

/// Longest text to search for, in characters.
pub const MAX_QUERY_CHARS: usize = 256;

/// The form of an exported dialog.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportForm {
    /// Markdown for people, tool calls folded.
    #[default]
    Markdown,
    /// One JSON object a line for each message.
    Json,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Most numbers of deliveries or grants named in one request.
pub const MAX_IDS: usize = 1_000;

/// What is done with deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboxAction {
    /// Shows them.
    List,
    /// Queues those again that could not be delivered.
    Retry,
    /// Gives those up that were not sent.
    Drop,
}

/// What is done with grants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantsAction {
    /// Shows them.
    List,
    /// Forgets those named.
    Revoke,
}

/// Most images of one input.
pub const MAX_IMAGES: usize = 8;

/// An image file that goes with an input.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct InputImage {
    /// The file's name, at most 256 bytes; `image` if left out.
    pub name: String,
    /// The file's bytes, in base64 on the wire.
    #[serde(serialize_with = "as_base64")]
    pub data: Vec<u8>,
}

fn as_base64<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(data))
}

impl fmt::Debug for InputImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InputImage({:?} {} bytes)", self.name, self.data.len())
    }
}

/// How a person answers an approval request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// This once.
    Allow,
    /// This once, and the same command again without asking.
    Always,
    /// No.
    Deny,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
