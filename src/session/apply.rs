//! Inbound messages: a batch is decided and stored in one transaction, and only then acknowledged and acted on.
//!
//! Inside the transaction nothing is sent and no turn is started: that is collected as [`Effect`]s. If the commit
//! fails, the effects are dropped, clients are put back as they were, and everybody is told.

use std::time::SystemTime;

use super::active::{Asker, DialogOp, Waiting, Work};
use super::actor::Actor;
use super::clients::Client;
use super::commands;
use super::inputs::Said;
use super::query::{Ask, Query};
use super::take_back::TakeBack;
use super::title::clean_title;
use crate::bus::{Body, Caller, ClientId, ErrorCode, Inbound, InboundBody, Outbound};
use crate::chat::{InputMode, Route, SessionId};
use crate::observability::crash_point;
use crate::storage::{DialogKey, DialogRow, StorageError, Tx};

/// What follows a commit.
pub(super) enum Effect {
    Push(Outbound),
    Work(DialogKey, SessionId, Work),
    /// A new input for a dialog, and what happens to it if a turn runs there.
    Input(DialogKey, SessionId, Waiting, InputMode),
    /// A repeat of an input that had not ended.
    Join(DialogKey, SessionId, Waiting),
    Ask(Query),
    TakeBack(TakeBack),
    /// A dialog changed; these clients know.
    Changed(DialogKey, SessionId, Vec<ClientId>),
    /// Deliveries are due that were not.
    WakeOutbox,
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

    pub(super) fn act(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Push(outbound) => self.deps.sink.push(outbound),
                Effect::Ask(query) => self.ask(query),
                Effect::TakeBack(wish) => self.take_back(wish),
                Effect::Changed(key, session, know) => self.changes.note(key, &session, &know),
                Effect::WakeOutbox => {
                    let _ = self.deps.outbox_wake.try_send(());
                }
                Effect::Join(key, session, waiting) => self.join(key, &session, waiting),
                Effect::Input(key, session, waiting, mode) => {
                    self.admit(key, &session, waiting, mode);
                }
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
                guest,
            } => {
                let Some(row) = self.target(caller, route.as_ref(), session.as_ref())? else {
                    self.not_found(caller);
                    return Ok(());
                };
                // A key that somebody pastes stays out of the database and away from the model.
                let redactor = self.actor.deps.redactor.clone();
                let text = redactor.redact_known(text);
                let said = Said {
                    sender: sender.as_deref(),
                    text: &text,
                    files,
                    guest: *guest,
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
            InboundBody::Wants => {
                self.actor.clients.set_wants(caller.client, caller.wants);
                self.may_answer(caller);
                Ok(())
            }
            InboundBody::List {
                archived,
                all,
                offset,
            } => {
                let ask = Ask::List {
                    route: self.chat_of(caller, *all),
                    archived: *archived,
                    offset: *offset,
                };
                self.ask(caller, None, ask);
                Ok(())
            }
            InboundBody::TakeBack { input } => self.take_back(caller, input.as_deref()),
            InboundBody::Export {
                session,
                after,
                form,
            } => {
                let Some(row) = self.tx.find_dialog(session)? else {
                    self.not_found(caller);
                    return Ok(());
                };
                let (dialog, after, form) = (row.key, *after, *form);
                let ask = Ask::Export {
                    dialog,
                    after,
                    form,
                };
                self.ask(caller, Some(row.session), ask);
                Ok(())
            }
            InboundBody::Search { query, limit, all } => {
                let ask = Ask::Search {
                    route: self.chat_of(caller, *all),
                    text: query.clone(),
                    limit: *limit,
                };
                self.ask(caller, None, ask);
                Ok(())
            }
            InboundBody::Load {
                session,
                detail,
                before,
            } => self.load(caller, session, *detail, *before),
            InboundBody::Rename { session, title } => {
                let Some(row) = self.target(caller, None, session.as_ref())? else {
                    self.not_found(caller);
                    return Ok(());
                };
                let title = self.given_title(title);
                if title.is_empty() {
                    let message = "A title needs a visible character.".to_owned();
                    let code = ErrorCode::BadRequest;
                    self.push(caller, Some(row.session), Body::Error { code, message });
                    return Ok(());
                }
                self.rename(caller, &row, &title)?;
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
            InboundBody::Grants { revoke } => self.grants(caller, revoke.as_deref()),
            InboundBody::Outbox { op, ids, all } => self.outbox(caller, *op, ids.as_deref(), *all),
            InboundBody::Ping => {
                self.push(caller, None, Body::Pong);
                Ok(())
            }
        }
    }

    fn connected(&mut self, caller: &Caller, route: &Route) -> Result<(), StorageError> {
        let row = self.tx.current_dialog(route, self.now)?;
        let mut client = Client::new(route.clone());
        client.choose(route, row.key);
        self.actor.clients.insert(caller.client, client);
        self.push(
            caller,
            Some(row.session),
            Body::Established {
                title: super::shown_title(&row.title).to_owned(),
            },
        );
        Ok(())
    }

    /// Finds the dialog a request is about: the exact one, else the client's in the chat, else the chat's current one,
    /// which is the client's own from then on if it named no chat.
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
        let named = route.is_some();
        let route = route.map_or_else(|| clients.route(caller.client), Route::clone);
        if let Some(key) = clients.choice(caller.client, &route) {
            if let Some(row) = self.tx.dialog(key)? {
                return Ok(Some(row));
            }
            clients.forget(caller.client, &route, key);
        }
        let row = self.tx.current_dialog(&route, self.now)?;
        if !named {
            clients.choose(caller.client, &route, row.key);
        }
        Ok(Some(row))
    }

