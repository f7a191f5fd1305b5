//! Named threads, cancelling, and pools of numbered slots.
//!
//! The only module that starts threads. It knows nothing of what they run.

mod cancel;
mod parallel;
mod slots;
mod spawn;

pub use cancel::{CancelToken, CloserGuard};
pub use parallel::run_parallel;
pub use slots::SlotPool;
pub use spawn::{Fatal, JoinError, Thread, spawn, spawn_actor};
