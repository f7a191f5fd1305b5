//! The `query` thread: reads that may take long, so that they hold up neither commands nor commits.

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::detail::{self, meter_of_dialog};
use super::inputs::shown_input;
use super::search::search;
use super::{transcript, wording};
use crate::bus::{
    Body, Caller, DialogInfo, ErrorCode, HistoryItem, ItemState, LoadedDetail, Outbound, Sink,
    TextForm,
};
use crate::chat::{Role, Route, SessionId};
use crate::observability::Redactor;
use crate::providers::reasoning_of;
use crate::storage::{
    Db, DetailedPage, DialogKey, DialogRow, Page, StorageError, StoredMessage, TurnId, TurnState,
    Tx,
};

/// Messages shown when a dialog is loaded.
const SHOWN_MESSAGES: usize = 200;
/// Text of all of them together; a client may refuse a larger frame.
const SHOWN_BYTES: usize = 1024 * 1024;
/// Dialogs in one reply.
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
        /// How many of the newest are left out; whoever says so is told whether there are more.
        offset: Option<u64>,
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
    Load {
        dialog: DialogKey,
        title: String,
        /// Whether tool calls and what is known of the model are wanted too.
        detail: bool,
        /// Messages before this one instead of the newest.
        before: Option<i64>,
    },
}

/// What clients are told of who answers.
pub(super) struct Answers {
    pub(super) model: String,
    /// How many tokens a request may hold.
    pub(super) token_limit: u64,
}

/// Answers questions until the queue is closed.
pub(super) fn serve(
    queue: &Receiver<Query>,
    db: &Db,
    sink: &Arc<dyn Sink>,
    redactor: &Redactor,
    answers: &Answers,
) {
    for query in queue {
        let body = match query.ask {
            Ask::List {
                route,
                archived,
                offset,
            } => list(db, route.as_ref(), archived, offset),
            Ask::Load {
                dialog,
                title,
                detail,
                before,
            } => db.read(|tx| {
                let page = page(tx, dialog, detail, before)?;
                let detail = detail.then(|| -> Result<_, StorageError> {
                    Ok(LoadedDetail {
                        before,
                        title,
                        model: answers.model.clone(),
                        meter: meter_of_dialog(tx, dialog, answers.token_limit)?,
                    })
                });
                Ok(Body::Loaded {
                    messages: page.messages,
                    has_more: page.has_more,
                    detail: detail.transpose()?,
                })
            }),
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

/// Returns the dialogs of a chat, or of all, last used first: a page of them behind `offset`, and whether there are more if
/// that is given.
pub fn list(
    db: &Db,
    route: Option<&Route>,
    archived: bool,
    offset: Option<u64>,
) -> Result<Body, StorageError> {
    let page = Page::new(offset.unwrap_or(0), MAX_DIALOGS + 1);
    let mut rows = db.read(|tx| match route {
        Some(route) => tx.list_dialogs(route, archived, page),
        None => tx.list_all_dialogs(archived, page),
    })?;
    let has_more = rows.len() > MAX_DIALOGS;
    rows.truncate(MAX_DIALOGS);
    Ok(Body::List {
        dialogs: rows.into_iter().map(info).collect(),
        has_more: offset.map(|_| has_more),
    })
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
    let page = db.read(|tx| page(tx, dialog, false, None))?;
    Ok((page.messages, page.has_more))
}

/// A page of a dialog as clients see it.
struct Shown {
    messages: Vec<HistoryItem>,
    has_more: bool,
}

fn page(
    tx: &Tx<'_>,
    dialog: DialogKey,
    detail: bool,
    before: Option<i64>,
) -> Result<Shown, StorageError> {
    let page = if detail || before.is_some() {
        tx.detailed_page(dialog, before, SHOWN_MESSAGES, SHOWN_BYTES)?
    } else {
        let (messages, has_more) = tx.newest_visible(dialog, SHOWN_MESSAGES, SHOWN_BYTES)?;
        DetailedPage {
            messages,
            has_more,
            ..DetailedPage::default()
        }
    };
    let mut turns = TurnStates::default();
    let mut messages = Vec::with_capacity(page.messages.len());
    for row in &page.messages {
        let state = turns.state(tx, row.turn)?;
        let calls = if detail {
            detail::calls(tx, row, &page.results, state == ItemState::Running)?
        } else {
            Vec::new()
        };
        messages.push(HistoryItem {
            id: Some(row.id),
            role: row.message.role,
            content: row.message.shown_text(),
            created_at: row.created_at,
            state: match row.message.role {
                Role::User => state,
                _ => ItemState::Done,
            },
            reasoning: row
                .message
                .native
                .as_ref()
                .filter(|_| detail)
                .and_then(reasoning_of),
            calls,
        });
    }
    if !detail {
        messages.retain(|item| !item.content.is_empty());
    }
    if before.is_none() {
        add_open_inputs(tx, dialog, &page.messages, &mut messages)?;
    }
    Ok(Shown {
        messages,
        has_more: page.has_more,
    })
}

/// Adds inputs that wait or whose turn has stored nothing yet.
fn add_open_inputs(
    tx: &Tx<'_>,
    dialog: DialogKey,
    stored: &[StoredMessage],
    messages: &mut Vec<HistoryItem>,
) -> Result<(), StorageError> {
    let mut bytes: usize = messages.iter().map(|item| item.content.len()).sum();
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
            id: None,
            role: Role::User,
            content,
            created_at: input.received_at,
            state,
            reasoning: None,
            calls: Vec::new(),
        });
    }
    Ok(())
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
