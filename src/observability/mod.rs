//! What happens, told to whoever watches: agent and tool events, the log sink, health counters.
//!
//! Called from every thread; never blocks on anything but the log file's own lock.

mod crash;
mod events;
mod health;
mod log;
mod redact;
mod redact_stream;

pub use self::log::{LogFormat, LogOptions, LogTarget, init_log};
pub use crash::{crash_point, panic_point, test_millis};
pub use events::{Event, Observer, Observers};
pub use health::{ChannelHealth, Health, LinkState, Part, SandboxState};
pub use redact::Redactor;
pub use redact_stream::RedactedStream;
