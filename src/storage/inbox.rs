//! The `inbox` table: every accepted input, committed before it is acknowledged, and its stored answer.

use std::time::SystemTime;

use rusqlite::{OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::db::Tx;
use super::dialogs::DialogKey;
use super::error::StorageError;
use super::turns::TurnId;
use super::{from_millis, to_millis};
use crate::chat::Attachment;

/// An input's row number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct InboxId(pub i64);

/// An input about to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewInput<'a> {
    /// The channel it came by.
    pub source: &'a str,
    /// The sender's own id of it.
    pub external_id: Option<&'a str>,
    /// The dialog it goes to; `None` for a command.
    pub dialog: Option<DialogKey>,
    /// A label of the sender.
    pub sender: Option<&'a str>,
    /// The text.
    pub content: &'a str,
    /// Files that came with it.
    pub files: &'a [Attachment],
    /// When it was received.
    pub received_at: SystemTime,
}

/// How an input ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Answered.
    Done,
    /// Its turn failed.
    Failed,
    /// Stopped by someone.
    Stopped,
}

impl Outcome {
    /// Returns the stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// The answer kept for a repeat of an input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredReply {
    /// `answer`, `error` or `command`; `merged` for the answer of a turn that the input joined.
    pub kind: String,
    /// The error's code or the command's name.
    pub code: String,
    /// The text.
    pub text: String,
}

/// A stored input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InboxRow {
    /// Its row number.
    pub id: InboxId,
    /// The dialog it goes to.
    pub dialog: Option<DialogKey>,
    /// The text; empty once the turn's messages hold it.
    pub content: String,
    /// A label of the sender.
    pub sender: Option<String>,
    /// Its turn, once begun.
    pub turn: Option<TurnId>,
    /// Tells inputs with the same id but another text apart.
    pub fingerprint: String,
    /// Whether it has ended.
    pub closed: bool,
    /// The answer, once ended.
    pub reply: Option<StoredReply>,
    /// When it was received.
    pub received_at: SystemTime,
    /// Whether its sender may not have the machine changed.
    pub guest: bool,
}

const COLUMNS: &str = "id, dialog, content, sender, turn, outcome, reply_kind, reply_code, reply, \
                       received_at, fingerprint, guest";

