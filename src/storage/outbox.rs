//! The `outbox` table: deliveries to channels that push. A row first, then the sending, then the mark.
//!
//! A delivery is open (`pending`, or `started` once its sending was begun) until it is `sent`, `failed` for good,
//! `expired` (too old to be of use) or `dropped` by a person. Those that did not arrive are the dead letters; they can
//! be queued again.

use std::time::SystemTime;

use rusqlite::{OptionalExtension, Row, params, params_from_iter};

use super::db::Tx;
use super::error::StorageError;
use super::inbox::InboxId;
use super::{from_millis, to_millis};
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

/// A delivery as people see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveryInfo {
    /// Its row number.
    pub id: i64,
    /// Where it goes, `channel:chat`.
    pub to: String,
    /// The text.
    pub body: String,
    /// `pending`, `started`, `sent`, `failed`, `expired` or `dropped`.
    pub state: String,
    /// How often sending was begun.
    pub attempts: u32,
    /// Why it did not arrive, as far as known.
    pub error: Option<String>,
    /// When it was stored.
    pub created_at: SystemTime,
    /// When it got its last state; `None` while it is open.
    pub finished_at: Option<SystemTime>,
}

/// Which deliveries are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// Those that wait and those that did not arrive.
    Undelivered,
    /// All that are still stored.
    All,
}

/// Deliveries to one chat that were too old to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expired {
    /// Where they would have gone.
    pub route: Route,
    /// How many.
    pub n: usize,
    /// Whether the sending of one had been begun, so that it may have arrived.
    pub may_have_arrived: bool,
    /// The row number of the newest.
    pub last: i64,
}

const INFO: &str = "id, channel, chat, body, state, attempts, error, created_at, finished_at";

/// Picks the oldest open delivery of each chat.
const FIRST: &str = "state IN ('pending', 'started') AND NOT EXISTS (
    SELECT 1 FROM outbox AS earlier
    WHERE earlier.channel = outbox.channel AND earlier.chat = outbox.chat AND earlier.id < outbox.id
      AND earlier.state IN ('pending', 'started'))";

fn info(row: &Row<'_>) -> rusqlite::Result<DeliveryInfo> {
    Ok(DeliveryInfo {
        id: row.get(0)?,
        to: format!(
            "{}:{}",
            row.get_ref(1)?.as_str()?,
            row.get_ref(2)?.as_str()?
        ),
        body: row.get(3)?,
        state: row.get(4)?,
        attempts: u32::try_from(row.get::<_, i64>(5)?).unwrap_or(u32::MAX),
        error: row.get(6)?,
        created_at: from_millis(row.get(7)?),
        finished_at: row.get::<_, Option<i64>>(8)?.map(from_millis),
    })
}

