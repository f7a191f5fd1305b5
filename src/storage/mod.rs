//! The database: one SQLite file, one connection behind one mutex, one instance at a time.
//!
//! Callers pass closures to [`Db::read`] and [`Db::write`] and use the query methods of [`Tx`]; a closure holds SQL and
//! plain computation, nothing that waits. One file per table group. Any thread may call; nobody keeps a `Tx`. Not here:
//! deciding what to store.

mod approvals;
mod backups;
mod calls;
mod contexts;
mod db;
mod dialogs;
mod error;
mod feishu;
mod inbox;
mod lock;
mod media;
mod messages;
mod outbox;
mod parts;
mod prompts;
mod restore;
mod schema;
mod turns;
mod upkeep;

pub use approvals::{ApprovalRow, ApprovalState, GrantRow};
pub use backups::{Backup, Backups, Contents, back_up, inspect};
pub use calls::{DialogUsage, LastCall};
pub use contexts::{Context, NewTimeline};
pub use db::{Db, Tx, sqlite_version};
pub use dialogs::{DialogKey, DialogRow, Page};
pub use error::StorageError;
pub use feishu::{FeishuEvent, FeishuTrace};
pub use inbox::{InboxId, InboxRow, NewInput, Outcome, StoredReply, fingerprint};
pub use lock::{InstanceLock, Kind, LockError, LockInfo};
pub use messages::{DetailedPage, StoredMessage};
pub use outbox::{Delivery, DeliveryInfo, Expired, OutboxRow, Shown};
pub use prompts::Prompt;
pub use restore::Restored;
pub use turns::{TurnId, TurnRow, TurnState};
pub use upkeep::Sweep;

#[cfg(test)]
mod plans_tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Times are stored as milliseconds since 1970 in UTC.
fn to_millis(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

fn from_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
