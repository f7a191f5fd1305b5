//! The observer trait for agent and tool events. Events are told on the thread they happen on.

use std::sync::Arc;
use std::time::Duration;

use crate::chat::{SessionId, Usage};

/// Something that happened in a turn.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A turn began.
    TurnStarted {
        /// The turn's number.
        turn: i64,
        /// Its dialog.
        session: &'a SessionId,
    },
    /// A model call ended.
    ModelCalled {
        /// The turn's number.
        turn: i64,
        /// The provider's configured name.
        provider: &'a str,
        /// The model id.
        model: &'a str,
        /// Tokens as reported.
        usage: Usage,
        /// How long it took.
        took: Duration,
        /// `ok` or a failure class.
        outcome: &'a str,
    },
    /// A tool call ended.
    ToolRan {
        /// The turn's number.
        turn: i64,
        /// The tool.
        name: &'a str,
        /// How long it took.
        took: Duration,
        /// Whether it failed.
        is_error: bool,
        /// Size of its result.
        bytes: usize,
    },
    /// A turn ended.
    TurnFinished {
        /// The turn's number.
        turn: i64,
        /// Its dialog.
        session: &'a SessionId,
        /// `done`, `failed` or `stopped`.
        state: &'a str,
        /// How long it took.
        took: Duration,
    },
}

/// Is told what happens; must return quickly.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn observe(&self, event: Event<'_>);
}

/// All observers of this process.
#[derive(Clone, Default)]
pub struct Observers(Arc<[Box<dyn Observer>]>);

impl Observers {
    /// Makes the set.
    pub fn new(observers: Vec<Box<dyn Observer>>) -> Self {
        Self(observers.into())
    }

    /// Tells every observer.
    pub fn tell(&self, event: Event<'_>) {
        for observer in self.0.iter() {
            observer.observe(event);
        }
    }
}
