//! The WebSocket JSON contract between the gateway and its clients: every message, both ways. Pure; no thread.
//!
//! The gateway reads [`ClientMessage`] on `gateway-io` and writes [`ServerMessage`]; our own clients do the reverse. The
//! names and fields are public: other people's clients depend on them, so a change here shows in the snapshot tests.
//! Deliberately not here: what a message does, who may send it, and which dialog is meant.

mod client;
mod nearest;
mod parse;
mod server;
mod time;

#[cfg(test)]
mod tests;

pub use client::{
    ClientBody, ClientMessage, Decision, ExportForm, GrantsAction, InputImage, MAX_IDS, MAX_IMAGES,
    MAX_QUERY_CHARS, OutboxAction,
};
pub use parse::{FaultCode, ParseFault};
pub use server::{
    CommandInfo, DeliveryEntry, FoundMessage, FrameError, Glance, GrantEntry, HistoryCall,
    HistoryEntry, ServerBody, ServerMessage, SessionInfo, TokenUsage,
};
pub use time::rfc3339;

/// Longest message that a gateway takes from a client, in bytes of JSON.
pub const MAX_FRAME_BYTES: usize = 1024 * 1024;
