//! The `contexts` and `timeline` tables: what of a dialog is sent to the model, and the summaries as dated memories.
//!
//! A compression is one row replaced in one transaction, so whoever loads the dialog finds the old state or the new one.
//! Not here: what to compress (`agent::compress`) and when (`session::compress`).

use std::time::SystemTime;

use rusqlite::{OptionalExtension, params};

use super::db::Tx;
use super::dialogs::DialogKey;
use super::error::StorageError;
use super::turns::TurnId;
use super::{from_millis, to_millis};

/// What of a dialog is sent to the model.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// The summary stands for the messages up to this row; 0 for none.
    pub upto: i64,
    /// A row at or before `upto` that is sent all the same.
    pub request: Option<i64>,
    /// Tool results up to this row are sent shortened.
    pub shrunk: i64,
    /// Stands in front of what is sent; empty for none.
    pub summary: String,
    /// What the summary must not lose, as JSON text; empty for nothing.
    pub facts: String,
    /// Tokens of the last request with its answer, as the service counted them.
    pub tokens: Option<u64>,
    /// Summaries that were begun and have not ended.
    pub tries: u32,
    /// Until when no summary is asked for of our own accord.
    pub rests_until: Option<SystemTime>,
}

/// A dated memory about to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewTimeline<'a> {
    /// The turn that was compressed while it ran.
    pub turn: Option<TurnId>,
    /// The text.
    pub content: &'a str,
    /// When the first of the messages it tells of was stored.
    pub began_at: SystemTime,
    /// The same of the last.
    pub ended_at: SystemTime,
}

impl Tx<'_> {
    /// Returns what of a dialog is sent to the model.
    pub fn context(&self, dialog: DialogKey) -> Result<Context, StorageError> {
        let found = self
            .sql
            .prepare_cached(
                "SELECT upto, request, shrunk, summary, facts, tokens, tries, rests_until
                 FROM contexts WHERE dialog = ?1",
            )?
            .query_row([dialog.0], |row| {
                let rests_until: i64 = row.get(7)?;
                Ok(Context {
                    upto: row.get(0)?,
                    request: row.get(1)?,
                    shrunk: row.get(2)?,
                    summary: row.get(3)?,
                    facts: row.get(4)?,
                    tokens: row
                        .get::<_, Option<i64>>(5)?
                        .and_then(|tokens| u64::try_from(tokens).ok()),
                    tries: row.get(6)?,
                    rests_until: (rests_until > 0).then(|| from_millis(rests_until)),
                })
            })
            .optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Replaces what of a dialog is sent. Its tokens are unknown until the model has counted again.
    pub fn set_context(&self, dialog: DialogKey, context: &Context) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "INSERT OR REPLACE INTO contexts
                 (dialog, upto, request, shrunk, summary, facts, tries, rests_until)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                dialog.0,
                context.upto,
                context.request,
                context.shrunk,
                context.summary,
                context.facts,
                context.tries,
                context.rests_until.map_or(0, to_millis)
            ])?;
        Ok(())
    }

    /// Notes how many tokens the last request and its answer had.
    pub fn note_tokens(&self, dialog: DialogKey, tokens: Option<u64>) -> Result<(), StorageError> {
        let tokens = tokens.and_then(|tokens| i64::try_from(tokens).ok());
        self.sql
            .prepare_cached(
                "INSERT INTO contexts (dialog, tokens) VALUES (?1, ?2)
                 ON CONFLICT (dialog) DO UPDATE SET tokens = excluded.tokens",
            )?
            .execute(params![dialog.0, tokens])?;
        Ok(())
    }

    /// Notes that a summary is begun.
    pub fn begin_summary(&self, dialog: DialogKey) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "INSERT INTO contexts (dialog, tries) VALUES (?1, 1)
                 ON CONFLICT (dialog) DO UPDATE SET tries = tries + 1",
            )?
            .execute([dialog.0])?;
        Ok(())
    }

    /// Notes that a summary has ended without success; `rests_until` keeps the next from being tried at once.
    pub fn end_summary(
        &self,
        dialog: DialogKey,
        rests_until: Option<SystemTime>,
    ) -> Result<(), StorageError> {
        self.sql
            .prepare_cached("UPDATE contexts SET tries = 0, rests_until = ?2 WHERE dialog = ?1")?
            .execute(params![dialog.0, rests_until.map_or(0, to_millis)])?;
        Ok(())
    }

    /// Counts the messages of a dialog that the summary stands for.
    pub fn n_summarised(&self, dialog: DialogKey, context: &Context) -> Result<u64, StorageError> {
        let n: i64 = self
            .sql
            .prepare_cached(
                "SELECT count(*) FROM messages WHERE dialog = ?1 AND id <= ?2 AND id IS NOT ?3",
            )?
            .query_row(params![dialog.0, context.upto, context.request], |row| {
                row.get(0)
            })?;
        Ok(u64::try_from(n).unwrap_or(0))
    }

    /// Stores a dated memory of a dialog; a later one of the same turn tells all that the earlier told.
    pub fn add_timeline(
        &self,
        dialog: DialogKey,
        entry: &NewTimeline<'_>,
        now: SystemTime,
    ) -> Result<(), StorageError> {
        let mut began_at = to_millis(entry.began_at);
        if let Some(turn) = entry.turn {
            let earlier: Option<i64> = self
                .sql
                .prepare_cached("SELECT min(began_at) FROM timeline WHERE turn = ?1")?
                .query_row([turn.0], |row| row.get(0))?;
            began_at = began_at.min(earlier.unwrap_or(began_at));
            self.sql
                .prepare_cached("DELETE FROM timeline WHERE turn = ?1")?
                .execute([turn.0])?;
        }
        self.sql
            .prepare_cached(
                "INSERT INTO timeline (dialog, turn, content, began_at, ended_at, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                dialog.0,
                entry.turn.map(|turn| turn.0),
                entry.content,
                began_at,
                to_millis(entry.ended_at),
                to_millis(now)
            ])?;
        Ok(())
    }

    /// Forgets a dialog's summary and its dated memories: its messages are deleted.
    pub(super) fn drop_context(&self, dialog: DialogKey) -> Result<(), StorageError> {
        self.sql
            .prepare_cached("DELETE FROM contexts WHERE dialog = ?1")?
            .execute([dialog.0])?;
        self.sql
            .prepare_cached("DELETE FROM timeline WHERE dialog = ?1")?
            .execute([dialog.0])?;
        Ok(())
    }
}
