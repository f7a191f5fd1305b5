//! The way back from a backup: a copy of it takes the place of the database, whatever ends the process meanwhile.
//!
//! The copy is made beside the database and reaches the disk; then a note among the backups decides the restore: the old
//! files go aside and the copy takes their place, by this process or by the next one that opens the database, which finds
//! the note and goes on. Each step may be repeated. So at no moment is a database used without its log, or with the log of
//! another one, and none is begun empty where there was one. A copy without a note decides nothing: commands may write
//! beside the database, but not among the backups. Call with the instance lock held.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::Connection;

use super::backups::{
    Backups, UNFINISHED, copy, in_file, make_folder, opening, parent, stamp, sync_folder,
};
use super::db::{beside, file_name};
use super::error::StorageError;
use crate::observability::crash_point;

/// What happened to a restore that had been decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// Where the old database is now, if there was one.
    pub old: Option<PathBuf>,
}

impl Backups {
    /// Puts a copy of `file` in the place of the database. The old database goes among the backups, with its log.
    ///
    /// What waited when the backup was made is not begun again, since it has been worked on after: open inputs and turns
    /// count as stopped, open deliveries as dropped.
    pub fn restore(&self, file: &Path) -> Result<Restored, StorageError> {
        let database = &self.database;
        make_folder(parent(database))?;
        make_folder(&self.folder)?;
        self.finish_restore()?;
        let next = self.next();
        copy(file, &next, &|| false, close_open_work).map_err(|error| {
            remove_copy(&next);
            in_file(error, file)
        })?;
        sync_folder(parent(database))?;
        crash_point("restore-copied");
        let old = format!(
            "{}-before-restore-{}",
            file_name(database),
            stamp(SystemTime::now())
        );
        self.decide(&old)?;
        crash_point("restore-decided");
        let finished = self.finish_restore()?;
        Ok(finished.unwrap_or(Restored { old: None }))
    }

    /// Tells whether a restore was decided and has not come to its end: until [`Backups::finish_restore`] the database must
    /// not be used.
    pub fn is_restoring(&self) -> bool {
        self.note().exists()
    }

    /// Goes on with a restore that was decided; `None` if there is none. An error leaves everything for the next try.
    pub fn finish_restore(&self) -> Result<Option<Restored>, StorageError> {
        let (database, next) = (&self.database, self.next());
        let old = match fs::read_to_string(self.note()) {
            Ok(name) => self.folder.join(name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                remove_copy(&next);
                return Ok(None);
            }
            Err(cause) => return Err(opening(&self.note(), cause)),
        };
        // Without it only the note is left to be removed.
        if next.exists() {
            for suffix in ["", "-wal", "-shm", "-journal"] {
                crash_point("restore-moving");
                let from = beside(database, suffix);
                if from.exists() {
                    move_file(&from, &beside(&old, suffix))
                        .map_err(|cause| opening(&from, cause))?;
                }
            }
            sync_folder(&self.folder)?;
            crash_point("restore-moved");
            fs::rename(&next, database).map_err(|cause| opening(database, cause))?;
            sync_folder(parent(database))?;
        }
        crash_point("restore-placed");
        fs::remove_file(self.note()).map_err(|cause| opening(&self.note(), cause))?;
        sync_folder(&self.folder)?;
        Ok(Some(Restored {
            old: old.exists().then_some(old),
        }))
    }

    /// The copy that is to take the database's place.
    fn next(&self) -> PathBuf {
        beside(&self.database, ".restoring")
    }

    /// Holds the name of the old database among the backups.
    fn note(&self) -> PathBuf {
        self.folder.join(format!("{}restoring", self.prefix))
    }

    /// Writes the note; when this returns, it has reached the disk.
    fn decide(&self, old: &str) -> Result<(), StorageError> {
        let note = self.note();
        let unfinished = beside(&note, UNFINISHED);
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)
            .and_then(|mut file| {
                file.write_all(old.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&unfinished, &note));
        written.map_err(|cause| opening(&note, cause))?;
        sync_folder(&self.folder)
    }
}

/// Deletes a copy that decides nothing: a crash or a failure left it, or it is none of ours.
fn remove_copy(copy: &Path) {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(copy, suffix));
    }
}

/// Renames, or copies and deletes between file systems.
fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            fs::copy(from, to)?;
            File::open(to)?.sync_all()?;
            fs::remove_file(from)
        }
        other => other,
    }
}

fn close_open_work(copy: &Connection) -> Result<(), StorageError> {
    copy.execute_batch(
        "BEGIN;
         UPDATE turns SET state = 'stopped' WHERE state = 'running';
         UPDATE tool_calls SET state = 'interrupted' WHERE state = 'started';
         UPDATE inbox SET outcome = 'stopped', reply_kind = 'error', reply_code = 'stopped',
                reply = 'Not answered: the database was restored from a backup.'
         WHERE outcome IS NULL;
         DELETE FROM attachments;
         UPDATE outbox SET state = 'dropped', error = 'restored from a backup'
         WHERE state IN ('pending', 'started');
         COMMIT;",
    )?;
    Ok(())
}
