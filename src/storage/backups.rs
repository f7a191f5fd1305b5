//! Backups through SQLite's own backup call: copies of a running database, kept within a budget. The way back: `restore`.
//!
//! A copy is made over a second connection that holds a snapshot, a few pages a step: writers are never held up, and what
//! they write meanwhile is not part of the copy. It goes to a temporary name, is checked, reaches the disk and is renamed,
//! so a file with a backup's name is whole. Copies are files of their own without a write-ahead log, readable by their
//! owner only. Blocks for as long as the copy takes; any thread or process may call.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rusqlite::backup::{Backup as Copying, StepResult};
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

use super::db::{beside, file_name, first_fault, refuse_newer};
use super::error::StorageError;

/// Backups kept at most, whatever their size.
const MAX_BACKUPS: usize = 7;
/// Pages copied in one step.
const STEP_PAGES: i32 = 200;
/// Room on the disk that a backup must leave.
const SPARE_BYTES: u64 = 32 * 1024 * 1024;
/// How long a statement waits for another process.
const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// Where the backups of one database are kept, and how much room they may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backups {
    pub(super) folder: PathBuf,
    pub(super) database: PathBuf,
    /// Begins the names of this database's backups.
    pub(super) prefix: String,
    max_bytes: u64,
}

/// One backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backup {
    /// The file.
    pub path: PathBuf,
    /// When it was finished.
    pub made_at: SystemTime,
    /// Its size.
    pub bytes: u64,
}

impl fmt::Display for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made_at = Timestamp::try_from(self.made_at).unwrap_or(Timestamp::UNIX_EPOCH);
        let made_at = made_at.strftime("%Y-%m-%d %H:%M UTC");
        write!(f, "backup from {made_at} is at {}", self.path.display())
    }
}

impl Backups {
    /// Names the place for backups of a database: the folder `backups` beside the token, out of reach of the workspace's
    /// tools. `max_bytes` is the size of all together; 0 means none.
    pub fn new(state_dir: &Path, database: &Path, max_bytes: u64) -> Self {
        let digest = Sha256::digest(database.as_os_str().as_encoded_bytes());
        let id: String = digest[..4].iter().map(|b| format!("{b:02x}")).collect();
        let stem = database.file_stem().unwrap_or_default().to_string_lossy();
        Self {
            folder: state_dir.join("backups"),
            database: database.to_owned(),
            prefix: format!("{stem}-{id}-"),
            max_bytes,
        }
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Lists the backups, newest first. What cannot be read is left out.
    pub fn list(&self) -> Vec<Backup> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut found: Vec<Backup> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().to_str()?.to_owned();
                if !name.starts_with(&self.prefix) || !name.ends_with(".db") {
                    return None;
                }
                let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
                Some(Backup {
                    path: entry.path(),
                    made_at: meta.modified().ok()?,
                    bytes: meta.len(),
                })
            })
            .collect();
        // Names hold the time of their making and sort by it.
        found.sort_by(|a, b| b.path.cmp(&a.path));
        found
    }

    /// Returns the newest backup.
    pub fn newest(&self) -> Option<Backup> {
        self.list().into_iter().next()
    }

    /// Makes a backup and deletes the oldest ones beyond the budget; `None` if one alone would go beyond it.
    pub fn make(&self) -> Result<Option<Backup>, StorageError> {
        self.make_unless(&|| false)
    }

    /// The same, given up with [`StorageError::Busy`] as soon as `ended` says so.
    pub fn make_unless(&self, ended: &dyn Fn() -> bool) -> Result<Option<Backup>, StorageError> {
        let size = size_of(&self.database);
        if size > self.max_bytes {
            return Ok(None);
        }
        make_folder(&self.folder)?;
        self.remove_unfinished();
        let name = format!("{}{}.db", self.prefix, stamp(SystemTime::now()));
        let path = self.folder.join(name);
        let bytes = back_up_unless(&self.database, &path, true, ended)?;
        self.prune(&path);
        Ok(Some(Backup {
            path,
            made_at: SystemTime::now(),
            bytes,
        }))
    }

    /// Deletes what does not fit, oldest first; `newest` stays in any case.
    fn prune(&self, newest: &Path) {
        let mut bytes = 0;
        for (index, backup) in self.list().into_iter().enumerate() {
            bytes += backup.bytes;
            if backup.path == newest || (index < MAX_BACKUPS && bytes <= self.max_bytes) {
                continue;
            }
            if let Err(error) = fs::remove_file(&backup.path) {
                log::warn!("an old backup stays: {error}");
            }
        }
    }

    /// Deletes what a crash left half copied.
    fn remove_unfinished(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&self.prefix) && name.contains(UNFINISHED) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Ends the names of copies under way.
