//! Inbound messages: a batch is decided and stored in one transaction, and only then acknowledged and acted on.
//!
//! Inside the transaction nothing is sent and no turn is started: that is collected as [`Effect`]s. If the commit
//! fails, the effects are dropped, clients are put back as they were, and everybody is told.

use std::time::SystemTime;

use super::active::{DialogOp, Waiting, Work};
use super::actor::Actor;
use super::clients::Client;
use super::commands;
use super::query::{Ask, Query};
use super::replies::{command_reply, reply_body};
use crate::bus::{Body, Caller, ErrorCode, Inbound, InboundBody, Outbound};
use crate::chat::{Attachment, Command, Input, Route, SessionId, classify};
use crate::observability::crash_point;
use crate::storage::{
    DialogKey, DialogRow, InboxRow, NewInput, Outcome, StorageError, Tx, fingerprint,
};

/// Inputs that may wait in one dialog.
pub(super) const MAX_WAITING: usize = 100;
/// Longest title, in characters; longer ones are cut.
const MAX_TITLE_CHARS: usize = 256;
/// Length of a title made from a dialog's first message.
const AUTO_TITLE_CHARS: usize = 40;
/// Length of a waiting message's beginning, for people.
const PREVIEW_CHARS: usize = 60;

/// What follows a commit.
pub(super) enum Effect {
    Push(Outbound),
    Work(DialogKey, SessionId, Work),
    /// A repeat of an input that had not ended.
    Join(DialogKey, SessionId, Waiting),
    Ask(Query),
    /// Deliveries are due that were not.
    WakeOutbox,
}

/// What an input says.
struct Said<'a> {
    sender: Option<&'a str>,
    text: &'a str,
    files: &'a [Attachment],
}

impl Said<'_> {
    /// The text as people see it.
    fn shown(&self) -> String {
        shown_input(self.text, self.files.iter().map(|file| file.name.as_str()))
    }
}

/// One message's view of the transaction.
pub(super) struct Apply<'a, 't> {
    pub(super) tx: &'a Tx<'t>,
    pub(super) actor: &'a mut Actor,
    pub(super) effects: &'a mut Vec<Effect>,
    pub(super) now: SystemTime,
}

impl Actor {
    /// Stores a batch in one transaction, then acknowledges and acts. A process that ends takes nothing more.
    pub(super) fn apply_batch(&mut self, batch: &[Inbound]) {
        if self.is_ending() {
            return self.refuse_ending(batch);
        }
        let before: Vec<_> = batch
            .iter()
            .map(|message| {
                let id = message.caller.client;
                (id, self.clients.snapshot(id))
            })
            .collect();
        let db = self.deps.db.clone();
        let mut effects = Vec::new();
        crash_point("inbox-begun");
        let stored = db.write(|tx| {
            for message in batch {
                Apply {
                    tx,
                    actor: self,
                    effects: &mut effects,
                    now: message.at,
                }
                .message(message)?;
            }
            Ok(())
        });
        match stored {
            Ok(()) => {
                crash_point("inbox-stored");
                self.act(effects);
            }
            Err(error) => {
                for (id, client) in before.into_iter().rev() {
                    self.clients.restore(id, client);
                }
                self.refuse_batch(batch, &error);
            }
        }
    }