fn from_row(row: &Row<'_>) -> rusqlite::Result<InboxRow> {
    let reply = match row.get::<_, Option<String>>(6)? {
        Some(kind) => Some(StoredReply {
            kind,
            code: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
            text: row.get::<_, Option<String>>(8)?.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(InboxRow {
        id: InboxId(row.get(0)?),
        dialog: row.get::<_, Option<i64>>(1)?.map(DialogKey),
        content: row.get(2)?,
        sender: row.get(3)?,
        turn: row.get::<_, Option<i64>>(4)?.map(TurnId),
        closed: row.get::<_, Option<String>>(5)?.is_some(),
        reply,
        received_at: from_millis(row.get(9)?),
        fingerprint: row.get(10)?,
        guest: row.get(11)?,
    })
}

/// Returns a short digest of an input.
pub fn fingerprint(text: &str, files: &[Attachment]) -> String {
    let mut hasher = Sha256::new_with_prefix(text);
    for file in files {
        hasher.update(file.data.len().to_le_bytes());
        hasher.update(&file.data);
    }
    let digest = hasher.finalize();
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl Tx<'_> {
    /// Stores an input and returns its row number.
    pub fn insert_input(&self, input: &NewInput<'_>) -> Result<InboxId, StorageError> {
        self.sql
            .prepare_cached(
                "INSERT INTO inbox
                 (source, external_id, dialog, sender, content, fingerprint, received_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                input.source,
                input.external_id,
                input.dialog.map(|dialog| dialog.0),
                input.sender,
                input.content,
                fingerprint(input.content, input.files),
                to_millis(input.received_at)
            ])?;
        let id = InboxId(self.sql.last_insert_rowid());
        self.keep_attachments(id, input.files)?;
        Ok(id)
    }

    /// Notes that an input's sender may not have the machine changed.
    pub fn mark_guest(&self, input: InboxId) -> Result<(), StorageError> {
        self.sql
            .prepare_cached("UPDATE inbox SET guest = 1 WHERE id = ?1")?
            .execute([input.0])?;
        Ok(())
    }

    /// Finds an input by the sender's own id.
    pub fn find_input(
        &self,
        source: &str,
        external_id: &str,
    ) -> Result<Option<InboxRow>, StorageError> {
        Ok(self
            .sql
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM inbox WHERE source = ?1 AND external_id = ?2"
            ))?
            .query_row([source, external_id], from_row)
            .optional()?)
    }

    /// Returns an input.
    pub fn input(&self, id: InboxId) -> Result<Option<InboxRow>, StorageError> {
        Ok(self
            .sql
            .prepare_cached(&format!("SELECT {COLUMNS} FROM inbox WHERE id = ?1"))?
            .query_row([id.0], from_row)
            .optional()?)
    }

    /// Returns every input that has not ended, in the order received.
    pub fn open_inputs(&self) -> Result<Vec<InboxRow>, StorageError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM inbox INDEXED BY inbox_open
             WHERE outcome IS NULL AND dialog IS NOT NULL ORDER BY id"
        ))?;
        let rows = statement.query_map([], from_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Returns a dialog's inputs that have not ended, in the order received.
    pub fn open_inputs_of(&self, dialog: DialogKey) -> Result<Vec<InboxRow>, StorageError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM inbox WHERE outcome IS NULL AND dialog = ?1 ORDER BY id"
        ))?;
        let rows = statement.query_map([dialog.0], from_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Ties an input to the turn that works on it.
    pub fn take_input(&self, id: InboxId, turn: TurnId) -> Result<(), StorageError> {
        self.sql
            .prepare_cached("UPDATE inbox SET turn = ?2 WHERE id = ?1")?
            .execute([id.0, turn.0])?;
        Ok(())
    }

    /// Ends an input with its answer; its files go. The text of one that had a turn is dropped: the turn's messages hold it. The
    /// answer is kept only where a repeat could ask for it.
    pub fn close_input(
        &self,
        id: InboxId,
        outcome: Outcome,
        reply: &StoredReply,
    ) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "UPDATE inbox SET outcome = ?2,
                        content = CASE WHEN turn IS NULL THEN content ELSE '' END, reply_kind = ?3, reply_code = ?4,
                        reply = CASE WHEN external_id IS NULL THEN NULL ELSE ?5 END
                 WHERE id = ?1 AND outcome IS NULL",
            )?
            .execute(params![
                id.0,
                outcome.as_str(),
                reply.kind,
                reply.code,
                reply.text
            ])?;
        self.drop_attachments(id)
    }

    /// Ends the inputs that joined the turn of another one, with that one's answer.
    pub fn close_joined(
        &self,
        turn: TurnId,
        main: InboxId,
        outcome: Outcome,
        reply: &StoredReply,
    ) -> Result<(), StorageError> {
        let kind = match reply.kind.as_str() {
            "answer" => "merged",
            other => other,
        };
        let joined: Vec<i64> = self
            .sql
            .prepare_cached(
                "SELECT id FROM inbox WHERE turn = ?1 AND id <> ?2 AND outcome IS NULL",
            )?
            .query_map([turn.0, main.0], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for id in joined {
            let reply = StoredReply {
                kind: kind.to_owned(),
                ..reply.clone()
            };
            self.close_input(InboxId(id), outcome, &reply)?;
        }
        Ok(())
    }

    /// Returns the input that a turn was begun for; others with this turn joined it.
    pub fn main_input(&self, turn: TurnId) -> Result<Option<InboxId>, StorageError> {
        Ok(self
            .sql
            .prepare_cached("SELECT min(id) FROM inbox WHERE turn = ?1")?
            .query_row([turn.0], |row| row.get::<_, Option<i64>>(0))?
            .map(InboxId))
    }

    /// Empties a dialog's ended inputs; the ids stay.
    pub(super) fn forget_ended_inputs(&self, dialog: DialogKey) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "UPDATE inbox SET content = '', reply = NULL
                 WHERE dialog = ?1 AND outcome IS NOT NULL",
            )?
            .execute([dialog.0])?;
        Ok(())
    }

    /// Ends the inputs of a dialog that goes away.
    pub(super) fn close_open_inputs(&self, dialog: DialogKey) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "UPDATE inbox SET outcome = 'stopped', reply_kind = 'error', reply_code = 'stopped'
                 WHERE dialog = ?1 AND outcome IS NULL",
            )?
            .execute([dialog.0])?;
        self.drop_attachments_of(dialog)
    }
}
