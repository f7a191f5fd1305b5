//! Queries of the daily upkeep: what is archived, what is forgotten, and the probe of a disk that failed. Each call is
//! a small piece of work, so that nobody waits long for the connection.

use std::time::SystemTime;

use rusqlite::params;

use super::db::Tx;
use super::error::StorageError;
use super::{from_millis, to_millis};

/// Rows in one piece of work.
const PIECE: i64 = 500;
/// Images in one piece of work: they are large.
const IMAGES: i64 = 20;

/// How far a sweep over the inbox has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sweep {
    /// The last row looked at.
    after: i64,
    /// Rows deleted so far.
    pub deleted: usize,
    /// Whether nothing older is left.
    pub done: bool,
}

impl Tx<'_> {
    /// Archives dialogs without a message since a time and without open inputs; returns how many, at most one piece.
    pub fn archive_idle_dialogs(&self, since: SystemTime) -> Result<usize, StorageError> {
        Ok(self
            .sql
            .prepare_cached(
                "UPDATE dialogs SET archived = 1 WHERE id IN (
                     SELECT id FROM dialogs AS d WHERE archived = 0 AND updated_at < ?1
                       AND NOT EXISTS (SELECT 1 FROM inbox WHERE dialog = d.id AND outcome IS NULL)
                     LIMIT ?2)",
            )?
            .execute(params![to_millis(since), PIECE])?)
    }

    /// Forgets ended inputs received before a time, with their stored answers; goes on where the sweep stands.
    ///
    /// Rows are in the order received, so the sweep ends at the first that is young enough.
    pub fn forget_inputs(&self, before: SystemTime, sweep: Sweep) -> Result<Sweep, StorageError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT id, received_at, outcome IS NOT NULL FROM inbox
             WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let rows = statement.query_map(params![sweep.after, PIECE], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                from_millis(row.get(1)?),
                row.get::<_, bool>(2)?,
            ))
        })?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let mut next = sweep;
        next.done = rows.len() < usize::try_from(PIECE).unwrap_or(usize::MAX);
        let mut delete = self.sql.prepare_cached("DELETE FROM inbox WHERE id = ?1")?;
        for (id, received_at, ended) in rows {
            if received_at >= before {
                next.done = true;
                break;
            }
            if ended {
                next.deleted += delete.execute([id])?;
            }
            next.after = id;
        }
        Ok(next)
    }

    /// Forgets deliveries: those sent before a time, and dead letters that got their state before another. Returns how
    /// many, at most one piece.
    pub fn forget_deliveries(
        &self,
        sent_before: SystemTime,
        dead_before: SystemTime,
    ) -> Result<usize, StorageError> {
        Ok(self
            .sql
            .prepare_cached(
                "DELETE FROM outbox WHERE id IN (
                     SELECT id FROM outbox WHERE finished_at < CASE state WHEN 'sent' THEN ?1 ELSE ?2 END
                     LIMIT ?3)",
            )?
            .execute(params![to_millis(sent_before), to_millis(dead_before), PIECE])?)
    }

    /// Forgets the bytes of images that no message since a time holds; messages still name them. Returns how many, at most
    /// one piece.
    pub fn forget_images(&self, since: SystemTime) -> Result<usize, StorageError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT id FROM media AS m WHERE NOT EXISTS (
                 SELECT 1 FROM message_media AS held JOIN messages ON messages.id = held.message
                 WHERE held.media = m.id AND messages.created_at >= ?1)
             LIMIT ?2",
        )?;
        let found: Vec<i64> = statement
            .query_map(params![to_millis(since), IMAGES], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for id in &found {
            self.sql
                .prepare_cached("DELETE FROM message_media WHERE media = ?1")?
                .execute([id])?;
            self.sql
                .prepare_cached("DELETE FROM media WHERE id = ?1")?
                .execute([id])?;
        }
        Ok(found.len())
    }

    /// Writes something of no importance, to find out whether the disk takes writes.
    pub(super) fn probe(&self, now: SystemTime) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "INSERT INTO probes (id, at) VALUES (1, ?1)
                 ON CONFLICT (id) DO UPDATE SET at = excluded.at + (at = excluded.at)",
            )?
            .execute([to_millis(now)])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chat::{ChannelId, ChatId, Route};
    use crate::storage::{Db, Delivery, NewInput, Outcome, Shown, StoredReply};

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn what_is_old_and_ended_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("picobot.db"), false).unwrap();
        let now = SystemTime::now();
        let route = Route {
            channel: ChannelId::new("c").unwrap(),
            chat: ChatId::new("d").unwrap(),
        };
        let reply = StoredReply {
            kind: "answer".to_owned(),
            code: String::new(),
            text: "yes".to_owned(),
        };
        db.write(|tx| {
            let dialog = tx.current_dialog(&route, now - 30 * DAY)?.key;
            for n in 0..1_200 {
                let age = if n < 1_100 { 8 * DAY } else { DAY };
                let id = tx.insert_input(&NewInput {
                    source: "c",
                    external_id: Some(&n.to_string()),
                    dialog: Some(dialog),
                    sender: None,
                    content: "x",
                    files: &[],
                    received_at: now - age,
                })?;
                if n != 3 {
                    tx.close_input(id, Outcome::Done, &reply)?;
                }
            }
            for (n, age) in [(1, 8), (2, 6), (3, 40), (4, 8)] {
                let then = now - age * DAY;
                let delivery = Delivery {
                    route: route.clone(),
                    body: String::new(),
                    idempotency_key: n.to_string(),
                    input: None,
                };
                tx.add_delivery(&delivery, then)?;
                let result = if n < 3 { Ok(()) } else { Err("gone") };
                tx.end_delivery(n, result, then)?;
            }
            Ok(())
        })
        .unwrap();
        let mut sweep = Sweep::default();
        let mut pieces = 0;
        while !sweep.done {
            sweep = db
                .write(|tx| tx.forget_inputs(now - 7 * DAY, sweep))
                .unwrap();
            pieces += 1;
        }
        assert_eq!((sweep.deleted, pieces), (1_099, 3));
        db.read(|tx| {
            assert!(tx.find_input("c", "0")?.is_none());
            assert!(tx.find_input("c", "3")?.is_some(), "an open input is kept");
            assert!(tx.find_input("c", "1150")?.is_some());
            Ok(())
        })
        .unwrap();
        let forgotten = db
            .write(|tx| tx.forget_deliveries(now - 7 * DAY, now - 30 * DAY))
            .unwrap();
        assert_eq!(forgotten, 2);
        let left = db.read(|tx| tx.deliveries(Shown::All, 10)).unwrap();
        assert_eq!(left.iter().map(|row| row.id).collect::<Vec<_>>(), [4, 2]);
        // The dialog has an open input.
        let archive = || {
            db.write(|tx| tx.archive_idle_dialogs(now - 20 * DAY))
                .unwrap()
        };
        assert_eq!(archive(), 0);
        db.write(|tx| {
            let open = tx.find_input("c", "3")?.unwrap();
            tx.close_input(open.id, Outcome::Done, &reply)
        })
        .unwrap();
        assert_eq!(archive(), 1);
        assert_eq!(archive(), 0);
    }

    #[test]
    fn a_probe_always_writes() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("picobot.db"), false).unwrap();
        let now = SystemTime::now();
        for _ in 0..3 {
            let changed = db.write(|tx| {
                tx.probe(now)?;
                Ok(tx.sql.changes())
            });
            assert_eq!(changed.unwrap(), 1);
        }
    }
}
