//! What the channel needs from above: a place that survives a restart. Implemented by the gateway over the database.

use std::time::SystemTime;

/// Why something could not be kept or found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// A message event as received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredEvent {
    /// The message's id, `om_…`.
    pub message: String,
    /// The chat's id, `oc_…`.
    pub chat: String,
    /// `p2p` or `group`.
    pub chat_type: String,
    /// The topic's id, `omt_…`.
    pub thread: Option<String>,
    /// The event's JSON.
    pub event: String,
    /// When it was received.
    pub received_at: SystemTime,
}

/// A card that shows an answer while it is written, and keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CardTrace {
    /// The card's id.
    pub card: String,
    /// The message that shows it.
    pub message: String,
    /// When it was made; sequence numbers count from here.
    pub at: SystemTime,
}

/// What is known of a message, and what the bot put on or under it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    /// The chat's id.
    pub chat: String,
    /// Whether people other than the sender and the bot read there.
    pub is_group: bool,
    /// The topic's id.
    pub thread: Option<String>,
    /// The reaction's id.
    pub reaction: Option<String>,
    /// The card.
    pub card: Option<CardTrace>,
}

/// What one bot keeps. Every call may block for a few milliseconds.
pub trait Store: Send + Sync {
    /// Keeps events, all or none; for each, false if its message is known already. Durable when it returns.
    fn record(&self, events: &[StoredEvent]) -> Result<Vec<bool>, StoreError>;
    /// Returns the events that the session has not taken, oldest first.
    fn open(&self) -> Result<Vec<StoredEvent>, StoreError>;
    /// Notes that nothing is left to do about messages.
    fn close(&self, messages: &[String]) -> Result<(), StoreError>;
    /// Returns what is known of a message.
    fn trace(&self, message: &str) -> Result<Option<Trace>, StoreError>;
    /// Notes the reaction on a message.
    fn set_reaction(&self, message: &str, reaction: Option<&str>) -> Result<(), StoreError>;
    /// Notes the card under a message.
    fn set_card(&self, message: &str, card: Option<&CardTrace>) -> Result<(), StoreError>;
    /// Returns the newest message of a topic.
    fn newest_in(&self, chat: &str, thread: &str) -> Result<Option<String>, StoreError>;
    /// Returns who was let in by a code, and whether as an owner.
    fn people(&self) -> Result<Vec<(String, bool)>, StoreError>;
    /// Lets a person in.
    fn add_person(&self, person: &str, is_owner: bool) -> Result<(), StoreError>;
    /// Forgets what is too old to matter; a little at each call.
    fn sweep(&self) -> Result<(), StoreError>;
}
