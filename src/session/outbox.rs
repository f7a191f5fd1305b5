//! Requests about the outbox: what waits to be pushed or could not be, tried again or given up. On the `session` thread.

use super::apply::{Apply, Effect};
use crate::bus::{Body, Caller, DeliveryItem, OutboxOp};
use crate::storage::{DeliveryInfo, Shown, StorageError};

/// Deliveries in one answer.
const MAX_SHOWN: usize = 1_000;
/// Characters of a delivery's text that are shown; a list is for finding it, the dialog holds it whole.
const SHOWN_CHARS: usize = 500;

impl Apply<'_, '_> {
    pub(super) fn outbox(
        &mut self,
        caller: &Caller,
        op: OutboxOp,
        ids: Option<&[i64]>,
        all: bool,
    ) -> Result<(), StorageError> {
        let rows = match op {
            OutboxOp::List => {
                let shown = if all { Shown::All } else { Shown::Undelivered };
                let mut rows = self.tx.deliveries(shown, MAX_SHOWN)?;
                rows.retain(|row| ids.is_none_or(|ids| ids.contains(&row.id)));
                rows
            }
            OutboxOp::Retry => self.tx.retry_deliveries(ids, self.now)?,
            OutboxOp::Drop => self.tx.drop_deliveries(ids, self.now)?,
        };
        if op == OutboxOp::Retry && !rows.is_empty() {
            self.effects.push(Effect::WakeOutbox);
        }
        let deliveries = rows.into_iter().map(item).collect();
        self.push(caller, None, Body::Deliveries { deliveries });
        Ok(())
    }
}

fn item(row: DeliveryInfo) -> DeliveryItem {
    DeliveryItem {
        id: row.id,
        to: row.to,
        state: row.state,
        attempts: row.attempts,
        error: row.error,
        content: row.body.chars().take(SHOWN_CHARS).collect(),
        created_at: row.created_at,
        finished_at: row.finished_at,
    }
}
