//! Where dialogs are read and changed: at the gateway that has the database, else in the file itself. Both speak in the
//! messages of the WebSocket contract, so there is one way of showing.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::bus::{Body, ClientId, Outbound, TextForm};
use crate::channels::cli_chat;
use crate::chat::{Choice, Picked, SessionId, pick};
use crate::cli::ask;
use crate::cli::exit::{self, Failure};
use crate::gateway::{self, Launch, OneShot, database_to_read, one_database};
use crate::session;
use crate::storage::{Db, DialogRow, InstanceLock, Kind, StorageError, Tx};
use crate::wire::{ClientBody, ClientMessage, ExportForm, ServerBody, ServerMessage, SessionInfo};

/// Candidates named when several dialogs fit.
const NAMED: usize = 5;
/// A summary is a model call or two.
const COMPACT_LIMIT: Duration = Duration::from_secs(600);

/// Where the dialogs are.
pub(super) enum Source<'a> {
    /// Behind a gateway.
    Gateway { url: String, launch: &'a Launch },
    /// In a file that is only read; `None` if there is none yet.
    File {
        db: Option<Box<Db>>,
        launch: &'a Launch,
    },
}

impl<'a> Source<'a> {
    /// Finds the gateway, else opens the file for reading.
    pub(super) fn open(launch: &'a Launch, gateway_url: Option<&str>) -> Result<Self, Failure> {
        let config = &launch.config;
        let url = match gateway_url {
            Some(url) => Some(url.to_owned()),
            None => ask::gateway_url(config),
        };
        if let Some(url) = url {
            return Ok(Self::Gateway { url, launch });
        }
        let db = database_to_read(config)?.map(Box::new);
        Ok(Self::File { db, launch })
    }

