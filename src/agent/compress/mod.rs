//! Making a long dialog short: what to cut (`plan`), old tool results shortened without a model (`shrink`), what a
//! summary must not lose (`facts`, `extract`), asking a model for the summary (`ask`), and how it is put in front of what
//! stays (`shown`, `render`).
//!
//! Pure but for the one model call; runs on the thread that asks. Not here: when to compress, and storing it (`session`).

mod arguments;
mod ask;
mod extract;
mod facts;
mod plan;
mod render;
mod shrink;

pub use ask::{NoSummary, Summarised, SummaryJob, summarise};
pub use facts::Facts;
pub use plan::{Cut, Force, Need, Plan, Row, cut_rows, plan};
pub use render::{SUMMARY_END, SUMMARY_START, render};

use crate::chat::{Message, Part, Role};
use crate::providers::estimate_message;

/// Returns stored messages as the model sees them: tool results up to the row `shrunk` shortened, and the summary, if
/// there is one, in front of the first message of the user.
pub fn shown(rows: impl IntoIterator<Item = Row>, shrunk: i64, summary: &str) -> Vec<Message> {
    let mut history: Vec<Message> = rows
        .into_iter()
        .map(|row| {
            let mut message = row.message;
            if row.id <= shrunk {
                shrink::shrink(&mut message);
            }
            message
        })
        .collect();
    if summary.is_empty() {
        return history;
    }
    let part = Part::Context(summary.to_owned());
    match history.first_mut() {
        Some(first) if first.role == Role::User => first.parts.insert(0, part),
        _ => history.insert(
            0,
            Message {
                role: Role::User,
                parts: vec![part],
                native: None,
            },
        ),
    }
    history
}

/// Estimates the tokens of messages, before any calibration.
pub fn estimate_messages(messages: &[Message]) -> f64 {
    messages.iter().map(estimate_message).sum()
}

#[cfg(test)]
mod tests;
