//! The `query` thread: reads that may take long, so that they hold up neither commands nor commits.

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::apply::shown_input;
use super::wording;
use crate::bus::{Body, Caller, DialogInfo, ErrorCode, HistoryItem, ItemState, Outbound, Sink};
use crate::chat::{Role, Route, SessionId};
use crate::storage::{Db, DialogKey, DialogRow, StorageError, TurnId, TurnState, Tx};

/// Messages shown when a dialog is loaded.
const SHOWN_MESSAGES: usize = 200;
/// Text of all of them together; a client may refuse a larger frame.
const SHOWN_BYTES: usize = 1024 * 1024;
/// Dialogs in one list.
const MAX_DIALOGS: usize = 1_000;

/// A question with its asker.
pub(super) struct Query {
    pub(super) caller: Caller,
    /// The dialog the answer is about, if it is about one.
    pub(super) session: Option<SessionId>,
    pub(super) ask: Ask,
}

/// What is asked.
pub(super) enum Ask {
    /// The dialogs of a chat.
    List { route: Route, archived: bool },
    /// The newest messages of a dialog.
    Load { dialog: DialogKey },
}

/// Answers questions until the queue is closed.
pub(super) fn serve(queue: &Receiver<Query>, db: &Db, sink: &Arc<dyn Sink>) {
    for query in queue {
        let body = match query.ask {
            Ask::List { route, archived } => list(db, &route, archived),
            Ask::Load { dialog } => load(db, dialog),
        }
        .unwrap_or_else(|error| {
            log::error!("a read failed: {error}");
            Body::Error {
                code: ErrorCode::Storage,
                message: "The database cannot be read. See the log.".to_owned(),
            }
        });
        sink.push(Outbound {
            client: query.caller.client,
            request_id: query.caller.request_id,
            session: query.session,
            body,
        });
    }
}

fn list(db: &Db, route: &Route, archived: bool) -> Result<Body, StorageError> {
    let rows = db.read(|tx| tx.list_dialogs(route, archived, MAX_DIALOGS))?;
    Ok(Body::List {
        dialogs: rows.into_iter().map(info).collect(),
    })
}

fn info(row: DialogRow) -> DialogInfo {
    DialogInfo {
        title: super::shown_title(&row.title).to_owned(),
        session: row.session,
        archived: row.archived,
        updated_at: row.updated_at,
        n_messages: row.n_messages,
    }
}

fn load(db: &Db, dialog: DialogKey) -> Result<Body, StorageError> {
    db.read(|tx| {
        let (stored, has_more) = tx.newest_visible(dialog, SHOWN_MESSAGES, SHOWN_BYTES)?;
        let mut turns = TurnStates::default();
        let mut messages = Vec::with_capacity(stored.len());
        for row in &stored {
            let state = match row.message.role {
                Role::User => turns.state(tx, row.turn)?,
                _ => ItemState::Done,
            };
            messages.push(HistoryItem {
                role: row.message.role,
                content: row.message.shown_text(),
                created_at: row.created_at,
                state,
            });
        }
        let mut bytes: usize = messages
            .iter()
            .map(|item: &HistoryItem| item.content.len())
            .sum();
        for input in tx.open_inputs_of(dialog)? {
            if bytes > SHOWN_BYTES {
                break;
            }
            let state = match input.turn {
                // Its message is in the history already.
                Some(turn) if stored.iter().any(|row| row.turn == turn) => continue,
                Some(_) => ItemState::Running,
                None => ItemState::Queued,
            };
            let files = tx.attachment_names(input.id)?;
            let content = shown_input(&input.content, files.iter().map(String::as_str));
            bytes += content.len();
            messages.push(HistoryItem {
                role: Role::User,
                content,
                created_at: input.received_at,
                state,
            });
        }
        Ok(Body::Loaded { messages, has_more })
    })
}

/// Looks each turn up once.
#[derive(Default)]
struct TurnStates {
    known: HashMap<TurnId, ItemState>,
}

impl TurnStates {
    fn state(&mut self, tx: &Tx<'_>, turn: TurnId) -> Result<ItemState, StorageError> {
        if let Some(state) = self.known.get(&turn) {
            return Ok(*state);
        }
        let state = match tx.turn(turn)?.map(|row| row.state) {
            Some(TurnState::Running) => ItemState::Running,
            Some(TurnState::Failed) => ItemState::Failed,
            Some(TurnState::Stopped) => ItemState::Stopped,
            Some(TurnState::Done) | None => ItemState::Done,
        };
        self.known.insert(turn, state);
        Ok(state)
    }
}

/// Answers a question that could not be queued.
pub(super) fn refuse(query: Query, sink: &dyn Sink) {
    sink.push(Outbound {
        client: query.caller.client,
        request_id: query.caller.request_id,
        session: query.session,
        body: Body::Error {
            code: ErrorCode::QueueFull,
            message: wording::BUSY.to_owned(),
        },
    });
}