pub(super) const UNFINISHED: &str = ".unfinished";

/// Copies a database, which may be in use, to a new file or in the place of an old one. Returns the copy's size.
///
/// Without `media` the bytes of images are left out; messages then name them only.
pub fn back_up(database: &Path, target: &Path, media: bool) -> Result<u64, StorageError> {
    back_up_unless(database, target, media, &|| false)
}

fn back_up_unless(
    database: &Path,
    target: &Path,
    media: bool,
    ended: &dyn Fn() -> bool,
) -> Result<u64, StorageError> {
    let folder = parent(target);
    let needed = size_of(database) + SPARE_BYTES;
    if free_bytes(folder).is_some_and(|free| free < needed) {
        return Err(StorageError::Full);
    }
    let unfinished = beside(target, UNFINISHED);
    let copied = copy(database, &unfinished, ended, |copy| {
        if media { Ok(()) } else { drop_media(copy) }
    });
    let placed = copied.and_then(|()| {
        fs::rename(&unfinished, target).map_err(|cause| opening(target, cause))?;
        sync_folder(folder)
    });
    if placed.is_err() {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(&unfinished, suffix));
        }
    }
    placed?;
    Ok(size_of(target))
}

/// Copies all pages of one state of the source, lets `finish` change the copy, checks it and waits for the disk.
pub(super) fn copy(
    source: &Path,
    target: &Path,
    ended: &dyn Fn() -> bool,
    finish: impl FnOnce(&Connection) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let from = open_source(source)?;
    // From here on the connection sees this state only.
    from.execute_batch("BEGIN")?;
    from.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(target)
        .map_err(|cause| opening(target, cause))?;
    let mut to = Connection::open_with_flags(
        target,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // The one wait for the disk comes at the end.
    to.execute_batch("PRAGMA synchronous=OFF; PRAGMA cache_size=-256")?;
    {
        let copying = Copying::new(&from, &mut to)?;
        loop {
            match copying.step(STEP_PAGES)? {
                StepResult::More if !ended() => {}
                StepResult::Done => break,
                _ => return Err(StorageError::Busy),
            }
        }
    }
    // A file of its own: no log beside it.
    let _: String = to.query_row("PRAGMA journal_mode=DELETE", [], |row| row.get(0))?;
    finish(&to)?;
    sound(&to, "quick_check", target)?;
    to.close().map_err(|(_, error)| error)?;
    File::open(target)
        .and_then(|file| file.sync_all())
        .map_err(|cause| opening(target, cause))
}

/// Opens a database for reading only. SQLite shares its locks between the connections of a process.
pub(super) fn open_source(path: &Path) -> Result<Connection, StorageError> {
    fs::metadata(path).map_err(|cause| opening(path, cause))?;
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_LIMIT)?;
    connection.execute_batch(
        "PRAGMA query_only=ON; PRAGMA trusted_schema=OFF; PRAGMA mmap_size=0; PRAGMA cache_size=-256",
    )?;
    Ok(connection)
}

