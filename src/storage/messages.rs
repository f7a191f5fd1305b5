//! The `messages` table: a dialog's history, in the order of its row ids.

use std::collections::HashMap;
use std::time::SystemTime;

use rusqlite::{Row, params};

use super::contexts::Context;
use super::db::Tx;
use super::dialogs::DialogKey;
use super::error::StorageError;
use super::parts::{from_json, role_from, role_word, to_json};
use super::turns::TurnId;
use super::{from_millis, to_millis};
use crate::chat::{Image, Message, Native, Part, Role, ToolResult};

/// A message with its place in the database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredMessage {
    /// Row number; orders a dialog.
    pub id: i64,
    /// The turn it belongs to.
    pub turn: TurnId,
    /// The message.
    pub message: Message,
    /// When it was stored.
    pub created_at: SystemTime,
}

/// Messages with everything that was done; see [`Tx::detailed_page`].
#[derive(Clone, Debug, Default)]
pub struct DetailedPage {
    /// The messages of people and models, oldest first.
    pub messages: Vec<StoredMessage>,
    /// The results of their tool calls by call id.
    pub results: HashMap<String, ToolResult>,
    /// Whether older ones exist.
    pub has_more: bool,
}

/// The condition for messages that the model sees; `?1` is the dialog.
const SEEN: &str = "turn NOT IN (SELECT id FROM turns WHERE dialog = ?1 AND left_out = 1)";

const COLUMNS: &str = "id, turn, role, parts, provider, model, native, created_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    let native = match row.get::<_, Option<String>>(6)? {
        Some(data) => Some(Native {
            provider: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
            model: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
            data,
        }),
        None => None,
    };
    Ok(StoredMessage {
        id: row.get(0)?,
        turn: TurnId(row.get(1)?),
        message: Message {
            role: role_from(row.get_ref(2)?.as_str()?),
            parts: from_json(row.get_ref(3)?.as_str()?),
            native,
        },
        created_at: from_millis(row.get(7)?),
    })
}

/// Whether people see a message as one of the conversation: what was said, not tool rounds.
fn counts(message: &Message) -> bool {
    message.role != Role::Tool
        && message
            .parts
            .iter()
            .any(|part| matches!(part, Part::Text(_) | Part::Note(_) | Part::Image(_)))
}

