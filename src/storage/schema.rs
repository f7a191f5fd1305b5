//! The tables, and the steps from older versions to this one.
//!
//! `user_version` counts the steps taken; each step and its number commit together.

use rusqlite::{Connection, TransactionBehavior};

use super::error::StorageError;

/// Step `n` (from 0) takes a file from version `n` to `n + 1`.
const STEPS: [&str; 10] = [
    include_str!("schema.sql"),
    include_str!("schema_approvals.sql"),
    include_str!("schema_prints.sql"),
    include_str!("schema_outbox.sql"),
    include_str!("schema_dialogs.sql"),
    include_str!("schema_compression.sql"),
    include_str!("schema_feishu.sql"),
    include_str!("schema_guests.sql"),
    include_str!("schema_outbox_order.sql"),
    include_str!("schema_refused.sql"),
];

/// The version this program writes.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Tells whether the file holds data of an older version, so that [`migrate`] would change it.
pub(super) fn is_older(connection: &Connection) -> Result<bool, StorageError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok((1..VERSION).contains(&found))
}

/// Brings a database to [`VERSION`].
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StorageError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > VERSION {
        return Err(StorageError::Newer {
            found,
            known: VERSION,
        });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (index, step) in STEPS.iter().enumerate().skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_snapshot() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let mut statement = connection
            .prepare(
                "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'
                 ORDER BY name",
            )
            .unwrap();
        let all: Vec<String> = statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        insta::assert_snapshot!(all.join(";\n\n"));
    }
}
