//! The `turns` table: what runs, and what a crash left half done.

use std::time::SystemTime;

use rusqlite::{OptionalExtension, params};

use super::db::Tx;
use super::dialogs::DialogKey;
use super::error::StorageError;
use super::to_millis;

/// A turn's number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TurnId(pub i64);

/// How far a turn is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TurnState {
    /// A process works on it, or did when it ended.
    Running,
    /// Answered.
    Done,
    /// Failed.
    Failed,
    /// Stopped by someone.
    Stopped,
}

impl TurnState {
    /// Returns the stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    fn from_word(word: &str) -> Self {
        [Self::Running, Self::Done, Self::Stopped]
            .into_iter()
            .find(|state| state.as_str() == word)
            .unwrap_or(Self::Failed)
    }
}

/// A stored turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TurnRow {
    /// Its number.
    pub id: TurnId,
    /// Its dialog.
    pub dialog: DialogKey,
    /// How far it is.
    pub state: TurnState,
    /// How often a process began or took it up.
    pub attempts: u32,
}

impl Tx<'_> {
    /// Begins a turn.
    pub fn begin_turn(&self, dialog: DialogKey, now: SystemTime) -> Result<TurnId, StorageError> {
        self.sql
            .prepare_cached(
                "INSERT INTO turns (dialog, state, started_at) VALUES (?1, 'running', ?2)",
            )?
            .execute(params![dialog.0, to_millis(now)])?;
        Ok(TurnId(self.sql.last_insert_rowid()))
    }

    /// Takes up a turn that an earlier process left; returns how often it was begun, this time included, or `None` if the
    /// turn has ended.
    pub fn resume_turn(&self, turn: TurnId) -> Result<Option<u32>, StorageError> {
        let attempts: Option<i64> = self
            .sql
            .prepare_cached(
                "UPDATE turns SET attempts = attempts + 1 WHERE id = ?1 AND state = 'running' RETURNING attempts",
            )?
            .query_row([turn.0], |row| row.get(0))
            .optional()?;
        Ok(attempts.map(|attempts| u32::try_from(attempts).unwrap_or(u32::MAX)))
    }

    /// Takes back that a turn was begun or taken up: it was cut off in order, which is no crash.
    pub fn uncount_attempt(&self, turn: TurnId) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "UPDATE turns SET attempts = attempts - 1 WHERE id = ?1 AND state = 'running'",
            )?
            .execute([turn.0])?;
        Ok(())
    }

    /// Returns a turn.
    pub fn turn(&self, turn: TurnId) -> Result<Option<TurnRow>, StorageError> {
        Ok(self
            .sql
            .prepare_cached("SELECT id, dialog, state, attempts FROM turns WHERE id = ?1")?
            .query_row([turn.0], |row| {
                Ok(TurnRow {
                    id: TurnId(row.get(0)?),
                    dialog: DialogKey(row.get(1)?),
                    state: TurnState::from_word(row.get_ref(2)?.as_str()?),
                    attempts: u32::try_from(row.get::<_, i64>(3)?).unwrap_or(u32::MAX),
                })
            })
            .optional()?)
    }

    /// Ends a running turn and its open questions. Returns false, and changes nothing, if it no longer runs: someone ended it meanwhile.
    pub fn end_turn(
        &self,
        turn: TurnId,
        state: TurnState,
        now: SystemTime,
    ) -> Result<bool, StorageError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE turns SET state = ?2, finished_at = ?3 WHERE id = ?1 AND state = 'running'",
            )?
            .execute(params![turn.0, state.as_str(), to_millis(now)])?;
        self.expire_approvals(turn)?;
        Ok(changed == 1)
    }

    /// Leaves a turn out of what the model sees from now on; see [`Tx::history`]. What the service last counted goes with it.
    pub fn leave_turn_out(&self, dialog: DialogKey, turn: TurnId) -> Result<(), StorageError> {
        self.sql
            .prepare_cached("UPDATE turns SET left_out = 1 WHERE id = ?1")?
            .execute([turn.0])?;
        self.note_tokens(dialog, None)
    }

    /// Tells whether a turn still runs; a worker whose turn was ended from outside must not store more.
    pub fn turn_runs(&self, turn: TurnId) -> Result<bool, StorageError> {
        Ok(self
            .turn(turn)?
            .is_some_and(|row| row.state == TurnState::Running))
    }
}
