//! Counters and part states behind `/health`: atomics only, so that reading takes no lock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A part of the gateway whose state `/health` shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The database.
    Storage,
    /// The model service.
    Provider,
}

impl Part {
    /// Every part, in the order shown.
    pub const ALL: [Part; 2] = [Part::Storage, Part::Provider];

    /// Returns the word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Storage => "storage",
            Part::Provider => "provider",
        }
    }
}

/// How commands are confined, as found once after start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SandboxState {
    /// `off`, `workspace` or `full`.
    pub level: &'static str,
    /// `active`, `reduced` (a protection is missing and not required), `refused` (one is missing and required), `none`
    /// (level `full`) or `off`.
    pub status: &'static str,
    /// The Landlock version in force, 0 for none.
    pub landlock: u32,
    /// Whether system calls are filtered.
    pub seccomp: bool,
    /// Whether private files are hidden by a mount namespace.
    pub mounts: bool,
    /// Whether commands may use the network.
    pub network: bool,
}

/// Counters and states; every field may be read and written from any thread.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    /// Unix seconds since when a part is degraded; 0 while it is ok.
    degraded_since: [AtomicU64; Part::ALL.len()],
    sandbox: OnceLock<SandboxState>,
    /// Clients connected now.
    pub clients: AtomicU64,
    /// Turns running now.
    pub turns_running: AtomicU64,
    /// Turns ended since start.
    pub turns_done: AtomicU64,
    /// Inputs waiting for their turn.
    pub queued: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            degraded_since: Default::default(),
            sandbox: OnceLock::new(),
            clients: AtomicU64::new(0),
            turns_running: AtomicU64::new(0),
            turns_done: AtomicU64::new(0),
            queued: AtomicU64::new(0),
        }
    }
}

impl Health {
    /// Notes that a part works.
    pub fn ok(&self, part: Part) {
        self.degraded_since[part as usize].store(0, Ordering::Relaxed);
    }

    /// Notes that a part does not work; keeps the time of the first note.
    pub fn degraded(&self, part: Part) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |since| since.as_secs().max(1));
        let _ = self.degraded_since[part as usize].compare_exchange(
            0,
            now,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// Returns the Unix seconds since when a part is degraded, or `None` if it is ok.
    pub fn degraded_since(&self, part: Part) -> Option<u64> {
        match self.degraded_since[part as usize].load(Ordering::Relaxed) {
            0 => None,
            since => Some(since),
        }
    }

    /// Notes how commands are confined; the first note stands.
    pub fn set_sandbox(&self, state: SandboxState) {
        let _ = self.sandbox.set(state);
    }

    /// Returns how commands are confined, once that is known.
    pub fn sandbox(&self) -> Option<&SandboxState> {
        self.sandbox.get()
    }

    /// Returns the seconds since start.
    pub fn uptime_secs(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}
