//! Opening the file and running transactions on its one connection.
//!
//! Owns the connection and its mutex. A panic inside a closure rolls its transaction back, so a poisoned mutex is
//! recovered.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::backups::{self, Backups};
use super::error::StorageError;
use super::schema;

/// Above this size the check after an unclean end is left to [`Db::check`], run in the background.
const CHECK_AT_OPEN_BYTES: u64 = 64 * 1024 * 1024;
/// Steps of a check after which it is asked whether to go on: a few milliseconds on a small board.
const CHECK_STEPS: i32 = 1_000;
/// The oldest library whose write-ahead log does not lose data (a race at its reset was fixed there).
const OLDEST_LIBRARY: i32 = 3_051_003;
/// A write-ahead log larger than this is moved into the file and cut when there is time. Checkpoints keep it near 4 MB
/// (1,000 pages); a large transaction, or somebody who reads for long, lets it grow.
const LARGE_LOG_BYTES: u64 = 8 * 1024 * 1024;
/// Room that a disk which was full must have before it counts as working again.
const ENOUGH_BYTES: u64 = 1024 * 1024;
/// How long a statement waits for another process.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// Every statement of a turn stays prepared.
const STATEMENT_CACHE: usize = 96;

/// The open database.
pub struct Db {
    connection: Mutex<Connection>,
    path: PathBuf,
    unchecked: bool,
    backups: Option<Backups>,
}

/// A running transaction; the query methods are spread over this module's files.
pub struct Tx<'c> {
    pub(super) sql: &'c Connection,
}

/// Returns the version of the SQLite library in use.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

impl Db {
    /// Opens or creates the database; see [`Db::open_with`]. No backup is made.
    pub fn open(path: &Path, after_crash: bool) -> Result<Self, StorageError> {
        Self::open_with(path, after_crash, None)
    }

    /// Opens or creates the database; call with the instance lock held.
    ///
    /// Makes the folder if missing. Refuses a file of a newer version without writing to it. `after_crash` says that the
    /// last process did not end in order: then the file is checked first (see [`Db::needs_check`] for large ones). Before
    /// a file of an older version is changed it goes to `backups`, which are also where a damaged one is said to have a
    /// copy, and where the old files of a restore go that did not come to its end.
    pub fn open_with(
        path: &Path,
        after_crash: bool,
        backups: Option<Backups>,
    ) -> Result<Self, StorageError> {
        if let Some(backups) = &backups
            && let Some(restored) = backups.finish_restore()?
        {
            let old = restored
                .old
                .map(|old| format!("; the old database is now {}", old.display()));
            log::warn!(
                "a restore that was interrupted has come to its end{}",
                old.unwrap_or_default()
            );
        }
        let mut db = Self::connect(path, after_crash, backups.clone())
            .map_err(|error| named(error, path, backups.as_ref()))?;
        db.prepare().map_err(|error| db.named(error))?;
        Ok(db)
    }