    fn act(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Push(outbound) => self.deps.sink.push(outbound),
                Effect::Ask(query) => self.ask(query),
                Effect::WakeOutbox => {
                    let _ = self.deps.outbox_wake.try_send(());
                }
                Effect::Join(key, session, waiting) => self.join(key, &session, waiting),
                Effect::Work(key, session, work) => {
                    let interrupts = matches!(work, Work::Op(..));
                    if interrupts {
                        self.stop_dialog(key, None);
                    }
                    self.add_work(key, &session, work);
                    self.dispatch(key);
                }
            }
        }
    }

    /// Lets a caller wait for an input that is under way. One that nobody works on (it was left by another process, or
    /// its end could not be stored) is taken up; one that ended a moment ago is answered from the database.
    fn join(&mut self, key: DialogKey, session: &SessionId, waiting: Waiting) {
        if let Some(active) = self.active.get_mut(&key) {
            if let Some(running) = &active.running
                && running.input == waiting.input
            {
                for caller in &waiting.callers {
                    running.replies.add(caller.clone());
                }
                for caller in &waiting.callers {
                    self.ask_again(caller, key, session);
                }
                return;
            }
            for work in &mut active.queue {
                if let Work::Input(known) = work
                    && known.input == waiting.input
                {
                    known.callers.extend(waiting.callers);
                    return;
                }
            }
        }
        let body = match self.deps.db.read(|tx| tx.input(waiting.input)) {
            Ok(Some(row)) if !row.closed => {
                let resume = row.turn;
                self.add_work(key, session, Work::Input(Waiting { resume, ..waiting }));
                self.dispatch(key);
                return;
            }
            Ok(Some(InboxRow {
                reply: Some(reply), ..
            })) => reply_body(&reply),
            Ok(_) => Body::Error {
                code: ErrorCode::NotFound,
                message: super::wording::DELETED.to_owned(),
            },
            Err(error) => self.storage_failed(&error),
        };
        for caller in &waiting.callers {
            self.reply(caller, Some(session.clone()), body.clone());
        }
    }

    fn refuse_ending(&self, batch: &[Inbound]) {
        for message in batch {
            if message.body != InboundBody::Disconnected {
                let body = Body::Error {
                    code: ErrorCode::ShuttingDown,
                    message: super::wording::CLOSED.to_owned(),
                };
                self.reply(&message.caller, None, body);
            }
        }
    }

    fn refuse_batch(&self, batch: &[Inbound], error: &StorageError) {
        let body = self.storage_failed(error);
        for message in batch {
            match message.body {
                InboundBody::Disconnected => {}
                // Needs no database.
                InboundBody::Commands => {
                    self.reply(&message.caller, None, commands::list_body());
                }
                _ => self.reply(&message.caller, None, body.clone()),
            }
        }
    }
}

impl Apply<'_, '_> {
    fn message(&mut self, message: &Inbound) -> Result<(), StorageError> {
        let caller = &message.caller;
        match &message.body {
            InboundBody::Connected { route } => self.connected(caller, route),
            InboundBody::Disconnected => {
                self.actor.clients.remove(caller.client);
                Ok(())
            }
            InboundBody::Input {
                route,
                session,
                sender,
                text,
                files,
            } => {
                let Some(row) = self.target(caller, route.as_ref(), session.as_ref())? else {
                    self.not_found(caller);
                    return Ok(());
                };
                let said = Said {
                    sender: sender.as_deref(),
                    text,
                    files,
                };
                self.input(caller, &row, &said)
            }
            InboundBody::Clear { session, route } => {
                self.op(caller, route.as_ref(), session.as_ref(), DialogOp::Clear)
            }
            InboundBody::Create { title } => {
                let route = self.actor.clients.route(caller.client);
                let row = self.create(caller, &route, title.as_deref().unwrap_or(""))?;
                self.push(
                    caller,
                    Some(row.session),
                    Body::Created {
                        title: super::shown_title(&row.title).to_owned(),
                    },
                );
                Ok(())
            }
            InboundBody::List { archived } => {
                self.list(caller, *archived);
                Ok(())
            }
            InboundBody::Load { session } => self.load(caller, session),
            InboundBody::Rename { session, title } => {
                let Some(row) = self.target(caller, None, session.as_ref())? else {
                    self.not_found(caller);
                    return Ok(());
                };
                let title = cut(title.trim(), MAX_TITLE_CHARS);
                self.tx.rename_dialog(row.key, &title)?;
                self.push(caller, Some(row.session), Body::Renamed { title });
                Ok(())
            }
            InboundBody::Archive { session } => {
                self.op(caller, None, session.as_ref(), DialogOp::Archive)
            }
            InboundBody::Delete { session } => {
                self.op(caller, None, session.as_ref(), DialogOp::Delete)
            }
            InboundBody::Commands => {
                self.push(caller, None, commands::list_body());
                Ok(())
            }
            InboundBody::Outbox { op, ids, all } => self.outbox(caller, *op, ids.as_deref(), *all),
            InboundBody::Ping => {
                self.push(caller, None, Body::Pong);
                Ok(())
            }
        }
    }

    fn connected(&mut self, caller: &Caller, route: &Route) -> Result<(), StorageError> {
        let row = self.tx.current_dialog(route, self.now)?;
        self.actor
            .clients
            .insert(caller.client, Client::new(route.clone()));
        self.push(
            caller,
            Some(row.session),
            Body::Established {
                title: super::shown_title(&row.title).to_owned(),
            },
        );
        Ok(())
    }

