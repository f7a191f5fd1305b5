//! Taking an input back before its turn begins: it leaves the queue, its own request ends, and its text is returned.
//!
//! Runs on the `session` thread, after the batch it came in is committed, so that an input of the same batch is found.

use super::active::{Waiting, Work};
use super::actor::Actor;
use super::apply::{Apply, Effect};
use super::replies::{error_reply, reply_body};
use super::wording;
use crate::bus::{Body, Caller, ErrorCode};
use crate::chat::SessionId;
use crate::storage::{DialogKey, InboxId, Outcome, StorageError};

/// Which input is meant.
pub(super) struct TakeBack {
    pub(super) caller: Caller,
    pub(super) dialog: DialogKey,
    pub(super) session: SessionId,
    /// The newest that waits if left out.
    pub(super) input: Option<(InboxId, String)>,
}

impl Apply<'_, '_> {
    /// Finds the dialog and the input that a request means.
    pub(super) fn take_back(
        &mut self,
        caller: &Caller,
        input: Option<&str>,
    ) -> Result<(), StorageError> {
        let Some(mut row) = self.target(caller, None, None)? else {
            return Ok(());
        };
        let mut known = None;
        if let Some(id) = input {
            let found = self.tx.find_input(row.session.channel.as_str(), id)?;
            let dialog = match found.as_ref().and_then(|found| found.dialog) {
                Some(key) => self.tx.dialog(key)?,
                None => None,
            };
            let (Some(found), Some(dialog)) = (found, dialog) else {
                self.push(caller, None, not_waiting());
                return Ok(());
            };
            row = dialog;
            known = Some((found.id, id.to_owned()));
        }
        self.effects.push(Effect::TakeBack(TakeBack {
            caller: caller.clone(),
            dialog: row.key,
            session: row.session,
            input: known,
        }));
        Ok(())
    }
}

impl Actor {
    /// Takes a waiting input out of its dialog's queue and ends it.
    pub(super) fn take_back(&mut self, wish: TakeBack) {
        let only = wish.input.as_ref().map(|(id, _)| *id);
        let body = match self.take_waiting(wish.dialog, only) {
            None => not_waiting(),
            Some(waiting) => match self.end_taken_back(&waiting) {
                Ok(content) => {
                    let input = waiting.callers.iter().find_map(|c| c.request_id.clone());
                    Body::TakenBack { content, input }
                }
                Err(error) => {
                    let body = self.storage_failed(&error);
                    self.put_back(wish.dialog, &wish.session, waiting);
                    self.reply(&wish.caller, Some(wish.session), body);
                    return;
                }
            },
        };
        if matches!(body, Body::TakenBack { .. }) {
            self.changes
                .note(wish.dialog, &wish.session, &[wish.caller.client]);
            self.count_waiting();
        }
        self.reply(&wish.caller, Some(wish.session), body);
        self.dispatch(wish.dialog);
    }

    /// Removes an input whose turn no process has begun: the one meant, else the newest.
    fn take_waiting(&mut self, dialog: DialogKey, only: Option<InboxId>) -> Option<Waiting> {
        let active = self.active.get_mut(&dialog)?;
        let at = active.queue.iter().rposition(|work| {
            matches!(work, Work::Input(waiting)
                if waiting.resume.is_none() && only.is_none_or(|only| only == waiting.input))
        });
        let queued = match at.and_then(|at| active.queue.get(at)) {
            Some(Work::Input(waiting)) => Some(waiting.input),
            _ => None,
        };
        if let Some(steering) = active.steering() {
            let steered = match only {
                Some(only) => steering.take(|input| input == only).pop(),
                None if steering.newest() > queued => steering.take_newest(),
                None => None,
            };
            if steered.is_some() {
                return steered;
            }
        }
        match active.queue.remove(at?)? {
            Work::Input(waiting) => Some(waiting),
            Work::Op(..) => None,
        }
    }

    /// Ends the input in the database and tells those who wait for it; returns its text.
    fn end_taken_back(&self, waiting: &Waiting) -> Result<String, StorageError> {
        let reply = error_reply(ErrorCode::Stopped, wording::TAKEN_BACK);
        let row = self.deps.db.write(|tx| {
            let row = tx
                .input(waiting.input)?
                .ok_or_else(|| StorageError::missing("input"))?;
            tx.close_input(waiting.input, Outcome::Stopped, &reply)?;
            Ok(row)
        })?;
        if let Some(dialog) = row.dialog
            && let Some(active) = self.active.get(&dialog)
        {
            for caller in &waiting.callers {
                self.reply(caller, Some(active.session.clone()), reply_body(&reply));
            }
        }
        Ok(row.content)
    }

    fn put_back(&mut self, dialog: DialogKey, session: &SessionId, waiting: Waiting) {
        self.add_in_order(dialog, session, waiting);
        self.dispatch(dialog);
    }
}

fn not_waiting() -> Body {
    Body::Error {
        code: ErrorCode::NotFound,
        message: "No such message is waiting; its turn may have begun.".to_owned(),
    }
}