    /// Opens the database to read it beside whoever has the lock; nothing is written. `None` if there is no file, or one of
    /// an older version. Not while a restore waits for its end, see [`Backups::is_restoring`].
    pub fn open_read_only(path: &Path) -> Result<Option<Self>, StorageError> {
        refuse_newer(path)?;
        if !path.exists() {
            return Ok(None);
        }
        let open = || -> Result<Option<Connection>, StorageError> {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY_LIMIT)?;
            connection.execute_batch("PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;")?;
            let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            Ok((version == schema::VERSION).then_some(connection))
        };
        let connection = open().map_err(|error| named(error, path, None))?;
        Ok(connection.map(|connection| Self {
            connection: Mutex::new(connection),
            path: path.to_owned(),
            unchecked: false,
            backups: None,
        }))
    }

    fn connect(
        path: &Path,
        after_crash: bool,
        backups: Option<Backups>,
    ) -> Result<Self, StorageError> {
        if rusqlite::version_number() < OLDEST_LIBRARY {
            return Err(StorageError::Library(format!(
                "SQLite {} is too old; 3.51.3 or newer is needed",
                rusqlite::version()
            )));
        }
        prepare_file(path)?;
        refuse_newer(path)?;
        remove_foreign_journal(path);
        let connection = connect(path)?;
        let size = fs::metadata(path).map_or(0, |meta| meta.len());
        let db = Self {
            connection: Mutex::new(connection),
            path: path.to_owned(),
            unchecked: after_crash && size > CHECK_AT_OPEN_BYTES,
            backups,
        };
        if after_crash && !db.unchecked {
            check_tables(&db.lock())?;
        }
        Ok(db)
    }

    /// Brings the file to this program's version; an older one is put into a backup first.
    fn prepare(&mut self) -> Result<(), StorageError> {
        let connection = self
            .connection
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(backups) = &self.backups
            && schema::is_older(connection)?
        {
            match backups.make()? {
                Some(backup) => log::info!(
                    "the database is of an older version; a backup is at {}",
                    backup.path.display()
                ),
                None => log::warn!(
                    "the database is of an older version and is changed without a backup: gateway.cleanup.backup_bytes is too small for one"
                ),
            }
        }
        schema::migrate(connection)
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells whether the last end was unclean and the file too large to be checked at open.
    pub fn needs_check(&self) -> bool {
        self.unchecked
    }

    /// Runs SQLite's `quick_check` over a second connection, so that nobody waits for it. It is given up with
    /// [`StorageError::Busy`] soon after `ended` says so. Blocks for as long as the file takes to be read.
    pub fn check(&self, ended: impl Fn() -> bool + Send + 'static) -> Result<(), StorageError> {
        let mut beside = backups::open_source(&self.path)?;
        beside.progress_handler(CHECK_STEPS, Some(ended))?;
        check_tables(&beside).map_err(|error| self.named(error))
    }

    /// Runs SQL that makes the database unfit for use.
    #[cfg(test)]
    pub fn spoil(&self, sql: &str) {
        self.lock().execute_batch(sql).unwrap();
    }

    /// Runs a closure that only reads, in one snapshot.
    pub fn read<T>(
        &self,
        run: impl FnOnce(&Tx<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.transact(TransactionBehavior::Deferred, run)
    }

    /// Runs a closure and commits what it wrote; when this returns, the commit has reached the disk. An error rolls
    /// everything back.
    pub fn write<T>(
        &self,
        run: impl FnOnce(&Tx<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.transact(TransactionBehavior::Immediate, run)
    }

    /// Like [`Db::write`], for a closure that seldom writes: one that only reads works on a disk that takes no writes, and
    /// waits for nobody who writes.
    pub fn write_late<T>(
        &self,
        run: impl FnOnce(&Tx<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.transact(TransactionBehavior::Deferred, run)
    }

    /// Like [`Db::write`], but the commit waits for no disk: it survives the end of the process, not of the machine.
    /// For notes whose loss costs nothing, such as the start of a turn.
    pub fn write_relaxed<T>(
        &self,
        run: impl FnOnce(&Tx<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut connection = self.lock();
        connection
            .prepare_cached("PRAGMA synchronous=NORMAL")?
            .execute([])?;
        let result = self.transact_on(&mut connection, TransactionBehavior::Immediate, run);
        connection
            .prepare_cached("PRAGMA synchronous=FULL")?
            .execute([])?;
        result
    }

    /// Leaves the write-ahead log where it is when the database is closed: the next to open it goes on with the log.
    /// Spares a short-lived process two waits for the disk.
    pub fn keep_log(&self) {
        let kept = self
            .lock()
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        if let Err(error) = kept {
            log::debug!("the log is not kept: {error}");
        }
    }

    /// Tells whether the disk takes writes again after it failed: one is made, and there must be room for some more.
    pub fn probe(&self, now: SystemTime) -> Result<(), StorageError> {
        if backups::free_bytes(&self.path).is_some_and(|free| free < ENOUGH_BYTES) {
            return Err(StorageError::Full);
        }
        self.write(|tx| tx.probe(now))
    }

    /// Returns where backups of this database are kept, if it has any place for them.
    pub fn backups(&self) -> Option<&Backups> {
        self.backups.as_ref()
    }

    /// Gives back after a burst what it took: page-cache memory, and the room of a large write-ahead log.
    pub fn shrink(&self) {
        if let Err(error) = self.lock().execute_batch("PRAGMA shrink_memory") {
            log::debug!("shrink_memory: {error}");
        }
        let log = fs::metadata(beside(&self.path, "-wal")).map_or(0, |meta| meta.len());
        if log > LARGE_LOG_BYTES {
            self.cut_log();
        }
    }

    /// Moves the write-ahead log into the file and empties it; does nothing while somebody reads an older state.
    fn cut_log(&self) {
        let connection = self.lock();
        let cut = connection
            .busy_timeout(Duration::ZERO)
            .and_then(|()| connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"));
        if let Err(error) = connection.busy_timeout(BUSY_LIMIT).and(cut) {
            log::debug!("the log stays: {error}");
        }
    }

    fn transact<T>(
        &self,
        behavior: TransactionBehavior,
        run: impl FnOnce(&Tx<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.transact_on(&mut self.lock(), behavior, run)
    }

    fn transact_on<T>(
        &self,
        connection: &mut Connection,
        behavior: TransactionBehavior,
        run: impl FnOnce(&Tx<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let transaction = connection.transaction_with_behavior(behavior)?;
        let value = run(&Tx { sql: &transaction })?;
        transaction.commit()?;
        Ok(value)
    }

    fn named(&self, error: StorageError) -> StorageError {
        named(error, &self.path, self.backups.as_ref())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the folder and the file with private modes, whatever the umask.
fn prepare_file(path: &Path) -> Result<(), StorageError> {
    let failed = |cause| StorageError::Open {
        path: path.display().to_string(),
        cause,
    };
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
    }
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    Ok(())
}

/// Reads the schema version from the file's header, so that a newer file is refused before anything is written.
///
/// Offset 60, big-endian: <https://www.sqlite.org/fileformat.html> §1.3.
pub(super) fn refuse_newer(path: &Path) -> Result<(), StorageError> {
    let mut header = [0_u8; 64];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut header));
    if read.is_err() {
        return Ok(()); // Empty or short: SQLite itself will judge.
    }
    let version = i64::from(u32::from_be_bytes([
        header[60], header[61], header[62], header[63],
    ]));
    if header.starts_with(b"SQLite format 3\0") && version > schema::VERSION {
        return Err(StorageError::Newer {
            found: version,
            known: schema::VERSION,
        });
    }
    Ok(())
}

/// Removes a rollback journal beside a database that has a write-ahead log: it is not ours, and SQLite would write what
/// stands in it into the database.
///
/// Offsets 18 and 19 hold 2 for such a database: <https://www.sqlite.org/fileformat.html> §1.3.
fn remove_foreign_journal(path: &Path) {
    let mut header = [0_u8; 20];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut header));
    if read.is_err() || header[18..] != [2, 2] {
        return;
    }
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    match fs::remove_file(&journal) {
        Ok(()) => log::warn!("removed a journal beside the database that PicoBot did not write"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => log::warn!("a foreign journal beside the database stays: {error}"),
    }
}

fn connect(path: &Path) -> Result<Connection, StorageError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_LIMIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(refused("journal_mode", &mode));
    }
    connection.execute_batch(
        "PRAGMA synchronous=FULL;
         PRAGMA foreign_keys=ON;
         PRAGMA trusted_schema=OFF;
         PRAGMA cell_size_check=ON;
         PRAGMA wal_autocheckpoint=1000;
         PRAGMA journal_size_limit=67108864;
         PRAGMA mmap_size=0;
         PRAGMA cache_size=-512;",
    )?;
    // A setting that SQLite does not know or refuses is no error to it, but what is promised rests on these.
    for (name, wanted) in [
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("trusted_schema", 0),
        ("cell_size_check", 1),
        ("wal_autocheckpoint", 1_000),
        ("journal_size_limit", 67_108_864),
    ] {
        let answer: i64 = connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))?;
        if answer != wanted {
            return Err(refused(name, &answer.to_string()));
        }
    }
    Ok(connection)
}

fn refused(setting: &str, answer: &str) -> StorageError {
    StorageError::Library(format!(
        "SQLite {} does not take the setting {setting} (it says {answer})",
        rusqlite::version()
    ))
}

/// Runs SQLite's `quick_check`, table by table, each in a snapshot of its own: the write-ahead log can be emptied in between.
fn check_tables(connection: &Connection) -> Result<(), StorageError> {
    let mut statement =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let names = statement.query_map([], |row| row.get(0))?;
    let tables: Vec<String> = names.collect::<Result<_, _>>()?;
    drop(statement);
    for table in tables {
        let check = format!("PRAGMA quick_check('{table}')");
        let report = connection.query_row(&check, [], |row| row.get::<_, String>(0));
        let report = report.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => StorageError::Busy,
            _ => error.into(),
        })?;
        if report != "ok" {
            return Err(StorageError::Damaged {
                name: String::new(),
                detail: first_fault(&report),
                backup: None,
            });
        }
    }
    Ok(())
}

