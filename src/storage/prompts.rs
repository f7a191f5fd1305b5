//! The `prompts` table: system prompt and tool list a dialog was begun with, stored once for equal dialogs.

use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::db::Tx;
use super::dialogs::DialogKey;
use super::error::StorageError;

/// What stays the same in front of a dialog's history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prompt {
    /// The system prompt.
    pub system: String,
    /// The tool list as JSON text.
    pub tools: String,
}

impl Prompt {
    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update((self.system.len() as u64).to_le_bytes());
        hash.update(&self.system);
        hash.update(&self.tools);
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl Tx<'_> {
    /// Returns the prompt a dialog was begun with, if it has begun.
    pub fn prompt(&self, dialog: DialogKey) -> Result<Option<Prompt>, StorageError> {
        Ok(self
            .sql
            .prepare_cached(
                "SELECT system, tools FROM prompts
                 WHERE id = (SELECT prompt FROM dialogs WHERE id = ?1)",
            )?
            .query_row([dialog.0], |row| {
                Ok(Prompt {
                    system: row.get(0)?,
                    tools: row.get(1)?,
                })
            })
            .optional()?)
    }

    /// Fixes the prompt of a dialog.
    pub fn set_prompt(&self, dialog: DialogKey, prompt: &Prompt) -> Result<(), StorageError> {
        let digest = prompt.digest();
        self.sql
            .prepare_cached(
                "INSERT INTO prompts (digest, system, tools) VALUES (?1, ?2, ?3)
                 ON CONFLICT (digest) DO NOTHING",
            )?
            .execute(params![digest, prompt.system, prompt.tools])?;
        self.sql
            .prepare_cached(
                "UPDATE dialogs SET prompt = (SELECT id FROM prompts WHERE digest = ?2)
                 WHERE id = ?1",
            )?
            .execute(params![dialog.0, digest])?;
        Ok(())
    }
}
