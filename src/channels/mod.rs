//! The outside worlds people write from. A channel only receives and sends: it maps its own messages to bus messages and
//! back, and leaves every decision about dialogs to the `session` thread.
//!
//! Each channel's file names its thread. Sockets of the gateway's port are not here but in the door.

pub mod cli_chat;
pub mod feishu;
pub mod outbound;
