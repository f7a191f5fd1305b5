//! Counters and part states behind `/health`: atomics only, so that reading takes no lock.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
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
    /// Channels with a connection of their own; set once at start.
    pub channels: OnceLock<Vec<Arc<ChannelHealth>>>,
}

/// How a channel's connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkState {
    /// It is being made.
    Connecting,
    /// It stands.
    Connected,
    /// The service refuses it; somebody must mend something.
    Refused,
    /// There is none: the service sends requests.
    Webhook,
}

impl LinkState {
    const ALL: [LinkState; 4] = [
        LinkState::Connecting,
        LinkState::Connected,
        LinkState::Refused,
        LinkState::Webhook,
    ];

    /// Returns the word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            LinkState::Connecting => "connecting",
            LinkState::Connected => "connected",
            LinkState::Refused => "refused",
            LinkState::Webhook => "webhook",
        }
    }
}

/// A channel's state and counters since start.
#[derive(Debug)]
pub struct ChannelHealth {
    name: String,
    state: AtomicU8,
    /// Unix seconds; 0 before the first.
    heard_at: AtomicU64,
    /// Messages taken in.
    pub events: AtomicU64,
    /// Messages that were known already.
    pub repeats: AtomicU64,
    /// Messages of people who are not heard.
    pub strangers: AtomicU64,
    /// Connections lost.
    pub reconnects: AtomicU64,
}

impl ChannelHealth {
    /// Makes the state of a channel that connects.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: AtomicU8::new(LinkState::Connecting as u8),
            heard_at: AtomicU64::new(0),
            events: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
        }
    }

    /// Returns the channel's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes how the connection is.
    pub fn set_state(&self, state: LinkState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Returns how the connection is.
    pub fn state(&self) -> LinkState {
        let state = usize::from(self.state.load(Ordering::Relaxed));
        LinkState::ALL
            .get(state)
            .copied()
            .unwrap_or(LinkState::Connecting)
    }

    /// Notes that something came in.
    pub fn heard(&self) {
        self.heard_at.store(now_secs(), Ordering::Relaxed);
    }

    /// Returns the Unix seconds at which something came in last; `None` before the first.
    pub fn heard_at(&self) -> Option<u64> {
        match self.heard_at.load(Ordering::Relaxed) {
            0 => None,
            at => Some(at),
        }
    }
}

fn now_secs() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |since| since.as_secs().max(1))
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
            channels: OnceLock::new(),
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
        let now = now_secs();
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
