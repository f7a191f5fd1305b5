//! The `media` and `attachments` tables: the bytes of images that messages hold, and files of inputs that have not become
//! messages yet.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::db::Tx;
use super::dialogs::DialogKey;
use super::error::StorageError;
use super::inbox::InboxId;
use super::messages::StoredMessage;
use crate::chat::{Attachment, Image, Message};

impl Tx<'_> {
    /// Stores the bytes of a message's images and ties them to it.
    pub(super) fn keep_images(
        &self,
        message_id: i64,
        message: &Message,
    ) -> Result<(), StorageError> {
        for image in message.images() {
            // The bytes may be stored already, and then need not have been loaded.
            if !image.data.is_empty() {
                self.sql
                    .prepare_cached("INSERT OR IGNORE INTO media (digest, data) VALUES (?1, ?2)")?
                    .execute(params![image.digest, &*image.data])?;
            }
            self.sql
                .prepare_cached(
                    "INSERT OR IGNORE INTO message_media (message, media)
                     SELECT ?1, id FROM media WHERE digest = ?2",
                )?
                .execute(params![message_id, image.digest])?;
        }
        Ok(())
    }

    /// Fills in the bytes of the newest images, as many as go into one request.
    pub(super) fn load_images(&self, history: &mut [StoredMessage]) -> Result<(), StorageError> {
        let mut known: HashMap<String, Arc<[u8]>> = HashMap::new();
        let images = history
            .iter_mut()
            .rev()
            .flat_map(|stored| stored.message.images_mut().rev());
        for image in images.take(Image::MAX_IN_REQUEST) {
            let data = match known.get(&image.digest) {
                Some(data) => data.clone(),
                None => self.image_data(&image.digest)?,
            };
            known.insert(image.digest.clone(), data.clone());
            image.data = data;
        }
        Ok(())
    }

    /// Returns the bytes of an image; none if they are not stored.
    fn image_data(&self, digest: &str) -> Result<Arc<[u8]>, StorageError> {
        let found: Option<Vec<u8>> = self
            .sql
            .prepare_cached("SELECT data FROM media WHERE digest = ?1")?
            .query_row([digest], |row| row.get(0))
            .optional()?;
        Ok(found.unwrap_or_default().into())
    }

    /// Deletes images that no message holds; call after messages were deleted.
    pub(super) fn sweep_media(&self) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "DELETE FROM media
                 WHERE NOT EXISTS (SELECT 1 FROM message_media WHERE media = media.id)",
            )?
            .execute([])?;
        Ok(())
    }

    /// Stores the files of an input.
    pub(super) fn keep_attachments(
        &self,
        input: InboxId,
        files: &[Attachment],
    ) -> Result<(), StorageError> {
        for (position, file) in files.iter().enumerate() {
            self.sql
                .prepare_cached(
                    "INSERT INTO attachments (input, position, name, data) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![
                    input.0,
                    i64::try_from(position).unwrap_or(i64::MAX),
                    file.name,
                    file.data
                ])?;
        }
        Ok(())
    }

    /// Returns the files of an input in their order; none once it has ended.
    pub fn attachments(&self, input: InboxId) -> Result<Vec<Attachment>, StorageError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT name, data FROM attachments WHERE input = ?1 ORDER BY position",
        )?;
        let rows = statement.query_map([input.0], |row| {
            Ok(Attachment {
                name: row.get(0)?,
                data: row.get(1)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Returns the names of an input's files in their order.
    pub fn attachment_names(&self, input: InboxId) -> Result<Vec<String>, StorageError> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT name FROM attachments WHERE input = ?1 ORDER BY position")?;
        let rows = statement.query_map([input.0], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Deletes the files of an input that has ended.
    pub(super) fn drop_attachments(&self, input: InboxId) -> Result<(), StorageError> {
        self.sql
            .prepare_cached("DELETE FROM attachments WHERE input = ?1")?
            .execute([input.0])?;
        Ok(())
    }

    /// Deletes the files of all inputs of a dialog that goes away.
    pub(super) fn drop_attachments_of(&self, dialog: DialogKey) -> Result<(), StorageError> {
        self.sql
            .prepare_cached(
                "DELETE FROM attachments WHERE input IN (SELECT id FROM inbox WHERE dialog = ?1)",
            )?
            .execute([dialog.0])?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "media_tests.rs"]
mod tests;
