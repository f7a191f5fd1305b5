//! Exit codes, and failures as people see them: what failed and why, then the command that helps.

use std::io::Write;

use super::terminal::shown_on;
use crate::gateway::door::DoorError;
use crate::storage::{LockError, StorageError};

/// The agent failed.
pub(super) const AGENT: u8 = 1;
/// Wrong use.
pub(super) const USAGE: u8 = 2;
/// A fault in the configuration.
pub(super) const CONFIG: u8 = 3;
/// No gateway answers.
pub(super) const UNREACHABLE: u8 = 4;
/// A key or token was refused.
pub(super) const AUTH: u8 = 5;
/// The model service failed.
pub(super) const PROVIDER: u8 = 6;
/// Too late.
pub(super) const TIMEOUT: u8 = 7;
/// Stopped by someone.
pub(super) const STOPPED: u8 = 8;
/// The configured budget is used up.
pub(super) const BUDGET: u8 = 10;
/// A tool call needed a person's yes and did not get it.
pub(super) const APPROVAL: u8 = 11;
/// The database is damaged, newer or in use.
pub(super) const DATABASE: u8 = 12;

/// A command's failure.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: u8,
    /// What failed and why; empty to say nothing.
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(super) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// Ends without a word: everything was said already, or nobody listens.
    pub(super) fn silent(code: u8) -> Self {
        Self::new(code, "")
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Writes the failure to stderr, to a terminal without what it would obey; a closed stderr is no reason to fail differently.
    pub(super) fn print(&self) {
        if self.message.is_empty() {
            return;
        }
        let mut text = format!("picobot: {}\n", self.message);
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {hint}\n"));
        }
        let mut err = std::io::stderr();
        let text = shown_on(&err, &text);
        let _ = err.write_all(text.as_bytes());
    }
}

/// Sorts an error of start-up into an exit code and a hint.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let message = format!("{error:#}");
        if let Some(error) = error.downcast_ref::<LockError>() {
            return Self::new(DATABASE, message).hint(match error {
                LockError::Held(_) => {
                    "stop the other one, or give this one its own home with --home"
                }
                LockError::Open { .. } => "check that the folder can be written",
            });
        }
        if let Some(error) = error.downcast_ref::<StorageError>() {
            return match error {
                StorageError::Damaged {
                    backup: Some(backup),
                    ..
                } => {
                    Self::new(DATABASE, message).hint(format!("a {backup}; run `picobot restore`"))
                }
                StorageError::Damaged { backup: None, .. } => Self::new(DATABASE, message).hint(
                    "there is no backup of it; move the file aside, or `picobot restore FILE`",
                ),
                StorageError::Newer { .. } => {
                    Self::new(DATABASE, message).hint("upgrade, or restore an older backup")
                }
                StorageError::Full => Self::new(DATABASE, message).hint("free disk space"),
                StorageError::Busy => Self::new(DATABASE, message).hint("try again in a moment"),
                _ => Self::new(DATABASE, message)
                    .hint("check that the file and its folder can be written"),
            };
        }
        if let Some(error) = error.downcast_ref::<DoorError>() {
            let failure = Self::new(AGENT, message);
            return match error {
                DoorError::PortInUse { .. } => failure.hint(
                    "another program listens there; choose another with --port or gateway.port",
                ),
                _ => failure.hint("check gateway.host and gateway.port"),
            };
        }
        let failure = Self::new(AGENT, message);
        if error.root_cause().is::<std::io::Error>() {
            failure.hint("check that the path exists and can be used")
        } else {
            failure
        }
    }
}
