//! The single-instance lock beside the database: an `flock` that dies with its holder, and a note of who holds it.
//!
//! Taken before the database is opened and kept for life. std opens files with O_CLOEXEC, so children do not inherit it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What kind of process holds the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A gateway; answers on its port.
    Gateway,
    /// A command that runs one turn and leaves.
    OneShot,
}

/// Who holds the lock, as written into its file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LockInfo {
    /// Process id.
    pub pid: u32,
    /// What it is.
    pub kind: Kind,
    /// The address a gateway answers on, `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The port of that address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether it ended in order; written as its last act.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

impl LockInfo {
    fn of_this_process(kind: Kind, ended: bool) -> Self {
        Self {
            pid: std::process::id(),
            kind,
            address: None,
            port: None,
            ended,
        }
    }
}

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("another PicoBot (pid {}) uses this database", pid(.0))]
    Held(Option<LockInfo>),
    /// The lock file cannot be made or opened.
    #[error("cannot open {path}")]
    Open {
        /// The path.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

fn pid(info: &Option<LockInfo>) -> String {
    info.as_ref()
        .map_or_else(|| "unknown".to_owned(), |info| info.pid.to_string())
}

/// The held lock; released on drop or when the process ends in any way.
#[derive(Debug)]
pub struct InstanceLock {
    file: File,
    info: LockInfo,
    after_crash: bool,
}

/// Returns the lock file's path for a database path: `picobot.lock` in the same folder for the default name, else the
/// database's name with `.lock`, so that two databases in one folder do not share a lock.
fn lock_path(database: &Path) -> PathBuf {
    database.with_extension("lock")
}

fn open(path: &Path) -> Result<File, LockError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| LockError::Open {
            path: path.display().to_string(),
            source,
        })
}

fn read_info(file: &mut File) -> Option<LockInfo> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

impl InstanceLock {
    /// Takes the lock of a database without waiting; the folder must exist.
    pub fn acquire(database: &Path, kind: Kind) -> Result<Self, LockError> {
        let path = lock_path(database);
        let mut file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {
                let after_crash = read_info(&mut file).is_some_and(|previous| !previous.ended);
                let mut lock = Self {
                    file,
                    info: LockInfo::of_this_process(kind, !after_crash),
                    after_crash,
                };
                lock.write();
                Ok(lock)
            }
            Err(TryLockError::WouldBlock) => Err(LockError::Held(read_info(&mut file))),
            Err(TryLockError::Error(source)) => Err(LockError::Open {
                path: path.display().to_string(),
                source,
            }),
        }
    }

    /// Tells who holds the lock of a database now; `None` if nobody does.
    pub fn holder(database: &Path) -> Option<LockInfo> {
        let mut file = File::open(lock_path(database)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read_info(&mut file),
            _ => None,
        }
    }

    /// Tells whether the holder before did not end in order.
    pub fn is_after_crash(&self) -> bool {
        self.after_crash
    }

    /// Notes that the database is open: from now on an end without [`InstanceLock::end`] is a crash.
    pub fn opened(&mut self) {
        self.info.ended = false;
        self.write();
    }

    /// Notes the address a gateway answers on.
    pub fn announce(&mut self, address: std::net::SocketAddr) {
        self.info.address = Some(address.to_string());
        self.info.port = Some(address.port());
        self.write();
    }

    /// Releases the lock with a note that all went well. Call when the database is closed or needs no closing.
    pub fn end(mut self) {
        self.info.ended = true;
        self.write();
    }

    /// The note helps others find us; failing to write it loses only that.
    fn write(&mut self) {
        let text = serde_json::to_string(&self.info).expect("a lock note has only plain fields");
        let written = self
            .file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(text.as_bytes()));
        if let Err(error) = written {
            log::warn!("cannot write the lock file: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("picobot.db");
        assert_eq!(InstanceLock::holder(&database), None);
        let mut first = InstanceLock::acquire(&database, Kind::Gateway).unwrap();
        first.opened();
        first.announce("127.0.0.1:4711".parse().unwrap());
        let Err(LockError::Held(Some(info))) = InstanceLock::acquire(&database, Kind::OneShot)
        else {
            panic!("a second holder got in");
        };
        assert_eq!(info.pid, std::process::id());
        assert_eq!(info.port, Some(4711));
        assert_eq!(InstanceLock::holder(&database), Some(info));
        drop(first);
        assert_eq!(InstanceLock::holder(&database), None);
        let second = InstanceLock::acquire(&database, Kind::OneShot).unwrap();
        assert!(second.is_after_crash(), "the first said nothing at its end");
        second.end();
        let third = InstanceLock::acquire(&database, Kind::OneShot).unwrap();
        assert!(!third.is_after_crash());
    }
}