/// Returns the first fault of a report of SQLite's checks, which has a headline and a line for each.
pub(super) fn first_fault(report: &str) -> String {
    let mut lines = report.lines().filter(|line| !line.starts_with("***"));
    lines.next().unwrap_or(report).to_owned()
}

/// Returns the path with something added to its file name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Puts the file's name into a report of damage, and where the newest backup is.
fn named(error: StorageError, path: &Path, backups: Option<&Backups>) -> StorageError {
    match error {
        StorageError::Damaged { detail, .. } => StorageError::Damaged {
            name: file_name(path),
            detail,
            backup: backups
                .and_then(Backups::newest)
                .map(|backup| backup.to_string()),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_has_the_wal_fix() {
        assert!(
            rusqlite::version_number() >= 3_051_003,
            "{}",
            rusqlite::version()
        );
    }

    #[test]
    fn refuses_a_newer_file_without_touching_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("picobot.db");
        drop(Db::open(&path, false).unwrap());
        let raw = Connection::open(&path).unwrap();
        raw.pragma_update(None, "journal_mode", "DELETE").unwrap();
        raw.pragma_update(None, "user_version", 9_999).unwrap();
        drop(raw);
        let before = fs::read(&path).unwrap();
        let Err(StorageError::Newer { found: 9_999, .. }) = Db::open(&path, false) else {
            panic!("a newer file was opened");
        };
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_journal_that_is_not_ours_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let [ours, other] = ["picobot.db", "other.db"].map(|name| dir.path().join(name));
        drop(Db::open(&ours, false).unwrap());
        // What a command could plant: the journal of a half-done transaction that brings other pages back.
        let raw = Connection::open(&other).unwrap();
        raw.execute_batch("CREATE TABLE planted(x); INSERT INTO planted VALUES (1)")
            .unwrap();
        raw.execute_batch("BEGIN; PRAGMA cache_size=1; CREATE TABLE more(x); DROP TABLE planted; PRAGMA cache_spill=1")
            .unwrap();
        let journal = dir.path().join("picobot.db-journal");
        let planted = fs::read(dir.path().join("other.db-journal")).unwrap_or_default();
        assert!(!planted.is_empty());
        fs::write(&journal, planted).unwrap();
        let before = fs::read(&ours).unwrap();
        let db = Db::open(&ours, false).unwrap();
        assert!(!journal.exists());
        db.check(|| false).unwrap();
        assert_eq!(fs::read(&ours).unwrap()[..16], before[..16]);
    }

    #[test]
    fn refuses_garbage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("picobot.db");
        fs::write(&path, "this is not a database, whatever its name says").unwrap();
        let Err(StorageError::Damaged { name, .. }) = Db::open(&path, false) else {
            panic!("garbage was opened");
        };
        assert_eq!(name, "picobot.db");
    }

    #[test]
    fn nobody_waits_for_a_check_and_it_can_be_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("picobot.db"), false).unwrap();
        db.write(|tx| {
            tx.sql.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
                 INSERT INTO prompts(digest, system, tools) SELECT i, 'b', 'c' FROM n",
                [],
            )?;
            Ok(())
        })
        .unwrap();
        let (done, checked) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            // Others write meanwhile.
            db.write(|_| {
                scope.spawn(|| done.send(db.check(|| false)));
                let answer = checked.recv_timeout(Duration::from_secs(60));
                assert!(matches!(answer, Ok(Ok(()))), "{answer:?}");
                Ok(())
            })
            .unwrap();
        });
        assert!(matches!(db.check(|| true), Err(StorageError::Busy)));
        // The database goes on after both.
        db.write(|_| Ok(())).unwrap();
    }

    #[test]
    fn damage_is_told_in_a_line() {
        let report = "*** in database main ***\nTree 11 page 7: btreeInitPage() returns error code 11\nTree 11 page 8: lost";
        assert_eq!(
            first_fault(report),
            "Tree 11 page 7: btreeInitPage() returns error code 11"
        );
        assert_eq!(first_fault("NULL value in a.b"), "NULL value in a.b");
    }

    #[test]
    fn an_error_rolls_back() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("picobot.db"), false).unwrap();
        let failed: Result<(), _> = db.write(|tx| {
            tx.sql.execute(
                "INSERT INTO prompts(digest, system, tools) VALUES ('a','b','c')",
                [],
            )?;
            Err(StorageError::Full)
        });
        assert!(failed.is_err());
        let n: i64 = db
            .read(|tx| {
                Ok(tx
                    .sql
                    .query_row("SELECT count(*) FROM prompts", [], |row| row.get(0))?)
            })
            .unwrap();
        assert_eq!(n, 0);
        db.write_relaxed(|tx| {
            tx.sql.execute(
                "INSERT INTO prompts(digest, system, tools) VALUES ('a','b','c')",
                [],
            )?;
            Ok(())
        })
        .unwrap();
        let synchronous: i64 = db
            .read(|tx| {
                Ok(tx
                    .sql
                    .query_row("PRAGMA synchronous", [], |row| row.get(0))?)
            })
            .unwrap();
        assert_eq!(synchronous, 2, "FULL is back");
    }
}
