//! Writes while the disk fails: a turn waits with what it has and tries again; the `session` thread probes the disk and
//! then stores what had to be left.
//!
//! Only while storage is degraded does anything here wake by the clock. Nothing is acknowledged that is not stored: an
//! input that cannot be stored is refused at once, an answer that cannot be stored is sent when it is. Storage counts as
//! working again only when a probe says so: on a full disk small writes may fit where larger ones do not.

use std::time::{Duration, Instant, SystemTime};

use super::actor::Actor;
use super::worker::TurnJob;
use super::{Deps, wording};
use crate::bus::Body;
use crate::observability::{Part, test_millis};
use crate::storage::StorageError;

/// Pause between two tries to write.
fn pause() -> Duration {
    test_millis("PICOBOT_STORAGE_RETRY_MS").unwrap_or(Duration::from_secs(5))
}

/// Runs a transaction of a turn, again and again while the disk fails; the askers are told once that it does. Gives the
/// error back when trying again is of no use, or when the turn is cancelled meanwhile.
pub(super) fn persist<T>(
    deps: &Deps,
    job: &TurnJob,
    mut transact: impl FnMut() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let mut told = false;
    loop {
        let error = match transact() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        deps.health.degraded(Part::Storage);
        if !error.is_temporary() {
            return Err(error);
        }
        if !told {
            told = true;
            log::error!("a turn in {} waits for the disk: {error}", job.session);
            job.replies.tell(
                |_| true,
                || Body::Notification {
                    content: wording::waits_for_disk(&error).to_owned(),
                },
            );
        }
        if job.control.cancel.wait(pause()) {
            return Err(error);
        }
    }
}

impl Actor {
    /// Sets the time of the next probe while storage does not work.
    pub(super) fn watch_storage(&mut self) {
        let degraded = self.deps.health.degraded_since(Part::Storage).is_some();
        if (degraded || !self.unsaved.is_empty()) && self.probe.is_none() && !self.is_ending() {
            self.probe = Some(Instant::now() + pause());
        }
    }

    /// Tries whether the disk takes writes again; then stores the ends of turns that were stopped meanwhile, and takes
    /// up what could not be read.
    pub(super) fn probe_storage(&mut self) {
        self.probe = None;
        let db = self.deps.db.clone();
        let mut result = db.probe(SystemTime::now());
        while result.is_ok()
            && let Some(stop) = self.unsaved.pop()
        {
            result = self.store_stop(&stop);
            if result.is_err() {
                self.unsaved.push(stop);
            }
        }
        match result {
            Ok(()) => {
                let was_degraded = self.deps.health.degraded_since(Part::Storage).is_some();
                self.deps.health.ok(Part::Storage);
                if was_degraded {
                    log::info!("the database can be written again");
                }
                if std::mem::take(&mut self.recover_later) {
                    self.recover();
                }
            }
            Err(error) => log::debug!("the disk still fails: {error}"),
        }
    }
}
