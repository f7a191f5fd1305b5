//! Telling clients of changes that they did not ask for: `session_updated`, and `session_deleted` without a request.
//!
//! Runs on the `session` thread. Changes are collected while a message is handled and told once at its end, so that a
//! dialog in which much happens at once is read and told once. Nothing is read while nobody watches.

use std::collections::HashMap;

use super::active::Active;
use super::actor::Actor;
use super::query;
use crate::bus::{Body, ClientId, DialogState, Outbound};
use crate::chat::SessionId;
use crate::storage::DialogKey;

/// Dialogs that changed since the last time somebody was told.
#[derive(Default)]
pub(super) struct Changes {
    dialogs: HashMap<DialogKey, Change>,
}

struct Change {
    session: SessionId,
    /// Clients that know already, because they asked for every change so far.
    know: Vec<ClientId>,
}

impl Changes {
    /// Notes a change of a dialog that these clients know of.
    pub(super) fn note(&mut self, key: DialogKey, session: &SessionId, know: &[ClientId]) {
        let change = self.dialogs.entry(key).or_insert_with(|| Change {
            session: session.clone(),
            know: know.to_vec(),
        });
        change.know.retain(|client| know.contains(client));
    }
}

impl Actor {
    /// Tells the clients that watch of everything noted since the last call.
    pub(super) fn tell_changes(&mut self) {
        if self.changes.dialogs.is_empty() {
            return;
        }
        for (key, change) in std::mem::take(&mut self.changes.dialogs) {
            let mut watchers = self.clients.watchers(&change.session.route());
            watchers.retain(|client| !change.know.contains(client));
            if watchers.is_empty() {
                continue;
            }
            let body = match self.deps.db.read(|tx| tx.dialog(key)) {
                Ok(Some(row)) => Body::Updated {
                    dialog: query::info(row),
                    state: self.state_of(key),
                },
                Ok(None) => Body::Deleted,
                Err(error) => {
                    log::error!("a changed dialog cannot be read: {error}");
                    continue;
                }
            };
            for client in watchers {
                self.deps.sink.push(Outbound {
                    client,
                    request_id: None,
                    session: Some(change.session.clone()),
                    body: body.clone(),
                });
            }
        }
    }

    /// Tells whether a dialog works.
    pub(super) fn state_of(&self, key: DialogKey) -> DialogState {
        match self.active.get(&key) {
            Some(Active {
                running: Some(_), ..
            }) => DialogState::Running,
            Some(active) if active.n_waiting() > 0 => DialogState::Queued,
            _ => DialogState::Idle,
        }
    }
}