impl Tx<'_> {
    /// Stores a delivery; a key already known changes nothing.
    pub fn add_delivery(&self, delivery: &Delivery, now: SystemTime) -> Result<(), StorageError> {
        self.insert_delivery(delivery, "message", now)
    }

    /// Stores a remark about deliveries that came too late. It does not become one of them itself.
    pub fn add_notice(&self, notice: &Delivery, now: SystemTime) -> Result<(), StorageError> {
        self.insert_delivery(notice, "notice", now)
    }

    fn insert_delivery(
        &self,
        delivery: &Delivery,
        kind: &str,
        now: SystemTime,
    ) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "INSERT INTO outbox
                 (channel, chat, body, idempotency_key, state, created_at, queued_at, kind, input)
                 VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?5, ?6, ?7)
                 ON CONFLICT (idempotency_key) DO NOTHING",
            )?
            .execute(params![
                delivery.route.channel.as_str(),
                delivery.route.chat.as_str(),
                delivery.body,
                delivery.idempotency_key,
                to_millis(now),
                kind,
                delivery.input.map(|input| input.0)
            ])?;
        Ok(())
    }

    /// Makes every open delivery due at once, as at the start of a process.
    pub fn make_deliveries_due(&self) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "UPDATE outbox SET due_at = 0
                 WHERE state IN ('pending', 'started') AND due_at > 0",
            )?
            .execute([])?;
        Ok(())
    }

    /// Returns the oldest open delivery that is due, and notes that its sending begins. One that waits to be tried again
    /// holds up the later ones of its chat, and no others.
    pub fn begin_delivery(&self, now: SystemTime) -> Result<Option<OutboxRow>, StorageError> {
        let found = self
            .sql
            .prepare_cached(&format!(
                "SELECT id, channel, chat, body, idempotency_key, attempts, input,
                        (SELECT external_id FROM inbox WHERE inbox.id = outbox.input)
                 FROM outbox WHERE {FIRST} AND due_at <= ?1 ORDER BY id LIMIT 1"
            ))?
            .query_row([to_millis(now)], |row| {
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
            self.end_delivery(id, Err("the address is not valid"), now)?;
            return self.begin_delivery(now);
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

    /// Returns when the next delivery that nothing holds up is due; `None` if none is open.
    pub fn next_delivery_due(&self) -> Result<Option<SystemTime>, StorageError> {
        let due: Option<i64> = self
            .sql
            .prepare_cached(&format!("SELECT min(due_at) FROM outbox WHERE {FIRST}"))?
            .query_row([], |row| row.get(0))?;
        Ok(due.map(from_millis))
    }

    /// Notes why a delivery did not arrive this time, and when it is tried again.
    pub fn postpone_delivery(
        &self,
        id: i64,
        due: SystemTime,
        why: &str,
    ) -> Result<(), StorageError> {
        self.sql
            .prepare_cached("UPDATE outbox SET due_at = ?2, error = ?3 WHERE id = ?1")?
            .execute(params![id, to_millis(due), why])?;
        Ok(())
    }

    /// Notes that a delivery arrived, or why it never will. One that a person dropped meanwhile stays dropped unless it
    /// arrived.
    pub fn end_delivery(
        &self,
        id: i64,
        result: Result<(), &str>,
        now: SystemTime,
    ) -> Result<(), StorageError> {
        let (state, error) = match result {
            Ok(()) => ("sent", None),
            Err(error) => ("failed", Some(error)),
        };
        self.sql
            .prepare_cached(
                "UPDATE outbox SET state = ?2, error = ?3, finished_at = ?4
                 WHERE id = ?1 AND (state IN ('pending', 'started') OR ?2 = 'sent')",
            )?
            .execute(params![id, state, error, to_millis(now)])?;
        Ok(())
    }

    /// Gives up open messages queued before `oldest`, and notices queued before `oldest_notice`; returns the messages by
    /// chat. Notices go without a word.
    pub fn expire_deliveries(
        &self,
        oldest: SystemTime,
        oldest_notice: SystemTime,
        now: SystemTime,
    ) -> Result<Vec<Expired>, StorageError> {
        let mut statement = self.sql.prepare_cached(
            "UPDATE outbox SET state = 'expired', finished_at = ?3,
                    error = coalesce(error, 'not delivered in time')
             WHERE state IN ('pending', 'started')
               AND queued_at < CASE kind WHEN 'notice' THEN ?2 ELSE ?1 END
             RETURNING id, channel, chat, attempts, kind",
        )?;
        let rows = statement.query_map(
            params![to_millis(oldest), to_millis(oldest_notice), to_millis(now)],
            |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, i64>(3)? > 0,
                    row.get::<_, String>(4)? == "notice",
                ))
            },
        )?;
        let mut expired: Vec<Expired> = Vec::new();
        for row in rows {
            let (id, channel, chat, begun, is_notice) = row?;
            let (Ok(channel), Ok(chat)) = (ChannelId::new(&channel), ChatId::new(&chat)) else {
                continue;
            };
            let route = Route { channel, chat };
            if is_notice {
                continue;
            }
            match expired.iter_mut().find(|known| known.route == route) {
                Some(known) => {
                    known.n += 1;
                    known.may_have_arrived |= begun;
                    known.last = known.last.max(id);
                }
                None => expired.push(Expired {
                    route,
                    n: 1,
                    may_have_arrived: begun,
                    last: id,
                }),
            }
        }
        Ok(expired)
    }

    /// Lists deliveries, newest first; at most `limit`.
    pub fn deliveries(
        &self,
        shown: Shown,
        limit: usize,
    ) -> Result<Vec<DeliveryInfo>, StorageError> {
        let filter = match shown {
            Shown::Undelivered => "WHERE state IN ('pending', 'started', 'failed', 'expired')",
            Shown::All => "",
        };
        let mut statement = self.sql.prepare(&format!(
            "SELECT {INFO} FROM outbox {filter} ORDER BY id DESC LIMIT ?1"
        ))?;
        let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], info)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Queues dead letters again, as if they were new: those with these row numbers, or all that failed or expired.
    /// Returns the ones that were.
    pub fn retry_deliveries(
        &self,
        ids: Option<&[i64]>,
        now: SystemTime,
    ) -> Result<Vec<DeliveryInfo>, StorageError> {
        // What a person dropped is taken back only if named.
        let from = match ids {
            Some(_) => "state IN ('failed', 'expired', 'dropped')",
            None => "state IN ('failed', 'expired')",
        };
        let change = format!(
            "state = 'pending', attempts = 0, error = NULL, due_at = 0, finished_at = NULL,
             queued_at = {}",
            to_millis(now)
        );
        self.change_deliveries(&change, from, ids)
    }

    /// Gives deliveries up that were not sent: those with these row numbers, or all. Returns the ones that were.
    pub fn drop_deliveries(
        &self,
        ids: Option<&[i64]>,
        now: SystemTime,
    ) -> Result<Vec<DeliveryInfo>, StorageError> {
        let change = format!("state = 'dropped', finished_at = {}", to_millis(now));
        let from = "state IN ('pending', 'started', 'failed', 'expired')";
        self.change_deliveries(&change, from, ids)
    }

    /// `change` and `from` are SQL of this file, never of anybody else.
    fn change_deliveries(
        &self,
        change: &str,
        from: &str,
        ids: Option<&[i64]>,
    ) -> Result<Vec<DeliveryInfo>, StorageError> {
        let ids = ids.map(|ids| {
            let marks = vec!["?"; ids.len()].join(",");
            (format!("AND id IN ({marks})"), ids)
        });
        let (filter, ids) = match &ids {
            Some((filter, ids)) => (filter.as_str(), *ids),
            None => ("", &[][..]),
        };
        let mut statement = self.sql.prepare(&format!(
            "UPDATE outbox SET {change} WHERE {from} {filter} RETURNING {INFO}"
        ))?;
        let rows = statement.query_map(params_from_iter(ids), info)?;
        let mut changed = rows.collect::<Result<Vec<_>, _>>()?;
        changed.sort_by_key(|row| row.id);
        Ok(changed)
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
