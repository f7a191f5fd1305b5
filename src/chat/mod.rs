//! The vocabulary every other module speaks: messages, parts, tool calls, usage and ids.
//!
//! Plain data and pure functions; no thread, no queue, no I/O. JSON and SQL forms of these types live at the borders
//! (`wire`, `providers`, `storage`), so nothing here derives `Serialize`.

mod id;
mod input;
mod media;
mod message;
mod pick;
mod price;
mod record;

pub use id::{ChannelId, ChatId, DialogId, IdError, Route, SessionId};
pub use input::{Command, Input, InputMode, Lane, classify};
pub use media::{Attachment, Image, MediaType, plain_file_name};
pub use message::{Message, Native, Part, Role, StopReason, ToolCall, ToolResult, Usage};
pub use pick::{Choice, Picked, pick};
pub use price::Price;
pub use record::{CallPrint, CallRecord, CallState, ModelCall};
