//! The `db-check` thread: a large database that was not closed in order is checked while the gateway already works.
//!
//! Small ones are checked when they are opened (`storage`). A damaged file ends the process with code 12. A check that is cut
//! off by the gateway's end is made by the next start: the end then does not count as one in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::storage::{Db, StorageError};
use crate::threads::{Thread, spawn};

const STACK_BYTES: usize = 256 * 1024;

/// The running check, if one is needed.
pub(super) struct Check {
    thread: Option<Thread>,
    ended: Arc<AtomicBool>,
    checked: Arc<AtomicBool>,
}

impl Check {
    /// Starts the check where one is needed.
    pub(super) fn start(db: &Arc<Db>) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let checked = Arc::new(AtomicBool::new(!db.needs_check()));
        let thread = if db.needs_check() {
            let (db, ended, checked) = (db.clone(), ended.clone(), checked.clone());
            let run = move || run(&db, &ended, &checked);
            Some(spawn("db-check", STACK_BYTES, run)?)
        } else {
            None
        };
        Ok(Self {
            thread,
            ended,
            checked,
        })
    }

    /// Ends the check if it still runs. Returns the thread, to be joined, and what then tells whether the file is sound.
    pub(super) fn end(self) -> (Option<Thread>, Arc<AtomicBool>) {
        self.ended.store(true, Ordering::Release);
        (self.thread, self.checked)
    }
}

fn run(db: &Db, ended: &Arc<AtomicBool>, checked: &AtomicBool) {
    let asked = ended.clone();
    match db.check(move || asked.load(Ordering::Acquire)) {
        Ok(()) => {
            log::info!("the database is sound");
            checked.store(true, Ordering::Release);
        }
        Err(error @ StorageError::Damaged { .. }) => {
            log::error!("{error}; PicoBot ends, restore a backup");
            std::process::exit(12);
        }
        Err(_) if ended.load(Ordering::Acquire) => {}
        Err(error) => {
            log::warn!("the database could not be checked, the next start does it: {error}")
        }
    }
}
