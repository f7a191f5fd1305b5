//! What is handed to the session as one input: a message, or files and the text that came right behind them. Pure.

use std::time::SystemTime;

use super::content::Content;
use super::event::MessageEvent;

/// A received message with what it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Item {
    pub(super) event: MessageEvent,
    pub(super) content: Content,
    pub(super) received_at: SystemTime,
}

impl Item {
    /// The name of the dialog's chat: topics have dialogs of their own.
    pub(super) fn chat_name(&self) -> String {
        match &self.event.thread {
            Some(thread) => format!("{}:{thread}", self.event.chat),
            None => self.event.chat.clone(),
        }
    }
}

/// Messages of one sender that make one input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bundle {
    pub(super) items: Vec<Item>,
    /// Whether the sender owns the bot.
    pub(super) is_owner: bool,
}

impl Bundle {
    /// The message that is answered, and the input's id: the text if there is one, which is the last.
    pub(super) fn main(&self) -> &Item {
        self.items.last().expect("a bundle has an item")
    }

    /// Whether it comes from a member of a group who is not an owner.
    pub(super) fn is_foreign(&self) -> bool {
        self.main().event.is_group && !self.is_owner
    }

    /// The input's id.
    pub(super) fn request(&self) -> &str {
        &self.main().event.message
    }

    /// The ids of all its messages.
    pub(super) fn messages(&self) -> Vec<String> {
        self.items
            .iter()
            .map(|item| item.event.message.clone())
            .collect()
    }
}

/// Splits `oc_…:omt_…` into chat and topic.
pub(super) fn parse_chat_name(name: &str) -> (&str, Option<&str>) {
    match name.split_once(':') {
        Some((chat, thread)) => (chat, Some(thread)),
        None => (name, None),
    }
}
