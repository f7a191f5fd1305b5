//! What channels send to the `session` actor.

use std::time::SystemTime;

use crate::chat::{Attachment, Command, Route, SessionId};

/// A connected client of this process; never reused while the process runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ClientId(pub u64);

/// Which additive messages a client asked for in its `hello`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wants {
    /// `input_accepted`.
    pub accepted: bool,
    /// `turn_started`, `turn_finished`.
    pub turns: bool,
    /// `assistant_delta`.
    pub deltas: bool,
    /// `tool_started`, `tool_output`, `tool_finished`.
    pub tools: bool,
    /// `approval_request`, and it may answer; set only for clients that showed the token.
    pub approvals: bool,
    /// `session_updated`.
    pub sessions: bool,
}

/// Who asks, and how to answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The client the answer goes to.
    pub client: ClientId,
    /// The client's own id of this request, echoed on every reply; for inputs also the idempotency key.
    pub request_id: Option<String>,
    /// The additive messages it asked for.
    pub wants: Wants,
}

/// A message in the ordered lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inbound {
    /// Who asks.
    pub caller: Caller,
    /// What is asked.
    pub body: InboundBody,
    /// When it was received.
    pub at: SystemTime,
}

/// What an inbound message asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InboundBody {
    /// A client connected and speaks for this chat until it says otherwise.
    Connected {
        /// The chat it starts in.
        route: Route,
    },
    /// A client has gone; its running turn goes on.
    Disconnected,
    /// Text for the model, or a slash command that keeps its place in the order.
    Input {
        /// The chat, if the client named one; else the client's current dialog.
        route: Option<Route>,
        /// An exact dialog; wins over `route`.
        session: Option<SessionId>,
        /// A label of the sender, never authority.
        sender: Option<String>,
        /// What was typed; blank only if files came with it.
        text: String,
        /// Files that came with it; images, unless the sender errs.
        files: Vec<Attachment>,
        /// Whether the sender may not have the machine changed: a member of a group who is not an owner.
        guest: bool,
    },
    /// Deletes a dialog's messages.
    Clear {
        /// The dialog, else the current one of `route`, else the client's.
        session: Option<SessionId>,
        /// The chat whose current dialog is meant.
        route: Option<Route>,
    },
    /// Makes a dialog and switches the client to it.
    Create {
        /// Its title, if given.
        title: Option<String>,
    },
    /// A client has chosen other additive messages: those of its `wants`.
    Wants,
    /// Lists the dialogs of the client's chat.
    List {
        /// Whether archived ones are wanted too.
        archived: bool,
        /// Whether those of every chat are wanted.
        all: bool,
        /// How many of the newest are left out, if the client knows of pages.
        offset: Option<u64>,
    },
    /// Takes an input back that waits for its turn.
    TakeBack {
        /// The id it was sent with, else the newest that waits in the client's dialog.
        input: Option<String>,
    },
    /// Asks for a piece of a dialog as text.
    Export {
        /// The dialog.
        session: SessionId,
        /// Where the last piece ended.
        after: i64,
        /// The form.
        form: TextForm,
    },
    /// Looks for a text in messages.
    Search {
        /// The text.
        query: String,
        /// Most results.
        limit: usize,
        /// Whether every chat is looked through, not only the client's.
        all: bool,
    },
    /// Switches the client to a dialog and shows its newest messages.
    Load {
        /// The dialog.
        session: SessionId,
        /// Whether tool calls and what is known of the model are wanted too.
        detail: bool,
        /// Shows messages before this one instead of the newest.
        before: Option<i64>,
    },
    /// Names a dialog.
    Rename {
        /// The dialog, else the client's current one.
        session: Option<SessionId>,
        /// The new title.
        title: String,
    },
    /// Archives a dialog.
    Archive {
        /// The dialog, else the client's current one.
        session: Option<SessionId>,
    },
    /// Deletes a dialog and its messages.
    Delete {
        /// The dialog, else the client's current one.
        session: Option<SessionId>,
    },
    /// Asks for the list of slash commands.
    Commands,
    /// Shows or changes the outbox.
    Outbox {
        /// What to do.
        op: OutboxOp,
        /// The deliveries meant; `None`: all that `op` can change.
        ids: Option<Vec<i64>>,
        /// Whether a list has those too that were sent or dropped.
        all: bool,
    },
    /// Shows or forgets remembered answers to approval requests.
    Grants {
        /// Those to forget; `None` shows all.
        revoke: Option<Vec<i64>>,
    },
    /// Answered when everything sent before it is committed.
    Ping,
}

/// The form of a dialog as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextForm {
    /// Markdown for people, tool calls folded.
    Markdown,
    /// A JSON object a line for each message.
    Json,
}

/// What is done with deliveries of the outbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutboxOp {
    /// Shows them.
    List,
    /// Queues dead letters again.
    Retry,
    /// Gives up what was not sent.
    Drop,
}

/// A message in the lane that overtakes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control {
    /// Who asks.
    pub caller: Caller,
    /// What is asked.
    pub op: Op,
}

/// What a control message asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// A slash command of the control lane.
    Command {
        /// The chat, if the client named one; else the client's current dialog.
        route: Option<Route>,
        /// An exact dialog; wins over `route`.
        session: Option<SessionId>,
        /// The command.
        command: Command,
    },
    /// A person's answer to a [`Body::ApprovalRequest`](super::Body::ApprovalRequest). The channel has checked that they
    /// may give it.
    Approve {
        /// The question's id.
        id: String,
        /// The answer.
        answer: ApprovalAnswer,
    },
}

/// What a person answers when asked about a tool call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ApprovalAnswer {
    /// This once.
    Allow,
    /// This once, and the same again without asking.
    Always,
    /// No.
    Deny,
}
