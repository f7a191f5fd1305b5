//! How a turn ends, and what its end stores: an answer, a failure or a stop, the words that stand for it in the history,
//! and its delivery where the channel pushes. Called by the turn's thread, and by `session` for turns ended from outside.

use std::time::SystemTime;

use super::Deps;
use super::inputs::shown_input;
use super::replies::{answer_reply, error_reply};
use crate::bus::ErrorCode;
use crate::chat::{Message, Part, Role, SessionId, StopReason};
use crate::storage::{
    Delivery, DialogKey, InboxId, Outcome, StorageError, StoredReply, TurnId, TurnState, Tx,
};

/// Stores the delivery of what ended a turn, where the channel pushes; a turn has one delivery.
pub(super) fn store_delivery(
    deps: &Deps,
    tx: &Tx<'_>,
    session: &SessionId,
    (turn, input): (TurnId, InboxId),
    text: &str,
    now: SystemTime,
) -> Result<(), StorageError> {
    if !deps.pushing.contains(&session.channel) {
        return Ok(());
    }
    let delivery = Delivery {
        route: session.route(),
        body: text.to_owned(),
        idempotency_key: format!("turn-{}", turn.0),
        input: Some(input),
    };
    tx.add_delivery(&delivery, now)
}

/// Stores what stands in the history of a turn that ends without its own doing: the person's message, if no step stored
/// it, and a remark.
pub(super) fn end_messages(
    tx: &Tx<'_>,
    dialog: DialogKey,
    turn: TurnId,
    input: InboxId,
    note: &str,
    now: SystemTime,
) -> Result<(), StorageError> {
    let mut messages = Vec::new();
    if !tx.has_messages(turn)?
        && let Some(row) = tx.input(input)?
    {
        let files = tx.attachment_names(input)?;
        let text = shown_input(&row.content, files.iter().map(String::as_str));
        messages.push(Message::text(Role::User, text));
    }
    messages.push(Message {
        role: Role::Assistant,
        parts: vec![Part::Note(note.to_owned())],
        native: None,
    });
    tx.append_messages(dialog, turn, &messages, now)
}

/// A turn's end as stored and answered.
pub(super) struct Ended {
    pub(super) state: TurnState,
    pub(super) reply: StoredReply,
    /// For people, where no answer stands in the history.
    pub(super) note: Option<String>,
    pub(super) stop: Option<StopReason>,
    /// The model or its filter would decline what was said again, and with it everything that is said later.
    pub(super) declined: bool,
}

impl Ended {
    pub(super) fn answered(text: String, stop: StopReason) -> Self {
        Self {
            state: TurnState::Done,
            reply: answer_reply(text),
            note: None,
            stop: Some(stop),
            declined: stop == StopReason::Refused,
        }
    }

    pub(super) fn stopped(words: &str) -> Self {
        Self {
            state: TurnState::Stopped,
            reply: error_reply(ErrorCode::Stopped, words),
            note: Some(words.to_owned()),
            stop: None,
            declined: false,
        }
    }

    pub(super) fn failed(code: ErrorCode, text: String) -> Self {
        Self {
            state: TurnState::Failed,
            reply: error_reply(code, &text),
            note: Some(text),
            stop: None,
            declined: false,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self.state {
            TurnState::Done | TurnState::Running => Outcome::Done,
            TurnState::Failed => Outcome::Failed,
            TurnState::Stopped => Outcome::Stopped,
        }
    }
}
