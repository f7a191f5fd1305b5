//! The `approvals` and `grants` tables: questions to a person about tool calls, and answers that are remembered.
//!
//! A question has one answer and serves one call: pending → allowed → used, or pending → denied or expired.

use std::time::SystemTime;

use rusqlite::{OptionalExtension, Row, params};

use super::db::Tx;
use super::dialogs::DialogKey;
use super::error::StorageError;
use super::turns::TurnId;
use super::{from_millis, to_millis};

/// How far a question is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ApprovalState {
    /// Nobody has answered.
    Pending,
    /// The call may run once.
    Allowed,
    /// It may not.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// Allowed, and the call has begun.
    Used,
}

impl ApprovalState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Used => "used",
        }
    }

    fn from_word(word: &str) -> Self {
        [Self::Pending, Self::Allowed, Self::Denied, Self::Used]
            .into_iter()
            .find(|state| state.as_str() == word)
            .unwrap_or(Self::Expired)
    }
}

/// A question about one call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApprovalRow {
    /// Its id for clients; never used again.
    pub id: String,
    /// The turn of the call.
    pub turn: TurnId,
    /// The call's id in its turn.
    pub call_id: String,
    /// The tool.
    pub tool: String,
    /// The arguments as the model wrote them.
    pub arguments: String,
    /// What would happen, for a person.
    pub summary: String,
    /// What "always" would be bound to.
    pub subject: Option<String>,
    /// How far it is.
    pub state: ApprovalState,
    /// When silence becomes a no.
    pub expires_at: SystemTime,
}

/// A remembered answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantRow {
    /// Its number; never used again.
    pub id: i64,
    /// The tool.
    pub tool: String,
    /// What it allows, for a person.
    pub summary: String,
    /// When it was given.
    pub created_at: SystemTime,
    /// How many calls it has let through.
    pub n_used: u64,
    /// When the last of them was.
    pub used_at: Option<SystemTime>,
}

const COLUMNS: &str = "id, turn, call_id, tool, arguments, summary, subject, state, expires_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<ApprovalRow> {
    Ok(ApprovalRow {
        id: row.get(0)?,
        turn: TurnId(row.get(1)?),
        call_id: row.get(2)?,
        tool: row.get(3)?,
        arguments: row.get(4)?,
        summary: row.get(5)?,
        subject: row.get(6)?,
        state: ApprovalState::from_word(row.get_ref(7)?.as_str()?),
        expires_at: from_millis(row.get(8)?),
    })
}