    /// Finds the dialog a request is about: the exact one, else the client's in the chat, else the chat's current one.
    pub(super) fn target(
        &mut self,
        caller: &Caller,
        route: Option<&Route>,
        session: Option<&SessionId>,
    ) -> Result<Option<DialogRow>, StorageError> {
        if let Some(session) = session {
            return self.tx.find_dialog(session);
        }
        let clients = &mut self.actor.clients;
        let route = route.map_or_else(|| clients.route(caller.client), Route::clone);
        if let Some(key) = clients.choice(caller.client, &route) {
            if let Some(row) = self.tx.dialog(key)? {
                return Ok(Some(row));
            }
            clients.forget(caller.client, &route, key);
        }
        self.tx.current_dialog(&route, self.now).map(Some)
    }

    fn input(
        &mut self,
        caller: &Caller,
        row: &DialogRow,
        said: &Said<'_>,
    ) -> Result<(), StorageError> {
        let source = row.session.channel.as_str();
        if let Some(id) = &caller.request_id
            && let Some(known) = self.tx.find_input(source, id)?
        {
            return self.repeat(caller, row, known, said);
        }
        match classify(said.text).0 {
            Input::Command(command) => self.command(caller, row, &command, said),
            Input::Prompt => self.prompt(caller, row, said),
        }
    }

    /// Answers an input whose id is known: with the stored answer, or together with the first one.
    fn repeat(
        &mut self,
        caller: &Caller,
        row: &DialogRow,
        known: InboxRow,
        said: &Said<'_>,
    ) -> Result<(), StorageError> {
        if known.fingerprint != fingerprint(said.text, said.files) {
            let message = "This request_id was used for another message. Use a new one.".to_owned();
            let code = ErrorCode::BadRequest;
            self.push(
                caller,
                Some(row.session.clone()),
                Body::Error { code, message },
            );
            return Ok(());
        }
        let dialog = match known.dialog {
            Some(key) => self.tx.dialog(key)?,
            None => None,
        };
        let session = dialog.as_ref().unwrap_or(row).session.clone();
        match (known.reply, dialog) {
            (Some(reply), _) if known.closed => {
                self.push(caller, Some(session), reply_body(&reply));
            }
            (None, Some(dialog)) if !known.closed => {
                self.accepted(caller, &dialog);
                let waiting = Waiting {
                    input: known.id,
                    callers: vec![caller.clone()],
                    preview: preview(&said.shown()),
                    resume: known.turn,
                };
                self.effects
                    .push(Effect::Join(dialog.key, dialog.session, waiting));
            }
            _ => self.not_found(caller),
        }
        Ok(())
    }

    fn prompt(
        &mut self,
        caller: &Caller,
        row: &DialogRow,
        said: &Said<'_>,
    ) -> Result<(), StorageError> {
        if self.n_waiting(row.key) >= MAX_WAITING {
            self.push(
                caller,
                Some(row.session.clone()),
                Body::Error {
                    code: ErrorCode::QueueFull,
                    message: format!(
                        "Queue full: {MAX_WAITING} messages are waiting. /stop drops them."
                    ),
                },
            );
            return Ok(());
        }
        let input = self.tx.insert_input(&NewInput {
            source: row.session.channel.as_str(),
            external_id: caller.request_id.as_deref(),
            dialog: Some(row.key),
            sender: said.sender,
            content: said.text,
            files: said.files,
            received_at: self.now,
        })?;
        let shown = said.shown();
        if row.archived {
            self.tx.unarchive_dialog(row.key)?;
        }
        if row.title.is_empty() {
            let first_line = shown.trim().lines().next().unwrap_or_default();
            self.tx
                .title_if_unnamed(row.key, &cut(first_line, AUTO_TITLE_CHARS))?;
        }
        self.accepted(caller, row);
        self.effects.push(Effect::Work(
            row.key,
            row.session.clone(),
            Work::Input(Waiting {
                input,
                callers: vec![caller.clone()],
                preview: preview(&shown),
                resume: None,
            }),
        ));
        Ok(())
    }

    fn accepted(&mut self, caller: &Caller, row: &DialogRow) {
        if caller.wants.accepted {
            self.push(caller, Some(row.session.clone()), Body::Accepted);
        }
    }

