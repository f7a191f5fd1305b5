//! The `outbox` table: deliveries to channels that push. A row first, then the sending, then the mark.

use std::time::SystemTime;

use rusqlite::{OptionalExtension, params};

use super::db::Tx;
use super::error::StorageError;
use super::inbox::InboxId;
use super::to_millis;
use crate::chat::{ChannelId, ChatId, Route};

/// A delivery about to be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Where it goes.
    pub route: Route,
    /// The text.
    pub body: String,
    /// Sent along; the same key is the same delivery.
    pub idempotency_key: String,
    /// The input it answers, if any.
    pub input: Option<InboxId>,
}

/// A stored delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboxRow {
    /// Its row number.
    pub id: i64,
    /// The delivery.
    pub delivery: Delivery,
    /// The sender's own id of the input it answers.
    pub answers: Option<String>,
    /// How often sending was begun.
    pub attempts: u32,
}

impl Tx<'_> {
    /// Stores a delivery; a key already known changes nothing.
    pub fn add_delivery(&self, delivery: &Delivery, now: SystemTime) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "INSERT INTO outbox
                 (channel, chat, body, idempotency_key, state, created_at, input)
                 VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?6) ON CONFLICT (idempotency_key) DO NOTHING",
            )?
            .execute(params![
                delivery.route.channel.as_str(),
                delivery.route.chat.as_str(),
                delivery.body,
                delivery.idempotency_key,
                to_millis(now),
                delivery.input.map(|input| input.0)
            ])?;
        Ok(())
    }

    /// Returns the row number of the oldest open delivery behind another.
    pub fn next_delivery(&self, after: i64) -> Result<Option<i64>, StorageError> {
        Ok(self
            .sql
            .prepare_cached(
                "SELECT id FROM outbox WHERE state IN ('pending', 'started') AND id > ?1
                 ORDER BY id LIMIT 1",
            )?
            .query_row([after], |row| row.get(0))
            .optional()?)
    }

    /// Returns the oldest open delivery behind a row number, and notes that its sending begins.
    pub fn begin_delivery(&self, after: i64) -> Result<Option<OutboxRow>, StorageError> {
        let found = self
            .sql
            .prepare_cached(
                "SELECT id, channel, chat, body, idempotency_key, attempts, input,
                        (SELECT external_id FROM inbox WHERE inbox.id = outbox.input)
                 FROM outbox
                 WHERE state IN ('pending', 'started') AND id > ?1 ORDER BY id LIMIT 1",
            )?
            .query_row([after], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                    row.get::<_, String>(4)?,
                    row.get::<_, i64>(5)?,
                    row.get::<_, Option<i64>>(6)?,
                    row.get::<_, Option<String>>(7)?,
                ))
            })
            .optional()?;
        let Some((id, channel, chat, body, idempotency_key, attempts, input, answers)) = found
        else {
            return Ok(None);
        };
        let (Ok(channel), Ok(chat)) = (ChannelId::new(&channel), ChatId::new(&chat)) else {
            self.end_delivery(id, Err("the address is not valid"))?;
            return self.begin_delivery(id);
        };
        self.sql
            .prepare_cached(
                "UPDATE outbox SET state = 'started', attempts = attempts + 1 WHERE id = ?1",
            )?
            .execute([id])?;
        Ok(Some(OutboxRow {
            id,
            delivery: Delivery {
                route: Route { channel, chat },
                body,
                idempotency_key,
                input: input.map(InboxId),
            },
            answers,
            attempts: u32::try_from(attempts + 1).unwrap_or(u32::MAX),
        }))
    }

    /// Notes that a delivery arrived, or why it never will.
    pub fn end_delivery(&self, id: i64, result: Result<(), &str>) -> Result<(), StorageError> {
        let (state, error) = match result {
            Ok(()) => ("sent", None),
            Err(error) => ("failed", Some(error)),
        };
        self.sql
            .prepare_cached("UPDATE outbox SET state = ?2, error = ?3 WHERE id = ?1")?
            .execute(params![id, state, error])?;
        Ok(())
    }
}