    /// Makes a dialog and switches the client to it.
    pub(super) fn create(
        &mut self,
        caller: &Caller,
        route: &Route,
        title: &str,
    ) -> Result<DialogRow, StorageError> {
        let row = self
            .tx
            .create_dialog(route, &self.given_title(title), self.now)?;
        self.actor.clients.choose(caller.client, route, row.key);
        self.changed(&row, vec![caller.client]);
        Ok(row)
    }

    /// Cleans a title that a person gave; lists show titles everywhere, so keys are no part of them.
    pub(super) fn given_title(&self, title: &str) -> String {
        clean_title(&self.actor.deps.redactor.redact_known(title))
    }

    /// Names a dialog.
    pub(super) fn rename(
        &mut self,
        caller: &Caller,
        row: &DialogRow,
        title: &str,
    ) -> Result<(), StorageError> {
        self.tx.rename_dialog(row.key, title)?;
        self.changed(row, vec![caller.client]);
        Ok(())
    }

    /// Makes a dialog the client's own and its chat's current one; an archived one comes back.
    pub(super) fn switch(&mut self, caller: &Caller, row: &DialogRow) -> Result<(), StorageError> {
        let route = row.session.route();
        if row.archived {
            self.tx.unarchive_dialog(row.key)?;
            self.changed(row, vec![caller.client]);
        }
        self.tx.set_current(&route, row.key)?;
        self.actor.clients.choose(caller.client, &route, row.key);
        Ok(())
    }

    pub(super) fn changed(&mut self, row: &DialogRow, know: Vec<ClientId>) {
        let changed = Effect::Changed(row.key, row.session.clone(), know);
        self.effects.push(changed);
    }

    /// Returns the chat a client speaks in, or `None` if all are meant.
    fn chat_of(&self, caller: &Caller, all: bool) -> Option<Route> {
        (!all).then(|| self.actor.clients.route(caller.client))
    }

    pub(super) fn ask(&mut self, caller: &Caller, session: Option<SessionId>, ask: Ask) {
        self.effects.push(Effect::Ask(Query {
            caller: caller.clone(),
            session,
            ask,
        }));
    }

    fn load(
        &mut self,
        caller: &Caller,
        session: &SessionId,
        detail: bool,
        before: Option<i64>,
    ) -> Result<(), StorageError> {
        let Some(row) = self.tx.find_dialog(session)? else {
            self.not_found(caller);
            return Ok(());
        };
        self.actor
            .clients
            .choose(caller.client, &session.route(), row.key);
        self.actor.ask_again(caller, session);
        let ask = Ask::Load {
            dialog: row.key,
            title: super::shown_title(&row.title).to_owned(),
            detail,
            before,
        };
        self.ask(caller, Some(row.session), ask);
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
            Work::Op(
                op,
                Asker {
                    caller: caller.clone(),
                    command: None,
                },
            ),
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

    pub(super) fn not_found(&mut self, caller: &Caller) {
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
