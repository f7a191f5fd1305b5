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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{ChannelId, ChatId, Message, Role, Route};
    use crate::storage::Db;

    fn filled(n_messages: usize) -> (tempfile::TempDir, Db, DialogKey) {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("picobot.db"), false).unwrap();
        let route = Route {
            channel: ChannelId::new("c").unwrap(),
            chat: ChatId::new("d").unwrap(),
        };
        let now = SystemTime::now();
        let dialog = db
            .write(|tx| {
                let dialog = tx.current_dialog(&route, now)?.key;
                let turn = tx.begin_turn(dialog, now)?;
                let message = Message::text(Role::User, "x");
                let all = std::iter::repeat_n(&message, n_messages);
                tx.append_messages(dialog, turn, all, now)?;
                Ok(dialog)
            })
            .unwrap();
        (dir, db, dialog)
    }

    #[test]
    fn only_what_is_sent_is_loaded() {
        let (_dir, db, dialog) = filled(10_000);
        let context = Context {
            upto: 9_990,
            request: Some(17),
            summary: "s".to_owned(),
            ..Context::default()
        };
        db.write(|tx| tx.set_context(dialog, &context)).unwrap();
        let (loaded, history, n) = db
            .read(|tx| {
                let loaded = tx.context(dialog)?;
                let history = tx.history(dialog, &loaded)?;
                let n = tx.n_summarised(dialog, &loaded)?;
                Ok((loaded, history, n))
            })
            .unwrap();
        assert_eq!((&loaded, n), (&context, 9_989));
        let ids: Vec<i64> = history.iter().map(|stored| stored.id).collect();
        assert_eq!(ids, [vec![17], (9_991..=10_000).collect()].concat());
        // By the index, not by looking at all that is stored.
        let plan: Vec<String> = db
            .read(|tx| {
                let mut statement = tx.sql.prepare(
                    "EXPLAIN QUERY PLAN
                     SELECT * FROM messages WHERE dialog = ?1 AND id = ?3 AND id <= ?2
                     UNION ALL SELECT * FROM messages WHERE dialog = ?1 AND id > ?2 ORDER BY id",
                )?;
                let rows = statement.query_map(params![1, 2, 3], |row| row.get(3))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .unwrap();
        assert!(
            !plan.iter().any(|line| line.starts_with("SCAN")),
            "{plan:?}"
        );
    }

    #[test]
    fn a_summary_is_tried_and_rests_until_one_is_there() {
        let (_dir, db, dialog) = filled(1);
        let rest = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(5_000);
        let tried = db
            .write(|tx| {
                tx.begin_summary(dialog)?;
                tx.begin_summary(dialog)?;
                let tried = tx.context(dialog)?.tries;
                tx.end_summary(dialog, Some(rest))?;
                tx.note_tokens(dialog, Some(1_234))?;
                Ok(tried)
            })
            .unwrap();
        let context = db.read(|tx| tx.context(dialog)).unwrap();
        assert_eq!(tried, 2);
        assert_eq!(context.tries, 0);
        assert_eq!(context.rests_until, Some(rest));
        assert_eq!(context.tokens, Some(1_234));
        db.write(|tx| tx.set_context(dialog, &Context::default()))
            .unwrap();
        let context = db.read(|tx| tx.context(dialog)).unwrap();
        assert_eq!((context.rests_until, context.tokens), (None, None));
    }

    #[test]
    fn memories_of_a_running_turn_replace_each_other_and_go_with_the_dialog() {
        let (_dir, db, dialog) = filled(1);
        let at = |secs| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(secs);
        let add = |turn, content, began, ended| {
            let entry = NewTimeline {
                turn,
                content,
                began_at: at(began),
                ended_at: at(ended),
            };
            db.write(|tx| tx.add_timeline(dialog, &entry, at(99)))
                .unwrap();
        };
        let all = || {
            db.read(|tx| {
                let mut statement = tx
                    .sql
                    .prepare("SELECT content, began_at, ended_at FROM timeline ORDER BY id")?;
                let rows =
                    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
                Ok(rows.collect::<Result<Vec<(String, i64, i64)>, _>>()?)
            })
            .unwrap()
        };
        add(None, "old", 1, 2);
        add(Some(TurnId(1)), "a", 3, 4);
        add(Some(TurnId(1)), "a and b", 5, 6);
        assert_eq!(
            all(),
            [
                ("old".to_owned(), 1_000, 2_000),
                ("a and b".to_owned(), 3_000, 6_000)
            ]
        );
        db.write(|tx| tx.clear_dialog(dialog, at(9))).unwrap();
        assert_eq!(all(), []);
    }
}