fn drop_media(copy: &Connection) -> Result<(), StorageError> {
    copy.execute_batch(
        "DELETE FROM message_media;
         DELETE FROM media;
         DELETE FROM attachments;
         VACUUM;",
    )?;
    Ok(())
}

/// What is in a database file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contents {
    /// Dialogs, archived ones included.
    pub dialogs: u64,
    /// Messages, tool rounds included.
    pub messages: u64,
    /// Inputs that wait for their answer.
    pub open_inputs: u64,
    /// The file's size.
    pub bytes: u64,
}

/// Reads a database file from end to end and tells what is in it, or what is wrong with it. Changes nothing.
pub fn inspect(path: &Path) -> Result<Contents, StorageError> {
    refuse_newer(path)?;
    let file = open_source(path).map_err(|error| in_file(error, path))?;
    sound(&file, "integrity_check", path)?;
    let count = |sql: &str| -> Result<u64, StorageError> {
        let n: i64 = file
            .query_row(sql, [], |row| row.get(0))
            .map_err(|error| in_file(error.into(), path))?;
        Ok(u64::try_from(n).unwrap_or(0))
    };
    let ours = "SELECT count(*) FROM sqlite_schema
                WHERE type = 'table' AND name IN ('dialogs', 'messages', 'inbox', 'turns', 'outbox')";
    if count(ours)? != 5 {
        return Err(StorageError::Damaged {
            name: file_name(path),
            detail: "it is no database of PicoBot".to_owned(),
            backup: None,
        });
    }
    let dangling = count("SELECT count(*) FROM pragma_foreign_key_check")?;
    if dangling > 0 {
        return Err(StorageError::Damaged {
            name: file_name(path),
            detail: format!("{dangling} rows belong to nothing"),
            backup: None,
        });
    }
    Ok(Contents {
        dialogs: count("SELECT count(*) FROM dialogs")?,
        messages: count("SELECT count(*) FROM messages")?,
        open_inputs: count(
            "SELECT count(*) FROM inbox WHERE outcome IS NULL AND dialog IS NOT NULL",
        )?,
        bytes: size_of(path),
    })
}

fn sound(connection: &Connection, check: &str, path: &Path) -> Result<(), StorageError> {
    let report: String = connection
        .query_row(&format!("PRAGMA {check}(1)"), [], |row| row.get(0))
        .map_err(|error| in_file(error.into(), path))?;
    if report == "ok" {
        return Ok(());
    }
    Err(StorageError::Damaged {
        name: file_name(path),
        detail: first_fault(&report),
        backup: None,
    })
}

/// Puts the file's name into a report of damage.
pub(super) fn in_file(error: StorageError, path: &Path) -> StorageError {
    match error {
        StorageError::Damaged { detail, backup, .. } => StorageError::Damaged {
            name: file_name(path),
            detail,
            backup,
        },
        other => other,
    }
}

pub(super) fn opening(path: &Path, cause: io::Error) -> StorageError {
    if cause.kind() == io::ErrorKind::StorageFull {
        return StorageError::Full;
    }
    StorageError::Open {
        path: path.display().to_string(),
        cause,
    }
}

/// Returns the size of a database with its log; 0 for none.
fn size_of(database: &Path) -> u64 {
    ["", "-wal"]
        .iter()
        .filter_map(|suffix| fs::metadata(beside(database, suffix)).ok())
        .map(|meta| meta.len())
        .sum()
}

/// Returns the room left on the disk of a file or folder, as far as its user may take it.
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

pub(super) fn make_folder(folder: &Path) -> Result<(), StorageError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|cause| opening(folder, cause))
}

pub(super) fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|cause| opening(folder, cause))
}

/// Writes a time for file names, to the millisecond, so that names sort by time.
pub(super) fn stamp(at: SystemTime) -> String {
    let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let millis = at.subsec_millisecond();
    format!("{}.{millis:03}Z", at.strftime("%Y%m%dT%H%M%S"))
}

#[cfg(test)]
#[path = "backups_tests.rs"]
mod tests;