    /// Counts what waits in a dialog, this batch included.
    fn n_waiting(&self, key: DialogKey) -> usize {
        let stored = self
            .actor
            .active
            .get(&key)
            .map_or(0, |active| active.n_waiting());
        let new = self
            .effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Work(to, _, Work::Input(_)) if *to == key))
            .count();
        stored + new
    }

    /// Runs a command of the ordered lane; its answer is kept if a repeat could ask for it.
    fn command(
        &mut self,
        caller: &Caller,
        row: &DialogRow,
        command: &Command,
        said: &Said<'_>,
    ) -> Result<(), StorageError> {
        let (session, content) = commands::run(self, caller, row, command)?;
        if let Some(id) = &caller.request_id {
            let input = self.tx.insert_input(&NewInput {
                source: row.session.channel.as_str(),
                external_id: Some(id),
                dialog: None,
                sender: None,
                content: said.text,
                files: said.files,
                received_at: self.now,
            })?;
            let reply = command_reply(&command.name, &content);
            self.tx.close_input(input, Outcome::Done, &reply)?;
        }
        self.push(
            caller,
            Some(session),
            Body::Command {
                command: command.name.clone(),
                content,
            },
        );
        Ok(())
    }

    /// Makes a dialog and switches the client to it.
    pub(super) fn create(
        &mut self,
        caller: &Caller,
        route: &Route,
        title: &str,
    ) -> Result<DialogRow, StorageError> {
        let title = cut(title.trim(), MAX_TITLE_CHARS);
        let row = self.tx.create_dialog(route, &title, self.now)?;
        self.actor.clients.choose(caller.client, route, row.key);
        Ok(row)
    }

    fn list(&mut self, caller: &Caller, archived: bool) {
        let route = self.actor.clients.route(caller.client);
        self.effects.push(Effect::Ask(Query {
            caller: caller.clone(),
            session: None,
            ask: Ask::List { route, archived },
        }));
    }

    fn load(&mut self, caller: &Caller, session: &SessionId) -> Result<(), StorageError> {
        let Some(row) = self.tx.find_dialog(session)? else {
            self.not_found(caller);
            return Ok(());
        };
        self.actor
            .clients
            .choose(caller.client, &session.route(), row.key);
        self.actor.ask_again(caller, row.key, session);
        self.effects.push(Effect::Ask(Query {
            caller: caller.clone(),
            session: Some(row.session),
            ask: Ask::Load { dialog: row.key },
        }));
        Ok(())
    }

    /// Queues what needs the dialog at rest; turns that run or wait there are stopped for it.
    fn op(
        &mut self,
        caller: &Caller,
        route: Option<&Route>,
        session: Option<&SessionId>,
        op: DialogOp,
    ) -> Result<(), StorageError> {
        let Some(row) = self.target(caller, route, session)? else {
            self.not_found(caller);
            return Ok(());
        };
        self.effects.push(Effect::Work(
            row.key,
            row.session,
            Work::Op(op, caller.clone()),
        ));
        Ok(())
    }

    pub(super) fn push(&mut self, caller: &Caller, session: Option<SessionId>, body: Body) {
        self.effects.push(Effect::Push(Outbound {
            client: caller.client,
            request_id: caller.request_id.clone(),
            session,
            body,
        }));
    }

    fn not_found(&mut self, caller: &Caller) {
        self.push(
            caller,
            None,
            Body::Error {
                code: ErrorCode::NotFound,
                message: "There is no such dialog. list_sessions shows those there are.".to_owned(),
            },
        );
    }
}

/// Stores what was queued as [`Work::Op`]; returns the answer.
pub(super) fn store_op(tx: &Tx<'_>, key: DialogKey, op: DialogOp) -> Result<Body, StorageError> {
    if tx.dialog(key)?.is_none() {
        return Ok(Body::Error {
            code: ErrorCode::NotFound,
            message: super::wording::DELETED.to_owned(),
        });
    }
    Ok(match op {
        DialogOp::Clear => {
            tx.clear_dialog(key, SystemTime::now())?;
            Body::Cleared
        }
        DialogOp::Archive => {
            tx.archive_dialog(key)?;
            Body::Archived
        }
        DialogOp::Delete => {
            tx.delete_dialog(key)?;
            Body::Deleted
        }
    })
}

fn cut(text: &str, max_chars: usize) -> String {
    text.chars().take(max_chars).collect()
}

/// Returns an input's text with a line for each file behind it.
pub(super) fn shown_input<'a>(text: &str, files: impl IntoIterator<Item = &'a str>) -> String {
    let mut shown = text.to_owned();
    for name in files {
        if !shown.is_empty() {
            shown.push_str("\n\n");
        }
        shown.push_str(&format!("[image: {name}]"));
    }
    shown
}

/// Returns the beginning of a text on one line.
pub(super) fn preview(text: &str) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(PREVIEW_CHARS) {
        words.truncate(end);
        words.push('…');
    }
    words
}