impl Tx<'_> {
    /// Stores a question.
    pub fn add_approval(&self, row: &ApprovalRow, now: SystemTime) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "INSERT INTO approvals
                 (id, turn, call_id, tool, arguments, summary, subject, state, created_at, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                row.id,
                row.turn.0,
                row.call_id,
                row.tool,
                row.arguments,
                row.summary,
                row.subject,
                row.state.as_str(),
                to_millis(now),
                to_millis(row.expires_at)
            ])?;
        Ok(())
    }

    /// Returns a question by its id.
    pub fn approval(&self, id: &str) -> Result<Option<ApprovalRow>, StorageError> {
        Ok(self
            .sql
            .prepare_cached(&format!("SELECT {COLUMNS} FROM approvals WHERE id = ?1"))?
            .query_row([id], from_row)
            .optional()?)
    }

    /// Returns the newest question about a call.
    pub fn approval_of_call(
        &self,
        turn: TurnId,
        call_id: &str,
    ) -> Result<Option<ApprovalRow>, StorageError> {
        Ok(self
            .sql
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM approvals WHERE turn = ?1 AND call_id = ?2
                 ORDER BY created_at DESC, id DESC LIMIT 1"
            ))?
            .query_row(params![turn.0, call_id], from_row)
            .optional()?)
    }

    /// Returns the open questions of a dialog, oldest first.
    pub fn pending_approvals(&self, dialog: DialogKey) -> Result<Vec<ApprovalRow>, StorageError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM approvals
             WHERE state = 'pending'
               AND turn IN (SELECT id FROM turns WHERE dialog = ?1 AND state = 'running')
             ORDER BY created_at, id"
        ))?;
        let rows = statement.query_map([dialog.0], from_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Answers a question. Returns false, and changes nothing, if it is no longer open.
    pub fn decide_approval(
        &self,
        id: &str,
        state: ApprovalState,
        now: SystemTime,
    ) -> Result<bool, StorageError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE approvals SET state = ?2, decided_at = ?3 WHERE id = ?1 AND state = 'pending'",
            )?
            .execute(params![id, state.as_str(), to_millis(now)])?;
        Ok(changed == 1)
    }

    /// Uses up the yes that a call was given, if it needed one.
    pub fn use_approval(&self, turn: TurnId, call_id: &str) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "UPDATE approvals SET state = 'used' WHERE turn = ?1 AND call_id = ?2 AND state = 'allowed'",
            )?
            .execute(params![turn.0, call_id])?;
        Ok(())
    }

    /// Closes the open questions of a turn that has ended.
    pub fn expire_approvals(&self, turn: TurnId) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "UPDATE approvals SET state = 'expired' WHERE turn = ?1 AND state = 'pending'",
            )?
            .execute([turn.0])?;
        Ok(())
    }

    /// Remembers an answer for every later call of the same tool and subject.
    pub fn add_grant(
        &self,
        tool: &str,
        subject: &str,
        summary: &str,
        now: SystemTime,
    ) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "INSERT INTO grants (tool, subject, summary, created_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (tool, subject) DO NOTHING",
            )?
            .execute(params![tool, subject, summary, to_millis(now)])?;
        Ok(())
    }

    /// Counts a use of a remembered answer; returns false if there is none.
    pub fn use_grant(
        &self,
        tool: &str,
        subject: &str,
        now: SystemTime,
    ) -> Result<bool, StorageError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE grants SET n_used = n_used + 1, used_at = ?3 WHERE tool = ?1 AND subject = ?2",
            )?
            .execute(params![tool, subject, to_millis(now)])?;
        Ok(changed == 1)
    }

    /// Lists the remembered answers, oldest first.
    pub fn grants(&self) -> Result<Vec<GrantRow>, StorageError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT id, tool, summary, created_at, n_used, used_at FROM grants ORDER BY id",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(GrantRow {
                id: row.get(0)?,
                tool: row.get(1)?,
                summary: row.get(2)?,
                created_at: from_millis(row.get(3)?),
                n_used: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
                used_at: row.get::<_, Option<i64>>(5)?.map(from_millis),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets the remembered answers with these numbers and returns those there were.
    pub fn revoke_grants(&self, ids: &[i64]) -> Result<Vec<GrantRow>, StorageError> {
        let mut revoked = self.grants()?;
        revoked.retain(|row| ids.contains(&row.id));
        for row in &revoked {
            self.sql
                .prepare_cached("DELETE FROM grants WHERE id = ?1")?
                .execute([row.id])?;
        }
        Ok(revoked)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::storage::Db;

    fn at(secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    fn with_turn(check: impl FnOnce(&Tx<'_>, DialogKey, TurnId)) {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("a.db"), false).unwrap();
        db.write(|tx| {
            let route = "cli_chat:local:1"
                .parse::<crate::chat::SessionId>()
                .unwrap()
                .route();
            let dialog = tx.create_dialog(&route, "", at(1))?.key;
            let turn = tx.begin_turn(dialog, at(1))?;
            check(tx, dialog, turn);
            Ok(())
        })
        .unwrap();
    }

    fn question(id: &str, turn: TurnId) -> ApprovalRow {
        ApprovalRow {
            id: id.to_owned(),
            turn,
            call_id: "c1".to_owned(),
            tool: "bash".to_owned(),
            arguments: r#"{"command":"删除 x"}"#.to_owned(),
            summary: "删除 x".to_owned(),
            subject: None,
            state: ApprovalState::Pending,
            expires_at: at(300),
        }
    }

    #[test]
    fn one_answer_for_one_call() {
        with_turn(|tx, dialog, turn| {
            let row = question("p1", turn);
            tx.add_approval(&row, at(2)).unwrap();
            assert_eq!(tx.approval("p1").unwrap(), Some(row.clone()));
            assert_eq!(tx.pending_approvals(dialog).unwrap(), [row]);
            assert!(
                tx.decide_approval("p1", ApprovalState::Allowed, at(3))
                    .unwrap()
            );
            assert!(
                !tx.decide_approval("p1", ApprovalState::Denied, at(4))
                    .unwrap()
            );
            let state = || tx.approval_of_call(turn, "c1").unwrap().unwrap().state;
            assert_eq!(state(), ApprovalState::Allowed);
            tx.use_approval(turn, "c1").unwrap();
            assert_eq!(state(), ApprovalState::Used);
            assert!(tx.pending_approvals(dialog).unwrap().is_empty());
        });
    }

    #[test]
    fn an_ended_turn_asks_nothing() {
        with_turn(|tx, dialog, turn| {
            tx.add_approval(&question("p1", turn), at(2)).unwrap();
            tx.expire_approvals(turn).unwrap();
            assert!(tx.pending_approvals(dialog).unwrap().is_empty());
            assert!(
                !tx.decide_approval("p1", ApprovalState::Allowed, at(3))
                    .unwrap()
            );
        });
    }

    #[test]
    fn grants_are_exact_and_can_be_taken_back() {
        with_turn(|tx, _, _| {
            tx.add_grant("bash", r#"["make"]"#, "make", at(5)).unwrap();
            tx.add_grant("bash", r#"["make"]"#, "make", at(6)).unwrap();
            assert!(tx.use_grant("bash", r#"["make"]"#, at(7)).unwrap());
            assert!(!tx.use_grant("bash", r#"["make","-j"]"#, at(7)).unwrap());
            assert!(!tx.use_grant("http_request", r#"["make"]"#, at(7)).unwrap());
            let grants = tx.grants().unwrap();
            assert_eq!(grants.len(), 1);
            assert_eq!((grants[0].n_used, grants[0].used_at), (1, Some(at(7))));
            assert_eq!(tx.revoke_grants(&[grants[0].id, 99]).unwrap(), grants);
            assert_eq!(tx.revoke_grants(&[grants[0].id]).unwrap(), []);
            assert!(!tx.use_grant("bash", r#"["make"]"#, at(8)).unwrap());
        });
    }
}
