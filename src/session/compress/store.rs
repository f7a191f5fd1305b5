//! Reading what of a dialog is sent, and storing a compression in one transaction.

use std::collections::HashMap;
use std::time::SystemTime;

use super::{Compactor, Owner, Prompt};
use crate::agent::compress::Row;
use crate::chat::ModelCall;
use crate::session::Deps;
use crate::storage::{Context, DialogKey, NewTimeline, StorageError, StoredMessage, TurnId};

/// What of a dialog is sent, as stored.
pub(in crate::session) struct LoadedContext {
    pub(in crate::session) context: Context,
    pub(in crate::session) rows: Vec<Row>,
    /// When each row was stored.
    pub(super) times: HashMap<i64, SystemTime>,
    pub(super) prompt: Option<Prompt>,
}

impl LoadedContext {
    /// Returns when a row was stored.
    pub(super) fn time_of(&self, row: Option<&Row>) -> SystemTime {
        row.and_then(|row| self.times.get(&row.id).copied())
            .unwrap_or_else(SystemTime::now)
    }
}

/// Reads what of a dialog is sent.
pub(in crate::session) fn load_rows(
    deps: &Deps,
    dialog: DialogKey,
) -> Result<LoadedContext, StorageError> {
    deps.db.read(|tx| {
        let context = tx.context(dialog)?;
        let history = tx.history(dialog, &context)?;
        Ok(LoadedContext {
            times: history
                .iter()
                .map(|stored| (stored.id, stored.created_at))
                .collect(),
            rows: rows_of(history),
            prompt: tx.prompt(dialog)?,
            context,
        })
    })
}

/// Takes of stored messages what compression looks at.
pub(in crate::session) fn rows_of(history: Vec<StoredMessage>) -> Vec<Row> {
    history
        .into_iter()
        .map(|stored| Row {
            id: stored.id,
            turn: stored.turn.0,
            message: stored.message,
        })
        .collect()
}

/// What a compression changes.
pub(super) struct Change<'a> {
    pub(super) context: &'a Context,
    /// The system prompt, read anew.
    pub(super) prompt: Option<&'a Prompt>,
    pub(super) timeline: Option<&'a NewTimeline<'a>>,
    /// Calls to enter into the ledger, and under which turn.
    pub(super) calls: &'a [ModelCall],
    pub(super) ledger_turn: TurnId,
}

/// Whether a change was stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stored {
    Yes,
    /// Whoever wanted it has ended meanwhile. Only the calls were entered.
    OwnerEnded,
}

impl Compactor<'_> {
    /// Stores a compression, all or nothing.
    pub(super) fn store(&self, change: &Change<'_>) -> Result<Stored, StorageError> {
        let now = SystemTime::now();
        self.deps.db.write(|tx| {
            for call in change.calls {
                tx.record_model_call(change.ledger_turn, call)?;
            }
            let is_on = match self.owner {
                Owner::Turn(turn) => tx.turn_runs(turn)?,
                Owner::Command(input) => tx.input(input)?.is_some_and(|input| !input.closed),
            };
            if !is_on {
                return Ok(Stored::OwnerEnded);
            }
            tx.set_context(self.dialog, change.context)?;
            if let Some(prompt) = change.prompt {
                tx.set_prompt(self.dialog, prompt)?;
            }
            if let Some(timeline) = change.timeline {
                tx.add_timeline(self.dialog, timeline, now)?;
            }
            Ok(Stored::Yes)
        })
    }
}
