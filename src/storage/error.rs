//! Why the database could not do something: one variant per decision someone takes.

use rusqlite::ErrorCode;

/// Why the database could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file is not a database, or its pages do not fit together.
    #[error("database {name} is damaged ({detail})")]
    Damaged {
        /// The file's name.
        name: String,
        /// What SQLite found.
        detail: String,
        /// The newest backup, for people: from when and where; `None` if there is none.
        backup: Option<String>,
    },
    /// A newer PicoBot wrote the file.
    #[error("database was written by a newer PicoBot (schema {found}, this one knows {known})")]
    Newer {
        /// The file's schema version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The file cannot be read or written.
    #[error("the database cannot be read or written: {0}")]
    Io(rusqlite::Error),
    /// The database's library is not the one this program was made with.
    #[error("{0}")]
    Library(String),
    /// Another process has been busy with the file for too long.
    #[error("another program keeps the database busy")]
    Busy,
    /// Anything else SQLite refused.
    #[error("database error: {0}")]
    Sqlite(rusqlite::Error),
    /// The folder or file cannot be made or opened.
    #[error("cannot open {path}: {cause}")]
    Open {
        /// The path.
        path: String,
        /// The cause.
        cause: std::io::Error,
    },
}

impl StorageError {
    /// Tells whether the same may work later without anybody changing the file: the disk may have room again.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Full | Self::Io(_) | Self::Busy)
    }

    /// Makes the error for a row that must exist and does not.
    pub fn missing(what: &str) -> Self {
        Self::Sqlite(rusqlite::Error::InvalidParameterName(format!(
            "no such {what}"
        )))
    }
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                Self::Io(error)
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged {
                name: String::new(),
                detail: error.to_string(),
                backup: None,
            },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Sqlite(error),
        }
    }
}
