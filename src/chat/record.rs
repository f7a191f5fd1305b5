//! What is kept of a tool call and of a model call. Plain data.

use std::time::{Duration, SystemTime};

use super::Usage;

/// How a tool call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallState {
    /// With a result.
    Done,
    /// With an error result.
    Failed,
    /// By `/stop`.
    Stopped,
}

impl CallState {
    /// Returns the word used in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// What a call asked and what it got, as hashes: equal ones are the same call with the same result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CallPrint {
    /// Of the tool's name and the arguments.
    pub call: i64,
    /// Of the result.
    pub result: i64,
}

/// A tool call that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallRecord {
    /// The call's id.
    pub call_id: String,
    /// The tool's name as the model gave it.
    pub name: String,
    /// How it ended.
    pub state: CallState,
    /// When it began.
    pub started_at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Size of its result as the model gets it.
    pub result_bytes: usize,
    /// What it asked and got.
    pub print: CallPrint,
}

/// A model call that has ended.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelCall {
    /// The provider's configured name.
    pub provider: String,
    /// The model id.
    pub model: String,
    /// What it was for, such as `turn`.
    pub purpose: &'static str,
    /// `ok` or the class of the failure.
    pub outcome: &'static str,
    /// Tokens as reported; unknown is unknown.
    pub usage: Usage,
    /// What it cost and in which currency; `None` if price or tokens are unknown.
    pub cost: Option<(f64, String)>,
    /// Whole duration.
    pub latency: Duration,
    /// From the request to the first piece of answer.
    pub first_token: Option<Duration>,
    /// HTTP attempts, 1 for a call that worked at once.
    pub attempts: u32,
    /// When it began.
    pub at: SystemTime,
}
