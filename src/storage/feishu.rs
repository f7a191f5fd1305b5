//! The `feishu_events` and `feishu_people` tables: what Feishu and Lark bots must know after a restart.

use std::time::{Duration, SystemTime};

use rusqlite::{OptionalExtension, params};

use super::db::Tx;
use super::error::StorageError;
use super::{from_millis, to_millis};

/// How long ids of messages stay known; the service repeats an event for about seven hours.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Rows deleted at once, so that no write takes long.
const SWEPT_AT_ONCE: i64 = 500;

/// A message event as received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeishuEvent {
    /// The message's id, `om_…`.
    pub message: String,
    /// The chat's id, `oc_…`.
    pub chat: String,
    /// `p2p` or `group`.
    pub chat_type: String,
    /// The topic's id, if it stands in one.
    pub thread: Option<String>,
    /// The event's JSON.
    pub event: String,
    /// When it was received.
    pub received_at: SystemTime,
}

/// What is known of a message, and what the bot put on or under it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeishuTrace {
    /// The chat's id.
    pub chat: String,
    /// `p2p` or `group`.
    pub chat_type: String,
    /// The topic's id.
    pub thread: Option<String>,
    /// The reaction's id.
    pub reaction: Option<String>,
    /// The card's id, the id of the message that shows it, and when it was made.
    pub card: Option<(String, String, SystemTime)>,
}

impl Tx<'_> {
    /// Stores an event; false if its message is known already.
    pub fn record_feishu_event(
        &self,
        channel: &str,
        event: &FeishuEvent,
    ) -> Result<bool, StorageError> {
        let added = self
            .sql
            .prepare_cached(
                "INSERT INTO feishu_events (channel, message, chat, chat_type, thread, event, received_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                channel,
                event.message,
                event.chat,
                event.chat_type,
                event.thread,
                event.event,
                to_millis(event.received_at)
            ])?;
        Ok(added > 0)
    }

    /// Returns the events that the session has not taken, oldest first.
    pub fn open_feishu_events(&self, channel: &str) -> Result<Vec<FeishuEvent>, StorageError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT message, chat, chat_type, thread, event, received_at FROM feishu_events
             WHERE channel = ?1 AND is_open = 1 ORDER BY received_at, message",
        )?;
        let rows = statement.query_map([channel], |row| {
            Ok(FeishuEvent {
                message: row.get(0)?,
                chat: row.get(1)?,
                chat_type: row.get(2)?,
                thread: row.get(3)?,
                event: row.get(4)?,
                received_at: from_millis(row.get(5)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that the session has taken messages, or that nothing is to be done about them.
    pub fn close_feishu_events(
        &self,
        channel: &str,
        messages: &[String],
    ) -> Result<(), StorageError> {
        let mut statement = self.sql.prepare_cached(
            "UPDATE feishu_events SET is_open = 0, event = '' WHERE channel = ?1 AND message = ?2",
        )?;
        for message in messages {
            statement.execute([channel, message])?;
        }
        Ok(())
    }

    /// Returns what is known of a message.
    pub fn feishu_trace(
        &self,
        channel: &str,
        message: &str,
    ) -> Result<Option<FeishuTrace>, StorageError> {
        Ok(self
            .sql
            .prepare_cached(
                "SELECT chat, chat_type, thread, reaction, card, card_message, card_at
                 FROM feishu_events WHERE channel = ?1 AND message = ?2",
            )?
            .query_row([channel, message], |row| {
                let card = row.get::<_, Option<String>>(4)?;
                let shown = row.get::<_, Option<String>>(5)?;
                let at = row.get::<_, Option<i64>>(6)?;
                Ok(FeishuTrace {
                    chat: row.get(0)?,
                    chat_type: row.get(1)?,
                    thread: row.get(2)?,
                    reaction: row.get(3)?,
                    card: card
                        .zip(at)
                        .map(|(card, at)| (card, shown.unwrap_or_default(), from_millis(at))),
                })
            })
            .optional()?)
    }

    /// Notes the reaction on a message, or that there is none.
    pub fn set_feishu_reaction(
        &self,
        channel: &str,
        message: &str,
        reaction: Option<&str>,
    ) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "UPDATE feishu_events SET reaction = ?3 WHERE channel = ?1 AND message = ?2",
            )?
            .execute(params![channel, message, reaction])?;
        Ok(())
    }

    /// Notes the card that shows the answer to a message while it is written, or that there is none.
    pub fn set_feishu_card(
        &self,
        channel: &str,
        message: &str,
        card: Option<(&str, &str, SystemTime)>,
    ) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "UPDATE feishu_events SET card = ?3, card_message = ?4, card_at = ?5
                 WHERE channel = ?1 AND message = ?2",
            )?
            .execute(params![
                channel,
                message,
                card.map(|(id, _, _)| id),
                card.map(|(_, shown, _)| shown),
                card.map(|(_, _, at)| to_millis(at))
            ])?;
        Ok(())
    }

    /// Returns the newest message of a chat's topic.
    pub fn newest_feishu_message(
        &self,
        channel: &str,
        chat: &str,
        thread: &str,
    ) -> Result<Option<String>, StorageError> {
        Ok(self
            .sql
            .prepare_cached(
                "SELECT message FROM feishu_events WHERE channel = ?1 AND chat = ?2 AND thread = ?3
                 ORDER BY received_at DESC LIMIT 1",
            )?
            .query_row([channel, chat, thread], |row| row.get(0))
            .optional()?)
    }

    /// Forgets some of the messages that are older than a week; returns whether there were more.
    pub fn sweep_feishu_events(&self, now: SystemTime) -> Result<bool, StorageError> {
        let before = to_millis(now.checked_sub(KEPT).unwrap_or(SystemTime::UNIX_EPOCH));
        let swept = self
            .sql
            .prepare_cached(
                "DELETE FROM feishu_events WHERE (channel, message) IN
                 (SELECT channel, message FROM feishu_events
                  WHERE received_at < ?1 AND is_open = 0 LIMIT ?2)",
            )?
            .execute(params![before, SWEPT_AT_ONCE])?;
        Ok(i64::try_from(swept).unwrap_or(0) == SWEPT_AT_ONCE)
    }

    /// Returns who was let in by a code, and whether as an owner.
    pub fn feishu_people(&self, channel: &str) -> Result<Vec<(String, bool)>, StorageError> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT person, is_owner FROM feishu_people WHERE channel = ?1")?;
        let rows = statement.query_map([channel], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Lets a person in.
    pub fn add_feishu_person(
        &self,
        channel: &str,
        person: &str,
        is_owner: bool,
        now: SystemTime,
    ) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "INSERT INTO feishu_people (channel, person, is_owner, paired_at)
                 VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET is_owner = max(is_owner, excluded.is_owner)",
            )?
            .execute(params![channel, person, is_owner, to_millis(now)])?;
        Ok(())
    }
}