impl Tx<'_> {
    /// Appends messages to a dialog.
    pub fn append_messages<'m>(
        &self,
        dialog: DialogKey,
        turn: TurnId,
        messages: impl IntoIterator<Item = &'m Message>,
        now: SystemTime,
    ) -> Result<(), StorageError> {
        let mut added = 0;
        for message in messages {
            self.insert_message(dialog, turn, message, now)?;
            added += i64::from(counts(message));
        }
        self.touch_dialog(dialog, added, now)
    }

    fn insert_message(
        &self,
        dialog: DialogKey,
        turn: TurnId,
        message: &Message,
        at: SystemTime,
    ) -> Result<(), StorageError> {
        let native = message.native.as_ref();
        self.sql
            .prepare_cached(
                "INSERT INTO messages (dialog, turn, role, parts, provider, model, native, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                dialog.0,
                turn.0,
                role_word(message.role),
                to_json(&message.parts),
                native.map(|native| &native.provider),
                native.map(|native| &native.model),
                native.map(|native| &native.data),
                to_millis(at)
            ])?;
        self.keep_images(self.sql.last_insert_rowid(), message)
    }

    /// Tells whether a turn has stored anything.
    pub fn has_messages(&self, turn: TurnId) -> Result<bool, StorageError> {
        Ok(self
            .sql
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM messages WHERE turn = ?1)")?
            .query_row([turn.0], |row| row.get(0))?)
    }

    /// Returns the messages of a dialog that the model sees and no summary stands for, oldest first. Only the newest
    /// images come with their bytes, as many as go into one request.
    pub fn history(
        &self,
        dialog: DialogKey,
        context: &Context,
    ) -> Result<Vec<StoredMessage>, StorageError> {
        // Two ranges of the index; an OR would read the whole dialog.
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM messages WHERE dialog = ?1 AND id = ?3 AND id <= ?2 AND {SEEN}
             UNION ALL SELECT {COLUMNS} FROM messages WHERE dialog = ?1 AND id > ?2 AND {SEEN}
             ORDER BY id"
        ))?;
        let rows = statement.query_map(
            params![dialog.0, context.upto, context.request.unwrap_or(-1)],
            from_row,
        )?;
        let mut history = rows.collect::<Result<Vec<_>, _>>()?;
        self.load_images(&mut history)?;
        Ok(history)
    }

    /// Returns the ids of all calls of a turn, those that a summary stands for included.
    pub fn call_ids(&self, turn: TurnId) -> Result<Vec<String>, StorageError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT parts FROM messages WHERE turn = ?1 AND role = 'assistant' ORDER BY id",
        )?;
        let rows = statement.query_map([turn.0], |row| Ok(from_json(row.get_ref(0)?.as_str()?)))?;
        let mut ids = Vec::new();
        for parts in rows {
            ids.extend(parts?.into_iter().filter_map(|part| match part {
                Part::ToolCall(call) => Some(call.id),
                _ => None,
            }));
        }
        Ok(ids)
    }

    /// Returns the next messages of a dialog behind a row (0 for the first), oldest first. Images come without bytes.
    pub fn messages_after(
        &self,
        dialog: DialogKey,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, StorageError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM messages WHERE dialog = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![dialog.0, after, limit], from_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Returns the row number behind every message.
    pub fn messages_end(&self) -> Result<i64, StorageError> {
        Ok(self
            .sql
            .prepare_cached("SELECT coalesce(max(id), 0) + 1 FROM messages")?
            .query_row([], |row| row.get(0))?)
    }

    /// Looks through the messages of the rows `from..to` for a text that the stored form may hold, newest first; ASCII
    /// letters match in either case. What is found may still differ from what people see.
    pub fn messages_like(
        &self,
        text: &str,
        from: i64,
        to: i64,
    ) -> Result<Vec<(DialogKey, StoredMessage)>, StorageError> {
        // As it stands inside the stored JSON text.
        let json = serde_json::Value::from(text.to_ascii_lowercase()).to_string();
        let inner = &json[1..json.len() - 1];
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS}, dialog FROM messages
             WHERE id >= ?1 AND id < ?2 AND role <> 'tool' AND instr(lower(parts), ?3) > 0
             ORDER BY id DESC"
        ))?;
        let rows = statement.query_map(params![from, to, inner], |row| {
            Ok((DialogKey(row.get(8)?), from_row(row)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Puts a text in the place of every image of a dialog, for good.
    pub fn replace_images(
        &self,
        dialog: DialogKey,
        text: impl Fn(&Image) -> String,
    ) -> Result<(), StorageError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM messages
             WHERE dialog = ?1 AND EXISTS (SELECT 1 FROM message_media WHERE message = messages.id)"
        ))?;
        let rows = statement.query_map([dialog.0], from_row)?;
        for mut stored in rows.collect::<Result<Vec<_>, _>>()? {
            stored.message.replace_images(&text);
            self.sql
                .prepare_cached("UPDATE messages SET parts = ?2 WHERE id = ?1")?
                .execute(params![stored.id, to_json(&stored.message.parts)])?;
            self.sql
                .prepare_cached("DELETE FROM message_media WHERE message = ?1")?
                .execute([stored.id])?;
        }
        self.sweep_media()
    }

    /// Returns the newest messages of a dialog that people see, oldest first, and whether older ones exist: at most
    /// `limit`, and as many as have `max_bytes` of text together, but at least one.
    pub fn newest_visible(
        &self,
        dialog: DialogKey,
        limit: usize,
        max_bytes: usize,
    ) -> Result<(Vec<StoredMessage>, bool), StorageError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM messages WHERE dialog = ?1 AND role <> 'tool' ORDER BY id DESC"
        ))?;
        let mut rows = statement.query([dialog.0])?;
        let mut found = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let stored = from_row(row)?;
            if !counts(&stored.message) {
                continue;
            }
            bytes += stored.message.shown_text().len();
            if found.len() == limit || (bytes > max_bytes && !found.is_empty()) {
                found.reverse();
                return Ok((found, true));
            }
            found.push(stored);
        }
        found.reverse();
        Ok((found, false))
    }

    /// Returns a page of messages with everything that was done: the newest, or those before a row; oldest first. Tool
    /// results come apart, by call id. At most `limit` messages of together `max_bytes`, but one at least; also tells
    /// whether older ones exist. Images come without their bytes.
    pub fn detailed_page(
        &self,
        dialog: DialogKey,
        before: Option<i64>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<DetailedPage, StorageError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM messages WHERE dialog = ?1 AND id < ?2 ORDER BY id DESC"
        ))?;
        let mut rows = statement.query(params![dialog.0, before.unwrap_or(i64::MAX)])?;
        let mut page = DetailedPage::default();
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let stored = from_row(row)?;
            if stored.message.role == Role::Tool {
                for result in stored.message.tool_results() {
                    page.results.insert(result.call_id.clone(), result.clone());
                }
                continue;
            }
            if !counts(&stored.message) && stored.message.tool_calls().next().is_none() {
                continue;
            }
            bytes += stored.message.shown_text().len();
            // The most that can be shown of it as reasoning.
            bytes += stored
                .message
                .native
                .as_ref()
                .map_or(0, |native| native.data.len());
            for call in stored.message.tool_calls() {
                let result = page.results.get(&call.id);
                bytes += call.arguments.len() + result.map_or(0, |result| result.content.len());
            }
            if page.messages.len() == limit || (bytes > max_bytes && !page.messages.is_empty()) {
                page.has_more = true;
                break;
            }
            page.messages.push(stored);
        }
        page.messages.reverse();
        Ok(page)
    }

    /// Replaces a dialog's history, as [`Tx::history`] returns it, from a row on: what had to be repaired is stored
    /// repaired.
    pub fn rewrite_from(
        &self,
        dialog: DialogKey,
        context: &Context,
        first: i64,
        messages: &[(TurnId, Message, SystemTime)],
    ) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(&format!(
                "DELETE FROM messages
                 WHERE dialog = ?1 AND id >= ?2 AND (id > ?3 OR id IS ?4) AND {SEEN}"
            ))?
            .execute(params![dialog.0, first, context.upto, context.request])?;
        for (turn, message, at) in messages {
            self.insert_message(dialog, *turn, message, *at)?;
        }
        Ok(())
    }
}
