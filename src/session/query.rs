//! The `query` thread: reads that may take long, so that they hold up neither commands nor commits.

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::apply::shown_input;
use super::search::search;
use super::{transcript, wording};
use crate::bus::{
    Body, Caller, DialogInfo, ErrorCode, HistoryItem, ItemState, Outbound, Sink, TextForm,
};
use crate::chat::{Role, Route, SessionId};
use crate::observability::Redactor;
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
    /// The dialogs of a chat, or of all.
    List {
        route: Option<Route>,
        archived: bool,
    },
    /// A dialog as Markdown; the answer to `/dump`.
    Dump { dialog: DialogKey },
    /// A piece of a dialog as text.
    Export {
        dialog: DialogKey,
        after: i64,
        form: TextForm,
    },
    /// A text in the messages of a chat, or of all.
    Search {
        route: Option<Route>,
        text: String,
        limit: usize,
    },
    /// The newest messages of a dialog.
    Load { dialog: DialogKey },
}

/// Answers questions until the queue is closed.
pub(super) fn serve(queue: &Receiver<Query>, db: &Db, sink: &Arc<dyn Sink>, redactor: &Redactor) {
    for query in queue {
        let body = match query.ask {
            Ask::List { route, archived } => {
                list(db, route.as_ref(), archived).map(|dialogs| Body::List { dialogs })
            }
            Ask::Load { dialog } => {
                load(db, dialog).map(|(messages, has_more)| Body::Loaded { messages, has_more })
            }
            Ask::Dump { dialog } => {
                transcript::dump(db, dialog, redactor).map(|text| Body::Command {
                    command: "dump".to_owned(),
                    content: text.unwrap_or_else(|| wording::DELETED.to_owned()),
                })
            }
            Ask::Export {
                dialog,
                after,
                form,
            } => export(db, dialog, after, form, redactor),
            Ask::Search { route, text, limit } => {
                search(db, &text, route.as_ref(), limit).map(|items| Body::Found { items })
            }
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

/// Returns the dialogs of a chat, or of all, last used first.
pub fn list(
    db: &Db,
    route: Option<&Route>,
    archived: bool,
) -> Result<Vec<DialogInfo>, StorageError> {
    let rows = db.read(|tx| match route {
        Some(route) => tx.list_dialogs(route, archived, MAX_DIALOGS),
        None => tx.list_all_dialogs(archived, MAX_DIALOGS),
    })?;
    Ok(rows.into_iter().map(info).collect())
}

fn export(
    db: &Db,
    dialog: DialogKey,
    after: i64,
    form: TextForm,
    redactor: &Redactor,
) -> Result<Body, StorageError> {
    let piece = transcript::export(db, dialog, after, form, redactor)?;
    Ok(match piece {
        Some(piece) => Body::Exported {
            content: piece.content,
            next: piece.next,
        },
        None => Body::Error {
            code: ErrorCode::NotFound,
            message: wording::DELETED.to_owned(),
        },
    })
}

pub(super) fn info(row: DialogRow) -> DialogInfo {
    DialogInfo {
        title: super::shown_title(&row.title).to_owned(),
        session: row.session,
        archived: row.archived,
        updated_at: row.updated_at,
        n_messages: row.n_messages,
    }
}

/// Returns the newest messages of a dialog, oldest first and waiting inputs last, and whether older ones exist.
pub fn load(db: &Db, dialog: DialogKey) -> Result<(Vec<HistoryItem>, bool), StorageError> {
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
        Ok((messages, has_more))
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
