//! The database for a command that works on it without a gateway: to be changed under the lock, or to be read. It is not
//! made if there is none.

use std::ops::Deref;

use anyhow::Result;

use super::build;
use crate::config::Config;
use crate::storage::{Db, InstanceLock, Kind};

/// An open database with its lock.
pub struct OneDatabase {
    db: Db,
    lock: InstanceLock,
}

/// Opens the configured database; `None` if there is none. Fails if another process has it.
pub fn one_database(config: &Config) -> Result<Option<OneDatabase>> {
    let database = &config.gateway.session_db_path;
    let backups = build::backups(config);
    if !database.exists() && !backups.is_restoring() {
        return Ok(None);
    }
    let mut lock = InstanceLock::acquire(database, Kind::OneShot)?;
    let db = Db::open_with(database, lock.is_after_crash(), Some(backups))?;
    lock.opened();
    Ok(Some(OneDatabase { db, lock }))
}

/// Opens the configured database to be read only, beside whoever has it; `None` if there is none. One that an older
/// version wrote, or that is half restored, is put in order under the lock first.
pub fn database_to_read(config: &Config) -> Result<Option<Db>> {
    let database = &config.gateway.session_db_path;
    if !build::backups(config).is_restoring()
        && let Some(db) = Db::open_read_only(database)?
    {
        return Ok(Some(db));
    }
    if let Some(db) = one_database(config)? {
        db.end();
    }
    Ok(Db::open_read_only(database)?)
}

impl OneDatabase {
    /// Closes the database in order; without this the next process checks it as after a crash.
    pub fn end(self) {
        let checked = !self.db.needs_check();
        drop(self.db);
        if checked {
            self.lock.end();
        }
    }
}

impl Deref for OneDatabase {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}
