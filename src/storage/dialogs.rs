//! The `dialogs` and `chats` tables: dialogs of a chat, and which one is current.

use std::time::SystemTime;

use rusqlite::{OptionalExtension, Row, params};

use super::db::Tx;
use super::error::StorageError;
use super::{from_millis, to_millis};
use crate::chat::{ChannelId, ChatId, DialogId, InputMode, Route, SessionId};

/// A dialog's row number; never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DialogKey(pub i64);

/// One dialog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DialogRow {
    /// Its row number.
    pub key: DialogKey,
    /// Its name for the outside.
    pub session: SessionId,
    /// Its title; empty until named or first used.
    pub title: String,
    /// Whether it is archived.
    pub archived: bool,
    /// When its last message came.
    pub updated_at: SystemTime,
    /// How many messages people see in it.
    pub n_messages: u64,
    /// When it was made.
    pub created_at: SystemTime,
    /// What happens to an input that comes while a turn runs.
    pub mode: InputMode,
}

const COLUMNS: &str = "id, channel, chat, name, title, archived, updated_at, n_messages, created_at, \
                       input_mode";

fn from_row(row: &Row<'_>) -> rusqlite::Result<DialogRow> {
    fn name<T>(result: Result<T, crate::chat::IdError>) -> rusqlite::Result<T> {
        // Only checked names are ever written.
        result.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }
    Ok(DialogRow {
        key: DialogKey(row.get(0)?),
        session: SessionId {
            channel: name(ChannelId::new(row.get_ref(1)?.as_str()?))?,
            chat: name(ChatId::new(row.get_ref(2)?.as_str()?))?,
            dialog: name(DialogId::new(row.get_ref(3)?.as_str()?))?,
        },
        title: row.get(4)?,
        archived: row.get(5)?,
        updated_at: from_millis(row.get(6)?),
        n_messages: u64::try_from(row.get::<_, i64>(7)?).unwrap_or(0),
        created_at: from_millis(row.get(8)?),
        mode: InputMode::from_word(row.get_ref(9)?.as_str()?).unwrap_or_default(),
    })
}

/// A part of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    offset: i64,
    limit: i64,
}

impl Page {
    /// Leaves out the first `offset` entries; has at most `limit`.
    pub fn new(offset: u64, limit: usize) -> Self {
        Self {
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
        }
    }
}

