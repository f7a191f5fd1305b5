//! What may only be done to a dialog while no turn runs in it: clear, archive, delete. Runs on the `session` thread.
//!
//! A wish is queued in the dialog as `Work::Op`; turns that run or wait there are stopped for it. Who asks gets the
//! answer in the form of the question: a wire reply, or the text of a slash command.

use std::time::SystemTime;

use super::active::{Asker, DialogOp};
use super::actor::Actor;
use super::commands::named;
use super::replies::command_reply;
use super::wording;
use crate::bus::{Body, ErrorCode};
use crate::chat::SessionId;
use crate::storage::{DialogKey, DialogRow, NewInput, Outcome, StorageError, Tx};

impl Actor {
    /// Does to a dialog what had to wait until no turn runs in it.
    pub(super) fn run_op(&mut self, key: DialogKey, op: DialogOp, asker: &Asker) {
        let Some(session) = self.active.get(&key).map(|active| active.session.clone()) else {
            return;
        };
        let chosen = self.clients.choice(asker.caller.client, &session.route());
        let result = self.deps.db.write(|tx| {
            // Whether the asker's next message would have gone to this dialog.
            let speaks_here = match chosen {
                Some(chosen) => chosen == key,
                None => tx.is_current(key)?,
            };
            let (body, mut content) = store_op(tx, key, op)?;
            if speaks_here && matches!(body, Body::Archived | Body::Deleted) {
                content.push(' ');
                content.push_str(&speaks_next(tx.find_current(&session.route())?));
            }
            asker.keep_answer(tx, &session, &content)?;
            Ok((body, content))
        });
        let (body, content) = match result {
            Ok(done) => done,
            Err(error) => {
                let body = self.storage_failed(&error);
                return self.reply(&asker.caller, Some(session), body);
            }
        };
        if matches!(body, Body::Archived | Body::Deleted) {
            self.clients
                .forget(asker.caller.client, &session.route(), key);
        }
        if body == Body::Deleted {
            self.deps.processes.forget(&session);
            self.refuse_waiting(key, &session);
        }
        self.changes.note(key, &session, &[asker.caller.client]);
        self.reply(&asker.caller, Some(session), asker.answer(body, content));
    }

    /// Answers what was sent to a dialog between the wish to delete it and its end.
    fn refuse_waiting(&mut self, key: DialogKey, session: &SessionId) {
        let waiting = self
            .active
            .get_mut(&key)
            .map(|active| std::mem::take(&mut active.queue));
        for work in waiting.into_iter().flatten() {
            for caller in work.into_callers() {
                let body = Body::Error {
                    code: ErrorCode::NotFound,
                    message: wording::DELETED.to_owned(),
                };
                self.reply(&caller, Some(session.clone()), body);
            }
        }
    }
}

impl Asker {
    /// Keeps the answer to a slash command for a repeat of it, together with what the command did.
    fn keep_answer(
        &self,
        tx: &Tx<'_>,
        session: &SessionId,
        content: &str,
    ) -> Result<(), StorageError> {
        let (Some(command), Some(id)) = (&self.command, &self.caller.request_id) else {
            return Ok(());
        };
        let source = session.channel.as_str();
        if tx.find_input(source, id)?.is_some() {
            return Ok(());
        }
        let input = tx.insert_input(&NewInput {
            source,
            external_id: Some(id),
            dialog: None,
            sender: None,
            content: &command.text,
            files: &[],
            received_at: SystemTime::now(),
        })?;
        let reply = command_reply(&command.name, content);
        tx.close_input(input, Outcome::Done, &reply)
    }

    /// Returns the answer in the form of the question.
    fn answer(&self, body: Body, content: String) -> Body {
        match &self.command {
            Some(command) => Body::Command {
                command: command.name.clone(),
                content,
            },
            None => body,
        }
    }
}

/// Stores what was queued; returns the answer as a wire reply and as text.
fn store_op(tx: &Tx<'_>, key: DialogKey, op: DialogOp) -> Result<(Body, String), StorageError> {
    let Some(row) = tx.dialog(key)? else {
        let body = Body::Error {
            code: ErrorCode::NotFound,
            message: wording::DELETED.to_owned(),
        };
        return Ok((body, wording::DELETED.to_owned()));
    };
    let name = named(&row);
    let n_messages = wording::count(row.n_messages, "message");
    Ok(match op {
        DialogOp::Clear => {
            tx.clear_dialog(key, SystemTime::now())?;
            (
                Body::Cleared,
                format!("Cleared {name}: {n_messages} deleted."),
            )
        }
        DialogOp::Archive => {
            tx.archive_dialog(key)?;
            (
                Body::Archived,
                format!("Archived {name}. Writing in it brings it back; /sessions all lists it."),
            )
        }
        DialogOp::Delete => {
            tx.delete_dialog(key)?;
            (Body::Deleted, format!("Deleted {name} with {n_messages}."))
        }
    })
}

/// Tells where somebody speaks whose dialog has gone: in the chat's current one.
fn speaks_next(current: Option<DialogRow>) -> String {
    match current {
        Some(row) => format!("You are in {} now.", named(&row)),
        None => "Your next message begins a new dialog; /sessions lists the others.".to_owned(),
    }
}