    /// Asks for something that only reads.
    pub(super) fn read(&self, body: ClientBody) -> Result<ServerBody<'static>, Failure> {
        match self {
            Self::Gateway { url, launch } => ask::ask(url, &launch.config, body),
            Self::File { db: None, .. } => match body {
                ClientBody::ListSessions { .. } => Ok(ServerBody::SessionList {
                    sessions: vec![],
                    has_more: None,
                }),
                ClientBody::SearchMessages { .. } => {
                    Ok(ServerBody::SearchResults { results: vec![] })
                }
                _ => Err(missing()),
            },
            Self::File {
                db: Some(db),
                launch,
            } => read_file(db, launch, body),
        }
    }

    /// Returns every dialog of every chat, last used first.
    pub(super) fn list(&self, archived: bool) -> Result<Vec<SessionInfo<'static>>, Failure> {
        let mut all: Vec<SessionInfo<'static>> = Vec::new();
        let mut known = HashSet::new();
        let mut offset = 0;
        loop {
            let body = ClientBody::ListSessions {
                include_archived: archived,
                all_chats: true,
                offset: Some(offset),
            };
            let (sessions, has_more) = match self.read(body)? {
                ServerBody::SessionList { sessions, has_more } => (sessions, has_more),
                other => return Err(unexpected(&other)),
            };
            offset += sessions.len() as u64;
            let goes_on = has_more == Some(true) && !sessions.is_empty();
            // One that is used meanwhile moves to the front, and the others back.
            let new = |info: &SessionInfo<'_>| known.insert(info.session_id.to_string());
            all.extend(sessions.into_iter().filter(new));
            if !goes_on {
                return Ok(all);
            }
        }
    }

    /// Finds the dialog that a person named: by its whole id, else by what the listing shows.
    pub(super) fn find(&self, wanted: &str) -> Result<SessionInfo<'static>, Failure> {
        let mut sessions = self.list(true)?;
        if let Some(at) = sessions.iter().position(|info| info.session_id == wanted) {
            return Ok(sessions.swap_remove(at));
        }
        let ids: Vec<String> = sessions.iter().map(short_id).collect();
        let choices: Vec<Choice<'_>> = sessions
            .iter()
            .zip(&ids)
            .map(|(info, id)| Choice {
                id,
                title: &info.title,
                number: None,
            })
            .collect();
        match pick(&choices, wanted) {
            Picked::One(at) => Ok(sessions.swap_remove(at)),
            Picked::Nothing => Err(Failure::new(
                exit::USAGE,
                format!("there is no dialog {wanted:?}"),
            )
            .hint("picobot sessions --all lists those there are")),
            Picked::Several(places) => {
                let names: Vec<String> = places
                    .iter()
                    .take(NAMED)
                    .map(|at| format!("{} ({})", sessions[*at].session_id, sessions[*at].title))
                    .collect();
                let message = format!("{wanted:?} fits several dialogs: {}", names.join(", "));
                Err(Failure::new(exit::USAGE, message).hint("use the whole id"))
            }
        }
    }

    /// Names a dialog; returns the title as it is kept.
    pub(super) fn rename(&self, id: &str, title: &str) -> Result<String, Failure> {
        let (Self::Gateway { launch, .. } | Self::File { launch, .. }) = self;
        let title = session::clean_title(&launch.redactor.redact_known(title));
        if title.is_empty() {
            let message = "a title needs a visible character";
            return Err(Failure::new(exit::USAGE, message).hint("picobot sessions rename ID TITLE"));
        }
        let Self::Gateway { url, launch } = self else {
            self.write(id, |tx, row| tx.rename_dialog(row.key, &title))?;
            return Ok(title);
        };
        let body = ClientBody::RenameSession {
            session_id: Some(id.to_owned()),
            title,
        };
        match ask::ask(url, &launch.config, body)? {
            ServerBody::SessionRenamed { title, .. } => Ok(title.into_owned()),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes a dialog with its messages.
    pub(super) fn remove(&self, id: &str) -> Result<(), Failure> {
        let Self::Gateway { url, launch } = self else {
            return self.write(id, |tx, row| tx.delete_dialog(row.key));
        };
        let body = ClientBody::DeleteSession {
            session_id: Some(id.to_owned()),
        };
        match ask::ask(url, &launch.config, body)? {
            ServerBody::SessionDeleted { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Has a dialog compressed; returns what the gateway, or the stack in this process, says of it.
    pub(super) fn compact(&self, id: &str, focus: &str) -> Result<String, Failure> {
        let body = ClientBody::UserInput {
            content: format!("/compact {focus}").trim_end().to_owned(),
            channel: None,
            chat_id: None,
            sender_id: None,
            session_id: Some(id.to_owned()),
            images: Vec::new(),
        };
        let answer = match self {
            Self::Gateway { url, launch } => {
                ask::ask_within(url, &launch.config, body, COMPACT_LIMIT)?
            }
            Self::File { launch, .. } => in_process(launch, body)?,
        };
        match answer {
            ServerBody::CommandExecuted { content, .. } => Ok(content.into_owned()),
            other => Err(unexpected(&other)),
        }
    }

    /// Changes the file under its lock.
    fn write(
        &self,
        id: &str,
        change: impl FnOnce(&Tx<'_>, &DialogRow) -> Result<(), StorageError>,
    ) -> Result<(), Failure> {
        let (Self::Gateway { launch, .. } | Self::File { launch, .. }) = self;
        let Some(db) = one_database(&launch.config)? else {
            return Err(missing());
        };
        let changed = db.write(|tx| {
            let row = find(tx, id)?;
            row.map(|row| change(tx, &row)).transpose()
        });
        db.end();
        match changed.map_err(anyhow::Error::from)? {
            Some(()) => Ok(()),
            None => Err(missing()),
        }
    }
}

/// Returns the name of a dialog inside its chat.
pub(super) fn short_id(info: &SessionInfo<'_>) -> String {
    let id = info.session_id.rsplit(':').next();
    id.unwrap_or_default().to_owned()
}

fn find(tx: &Tx<'_>, id: &str) -> Result<Option<DialogRow>, StorageError> {
    match id.parse::<SessionId>() {
        Ok(session) => tx.find_dialog(&session),
        Err(_) => Ok(None),
    }
}

/// Answers a reading request from the file.
fn read_file(db: &Db, launch: &Launch, body: ClientBody) -> Result<ServerBody<'static>, Failure> {
    let failed = |error: StorageError| Failure::from(anyhow::Error::from(error));
    let dialog = |id: &str| {
        let found = db.read(|tx| find(tx, id)).map_err(failed)?;
        found.ok_or_else(missing)
    };
    let (session, body) = match body {
        ClientBody::ListSessions {
            include_archived,
            offset,
            ..
        } => {
            let body = session::list(db, None, include_archived, offset).map_err(failed)?;
            (None, body)
        }
        ClientBody::LoadSession { session_id, .. } => {
            let row = dialog(&session_id)?;
            let (messages, has_more) = session::load(db, row.key).map_err(failed)?;
            let body = Body::Loaded {
                messages,
                has_more,
                detail: None,
            };
            (Some(row.session), body)
        }
        ClientBody::SearchMessages { query, limit, .. } => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let items = session::search(db, &query, None, limit).map_err(failed)?;
            (None, Body::Found { items })
        }
        ClientBody::ExportSession {
            session_id,
            after,
            form,
        } => {
            let row = dialog(&session_id)?;
            let form = match form {
                ExportForm::Markdown => TextForm::Markdown,
                ExportForm::Json => TextForm::Json,
            };
            let piece =
                session::export(db, row.key, after, form, &launch.redactor).map_err(failed)?;
            let piece = piece.ok_or_else(missing)?;
            let body = Body::Exported {
                content: piece.content,
                next: piece.next,
            };
            (Some(row.session), body)
        }
        other => return Err(Failure::new(exit::AGENT, format!("not a read: {other:?}"))),
    };
    let outbound = Outbound {
        client: ClientId(0),
        request_id: None,
        session,
        body,
    };
    let message = cli_chat::frame(&outbound).and_then(|frame| ServerMessage::parse(&frame).ok());
    message
        .map(|message| message.body)
        .ok_or_else(|| Failure::new(exit::AGENT, "the answer cannot be read"))
}

/// Runs a request in this process, on the same stack as the gateway's.
fn in_process(launch: &Launch, body: ClientBody) -> Result<ServerBody<'static>, Failure> {
    let database = &launch.config.gateway.session_db_path;
    gateway::prepare(&launch.config, database)?;
    let lock = InstanceLock::acquire(database, Kind::OneShot).map_err(anyhow::Error::from)?;
    let mut stack = OneShot::start(launch, lock)?;
    let request = ClientMessage {
        body,
        request_id: Some("sessions".to_owned()),
    };
    let mut frames = stack.send(&request.to_json());
    let deadline = Instant::now() + COMPACT_LIMIT;
    loop {
        if frames.is_empty() {
            let outbound = stack.frames().recv_deadline(deadline);
            let outbound = outbound
                .map_err(|_| Failure::new(exit::TIMEOUT, "no answer within ten minutes"))?;
            frames.extend(stack.encode(&outbound));
        }
        for frame in frames.drain(..) {
            match ServerMessage::parse(&frame) {
                Ok(message) if message.request_id.as_deref() == Some("sessions") => {
                    return match message.body {
                        ServerBody::Error { message, .. } => {
                            Err(Failure::new(exit::AGENT, message))
                        }
                        ServerBody::SystemNotification { .. } => continue,
                        body => Ok(body),
                    };
                }
                _ => {}
            }
        }
    }
}

fn missing() -> Failure {
    Failure::new(exit::USAGE, "there is no such dialog")
        .hint("picobot sessions --all lists those there are")
}

pub(super) fn unexpected(body: &ServerBody<'_>) -> Failure {
    Failure::new(
        exit::UNREACHABLE,
        format!("the gateway answered with something else: {body:?}"),
    )
}