impl Tx<'_> {
    /// Makes a dialog in a chat. Its name is `d` and a number no dialog had before: never a bare number, which is a place
    /// in a list.
    pub fn create_dialog(
        &self,
        route: &Route,
        title: &str,
        now: SystemTime,
    ) -> Result<DialogRow, StorageError> {
        let next: i64 = self
            .sql
            .prepare_cached(
                "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'dialogs'), 0) + 1",
            )?
            .query_row([], |row| row.get(0))?;
        self.sql
            .prepare_cached(
                "INSERT INTO dialogs (id, channel, chat, name, title, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
            )?
            .execute(params![
                next,
                route.channel.as_str(),
                route.chat.as_str(),
                format!("d{next}"),
                title,
                to_millis(now)
            ])?;
        self.dialog(DialogKey(next))?
            .ok_or(StorageError::Sqlite(rusqlite::Error::QueryReturnedNoRows))
    }

    /// Finds a dialog by its row number.
    pub fn dialog(&self, key: DialogKey) -> Result<Option<DialogRow>, StorageError> {
        Ok(self
            .sql
            .prepare_cached(&format!("SELECT {COLUMNS} FROM dialogs WHERE id = ?1"))?
            .query_row([key.0], from_row)
            .optional()?)
    }

    /// Finds a dialog by its exact outside name.
    pub fn find_dialog(&self, session: &SessionId) -> Result<Option<DialogRow>, StorageError> {
        Ok(self
            .sql
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM dialogs WHERE channel = ?1 AND chat = ?2 AND name = ?3"
            ))?
            .query_row(
                params![
                    session.channel.as_str(),
                    session.chat.as_str(),
                    session.dialog.as_str()
                ],
                from_row,
            )
            .optional()?)
    }

    /// Returns the chat's current dialog; makes one if the chat has none.
    pub fn current_dialog(
        &self,
        route: &Route,
        now: SystemTime,
    ) -> Result<DialogRow, StorageError> {
        if let Some(row) = self.find_current(route)? {
            return Ok(row);
        }
        let row = self.create_dialog(route, "", now)?;
        self.set_current(route, row.key)?;
        Ok(row)
    }

    /// Finds the chat's current dialog, unless it was archived or deleted, or the chat never had one.
    pub fn find_current(&self, route: &Route) -> Result<Option<DialogRow>, StorageError> {
        Ok(self
            .sql
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM dialogs
                 WHERE id = (SELECT current FROM chats WHERE channel = ?1 AND chat = ?2)
                   AND archived = 0"
            ))?
            .query_row(
                params![route.channel.as_str(), route.chat.as_str()],
                from_row,
            )
            .optional()?)
    }

    /// Tells whether a chat has ever had a dialog.
    pub fn is_known_chat(&self, route: &Route) -> Result<bool, StorageError> {
        Ok(self
            .sql
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM dialogs WHERE channel = ?1 AND chat = ?2)",
            )?
            .query_row(
                params![route.channel.as_str(), route.chat.as_str()],
                |row| row.get(0),
            )?)
    }

    /// Returns the chats of a channel, last used first; reads all its dialogs.
    pub fn chats_of(&self, channel: &ChannelId, limit: usize) -> Result<Vec<String>, StorageError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT chat FROM dialogs WHERE channel = ?1
             GROUP BY chat ORDER BY max(updated_at) DESC LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let chats = statement.query_map(params![channel.as_str(), limit], |row| row.get(0))?;
        Ok(chats.collect::<Result<_, _>>()?)
    }

    /// Tells whether a dialog is the current one of its chat.
    pub fn is_current(&self, dialog: DialogKey) -> Result<bool, StorageError> {
        Ok(self
            .sql
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM dialogs JOIN chats USING (channel, chat)
                                WHERE dialogs.id = ?1 AND chats.current = dialogs.id)",
            )?
            .query_row([dialog.0], |row| row.get(0))?)
    }

    /// Makes a dialog the current one of its chat.
    pub fn set_current(&self, route: &Route, dialog: DialogKey) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "INSERT INTO chats (channel, chat, current) VALUES (?1, ?2, ?3)
                 ON CONFLICT (channel, chat) DO UPDATE SET current = excluded.current",
            )?
            .execute(params![
                route.channel.as_str(),
                route.chat.as_str(),
                dialog.0
            ])?;
        Ok(())
    }

    /// Lists the dialogs of a chat, last used first.
    pub fn list_dialogs(
        &self,
        route: &Route,
        archived: bool,
        page: Page,
    ) -> Result<Vec<DialogRow>, StorageError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM dialogs WHERE channel = ?1 AND chat = ?2 AND archived <= ?3
             ORDER BY updated_at DESC, id DESC LIMIT ?4 OFFSET ?5"
        ))?;
        let rows = statement.query_map(
            params![
                route.channel.as_str(),
                route.chat.as_str(),
                archived,
                page.limit,
                page.offset
            ],
            from_row,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Lists the dialogs of every chat, last used first.
    pub fn list_all_dialogs(
        &self,
        archived: bool,
        page: Page,
    ) -> Result<Vec<DialogRow>, StorageError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM dialogs WHERE archived <= ?1
             ORDER BY updated_at DESC, id DESC LIMIT ?2 OFFSET ?3"
        ))?;
        let rows = statement.query_map(params![archived, page.limit, page.offset], from_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Remembers the dialogs of the list that a chat is shown, in its order.
    pub fn set_listed(&self, route: &Route, dialogs: &[DialogKey]) -> Result<(), StorageError> {
        let listed: Vec<String> = dialogs.iter().map(|key| key.0.to_string()).collect();
        self.sql
            .prepare_cached(
                "INSERT INTO chats (channel, chat, listed) VALUES (?1, ?2, ?3)
                 ON CONFLICT (channel, chat) DO UPDATE SET listed = excluded.listed",
            )?
            .execute(params![
                route.channel.as_str(),
                route.chat.as_str(),
                listed.join(" ")
            ])?;
        Ok(())
    }

    /// Returns the dialogs of the list that a chat was shown last, in its order.
    pub fn listed(&self, route: &Route) -> Result<Vec<DialogKey>, StorageError> {
        let listed: Option<String> = self
            .sql
            .prepare_cached("SELECT listed FROM chats WHERE channel = ?1 AND chat = ?2")?
            .query_row([route.channel.as_str(), route.chat.as_str()], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(listed
            .unwrap_or_default()
            .split_ascii_whitespace()
            .filter_map(|key| key.parse().ok().map(DialogKey))
            .collect())
    }

    /// Chooses what happens to inputs that come while a turn runs in a dialog.
    pub fn set_input_mode(&self, dialog: DialogKey, mode: InputMode) -> Result<(), StorageError> {
        self.sql
            .prepare_cached("UPDATE dialogs SET input_mode = ?2 WHERE id = ?1")?
            .execute(params![dialog.0, mode.as_str()])?;
        Ok(())
    }

    /// Names a dialog.
    pub fn rename_dialog(&self, dialog: DialogKey, title: &str) -> Result<(), StorageError> {
        self.sql
            .prepare_cached("UPDATE dialogs SET title = ?2 WHERE id = ?1")?
            .execute(params![dialog.0, title])?;
        Ok(())
    }

    /// Gives a dialog a title if it has none yet.
    pub fn title_if_unnamed(&self, dialog: DialogKey, title: &str) -> Result<(), StorageError> {
        self.sql
            .prepare_cached("UPDATE dialogs SET title = ?2 WHERE id = ?1 AND title = ''")?
            .execute(params![dialog.0, title])?;
        Ok(())
    }

    /// Takes a dialog back from the archive.
    pub fn unarchive_dialog(&self, dialog: DialogKey) -> Result<(), StorageError> {
        self.sql
            .prepare_cached("UPDATE dialogs SET archived = 0 WHERE id = ?1")?
            .execute([dialog.0])?;
        Ok(())
    }

    /// Puts a dialog away; its chat gets a new current dialog when next asked for.
    pub fn archive_dialog(&self, dialog: DialogKey) -> Result<(), StorageError> {
        self.sql
            .prepare_cached("UPDATE dialogs SET archived = 1 WHERE id = ?1")?
            .execute([dialog.0])?;
        Ok(())
    }

    /// Deletes a dialog with its messages. Ids of its inputs stay known, so that a repeat is not taken for new.
    pub fn delete_dialog(&self, dialog: DialogKey) -> Result<(), StorageError> {
        self.close_open_inputs(dialog)?;
        self.forget_ended_inputs(dialog)?;
        self.sql
            .prepare_cached("DELETE FROM dialogs WHERE id = ?1")?
            .execute([dialog.0])?;
        self.sweep_media()
    }

    /// Deletes a dialog's messages, its summaries and the prompt it was begun with. Inputs that wait are newer than the wish to clear:
    /// they stay.
    pub fn clear_dialog(&self, dialog: DialogKey, now: SystemTime) -> Result<(), StorageError> {
        self.forget_ended_inputs(dialog)?;
        self.sql
            .prepare_cached("DELETE FROM messages WHERE dialog = ?1")?
            .execute([dialog.0])?;
        self.drop_context(dialog)?;
        self.sql
            .prepare_cached(
                "UPDATE dialogs SET n_messages = 0, prompt = NULL, updated_at = ?2 WHERE id = ?1",
            )?
            .execute(params![dialog.0, to_millis(now)])?;
        self.sweep_media()
    }

    /// Counts new visible messages of a dialog and notes the time.
    pub(super) fn touch_dialog(
        &self,
        dialog: DialogKey,
        added: i64,
        now: SystemTime,
    ) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "UPDATE dialogs SET n_messages = n_messages + ?2, updated_at = max(updated_at, ?3)
                 WHERE id = ?1",
            )?
            .execute(params![dialog.0, added, to_millis(now)])?;
        Ok(())
    }
}
