//! The `upkeep` thread: once a day it makes a backup, archives idle dialogs, and forgets what nobody needs any more.
//!
//! It waits for its next due time and does nothing in between. Work is cut into small transactions, so that turns wait
//! for none of it. Not here: what the pieces do (`storage`, `channels/feishu`), what may be
//! forgotten of memories.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use crate::channels::feishu::delete_old_files;
use crate::config::Config;
use crate::observability::test_millis;
use crate::storage::{Db, StorageError, Sweep};
use crate::threads::{Fatal, Thread, spawn_actor};

const STACK_BYTES: usize = 256 * 1024;
const DAY: Duration = Duration::from_secs(86_400);
/// After a start there is more urgent work.
const FIRST: Duration = Duration::from_secs(60);
/// A backup that could not be made is tried again after this.
const AGAIN: Duration = Duration::from_secs(3_600);
/// Ids of inputs, their answers and sent deliveries are kept so long, so that a repeat is known as one.
const IDS_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// Deliveries that did not arrive can be sent by hand so long.
const DEAD_LETTERS_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The running thread.
pub(super) struct Upkeep {
    /// Dropped to end the thread.
    stop: Sender<()>,
    thread: Thread,
}

/// What is tidied up, and after which time.
struct Rules {
    db: Arc<Db>,
    archive_after: Option<Duration>,
    media_after: Option<Duration>,
    media: Vec<PathBuf>,
    open_folders: Vec<PathBuf>,
}

impl Upkeep {
    pub(super) fn start(config: &Config, db: Arc<Db>, fatal: &Fatal) -> std::io::Result<Self> {
        let days = |days: Option<u32>| days.map(|days| DAY * days);
        let cleanup = config.gateway.cleanup;
        let rules = Rules {
            db,
            archive_after: days(cleanup.archive_after_days),
            media_after: days(cleanup.media_days),
            media: media_folders(config),
            open_folders: super::feishu::open_folders(config),
        };
        let (stop, stopped) = bounded(0);
        let thread = spawn_actor("upkeep", STACK_BYTES, fatal, move || rules.serve(&stopped))?;
        Ok(Self { stop, thread })
    }

    /// Tells the thread to end and returns it, to be joined.
    pub(super) fn stop(self) -> Thread {
        drop(self.stop);
        self.thread
    }
}

/// Folders for downloads. One that holds the workspace itself is no such folder, whatever the configuration says.
fn media_folders(config: &Config) -> Vec<PathBuf> {
    let folders = config.channels.feishu.iter().map(|bot| &bot.media_dir);
    folders
        .filter(|folder| !config.workspace_dir.starts_with(folder))
        .cloned()
        .collect()
}

impl Rules {
    fn serve(&self, stopped: &Receiver<()>) {
        let first = test_millis("PICOBOT_UPKEEP_AFTER_MS").unwrap_or(FIRST);
        let mut due = Instant::now() + first;
        while stopped.recv_deadline(due) == Err(RecvTimeoutError::Timeout) {
            let wait = self.round(&|| stopped.try_recv() == Err(TryRecvError::Disconnected));
            due = Instant::now() + wait;
            crate::platform::trim_memory_after_burst(|| self.db.shrink());
        }
    }

    /// Does everything once; returns the time until the next round.
    fn round(&self, ended: &dyn Fn() -> bool) -> Duration {
        let now = SystemTime::now();
        // The copy comes first: it still has what is then forgotten.
        let wait = self.back_up(now, ended);
        if ended() {
            return wait;
        }
        if let Err(error) = self.forget(now, ended) {
            log::error!("upkeep: {error}");
        }
        if let Some(age) = self.media_after {
            let since = now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
            match repeat(ended, || self.db.write(|tx| tx.forget_images(since))) {
                Ok(0) => {}
                Ok(deleted) => log::info!("deleted {deleted} old images"),
                Err(error) => log::error!("old images stay: {error}"),
            }
            for folder in &self.media {
                let before = now - age.min(DAY * 36_500);
                match delete_old_files(folder, &self.open_folders, before, ended) {
                    Ok(0) => {}
                    Ok(deleted) => log::info!("deleted {deleted} old media files"),
                    Err(error) => log::warn!("old media files stay: {error}"),
                }
            }
        }
        wait
    }

    /// Makes a backup if the newest is a day old; returns the time until the next one.
    fn back_up(&self, now: SystemTime, ended: &dyn Fn() -> bool) -> Duration {
        let Some(backups) = self.db.backups() else {
            return DAY;
        };
        if let Some(newest) = backups.newest() {
            let age = now.duration_since(newest.made_at).unwrap_or_default();
            if age < DAY {
                return (DAY - age).max(FIRST);
            }
        }
        let began = Instant::now();
        match backups.make_unless(ended) {
            Ok(Some(backup)) => {
                log::info!(
                    "made a backup of {} bytes in {} ms",
                    backup.bytes,
                    began.elapsed().as_millis()
                );
                DAY
            }
            Ok(None) => {
                log::debug!("no backup: gateway.cleanup.backup_bytes is too small for one");
                DAY
            }
            Err(_) if ended() => AGAIN,
            Err(error) => {
                log::error!("the backup could not be made: {error}");
                AGAIN
            }
        }
    }

    fn forget(&self, now: SystemTime, ended: &dyn Fn() -> bool) -> Result<(), StorageError> {
        let before = |age: Duration| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        if let Some(age) = self.archive_after {
            let since = before(age);
            let n = repeat(ended, || self.db.write(|tx| tx.archive_idle_dialogs(since)))?;
            if n > 0 {
                log::info!("archived {n} idle dialogs");
            }
        }
        let mut sweep = Sweep::default();
        while !sweep.done && !ended() {
            sweep = self
                .db
                .write(|tx| tx.forget_inputs(before(IDS_KEPT), sweep))?;
        }
        let deliveries = repeat(ended, || {
            self.db
                .write(|tx| tx.forget_deliveries(before(IDS_KEPT), before(DEAD_LETTERS_KEPT)))
        })?;
        if sweep.deleted + deliveries > 0 {
            log::info!(
                "forgot {} old inputs and {deliveries} old deliveries",
                sweep.deleted
            );
        }
        Ok(())
    }
}

/// Does pieces of work until one finds nothing to do; returns what all of them did.
fn repeat(
    ended: &dyn Fn() -> bool,
    piece: impl Fn() -> Result<usize, StorageError>,
) -> Result<usize, StorageError> {
    let mut sum = 0;
    while !ended() {
        match piece()? {
            0 => break,
            n => sum += n,
        }
    }
    Ok(sum)
}
