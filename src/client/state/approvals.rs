//! Questions about tool calls. A panel takes keys only after 0.3 s of silence, so that typing cannot confirm it. Pure.

use super::types::{Effect, Link, State};
use crate::client::keys::{Action, Key, Place};
use crate::wire::{ClientBody, ClientMessage, Decision};

/// How long a panel and the keyboard must have been quiet.
const QUIET_MS: u64 = 300;

/// A tool call that waits for a person's yes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::client) struct Approval {
    pub(in crate::client) id: String,
    pub(in crate::client) name: String,
    /// The exact arguments as JSON text.
    pub(in crate::client) arguments: String,
    /// What is asked in a sentence, and why it is asked; empty if not said.
    pub(in crate::client) summary: String,
    pub(in crate::client) reason: String,
    /// Whether what it changes stays in the workspace.
    pub(in crate::client) in_workspace: bool,
    /// Whether "always" is remembered.
    pub(in crate::client) can_always: bool,
    /// When silence becomes a no, in milliseconds since 1970.
    pub(in crate::client) expires_ms: Option<i64>,
    /// When it came into sight.
    pub(in crate::client) shown_ms: u64,
}

impl Approval {
    /// Returns when it begins to take keys.
    pub(in crate::client) fn armed_at(&self, last_key_ms: u64) -> u64 {
        self.shown_ms.max(last_key_ms) + QUIET_MS
    }

    /// Returns the command or the arguments in full, a line each, uncleaned.
    pub(in crate::client) fn exact(&self) -> String {
        let parsed = serde_json::from_str::<serde_json::Value>(&self.arguments);
        match parsed {
            Ok(serde_json::Value::Object(map)) if map.len() == 1 => match map.values().next() {
                Some(serde_json::Value::String(text)) => text.clone(),
                _ => self.arguments.clone(),
            },
            Ok(serde_json::Value::Object(map)) => {
                let line = |(key, value): (&String, &serde_json::Value)| match value {
                    serde_json::Value::String(text) => format!("{key}: {text}"),
                    value => format!("{key}: {value}"),
                };
                map.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            _ => self.arguments.clone(),
        }
    }
}

impl State {
    /// Adds a question; a repeat of one that waits changes nothing.
    pub(super) fn ask_approval(&mut self, mut approval: Approval) {
        if self.approvals.iter().any(|known| known.id == approval.id) {
            return;
        }
        approval.shown_ms = self.now.ms;
        self.approvals.push_back(approval);
    }

    /// Takes a question away that somebody has answered.
    pub(super) fn resolve_approval(&mut self, id: &str) {
        self.approvals.retain(|approval| approval.id != id);
        if let Some(next) = self.approvals.front_mut() {
            next.shown_ms = self.now.ms;
        }
    }

    /// Offers a key to the panel; true if it was taken.
    pub(super) fn approval_key(&mut self, key: Key) -> bool {
        let Some(approval) = self.approvals.front() else {
            return false;
        };
        let is_armed = self.now.ms >= approval.armed_at(self.last_key_ms);
        let decision = match self.settings.keys.action(Place::Approval, key) {
            Some(Action::Allow) => Decision::Allow,
            Some(Action::AllowAlways) if approval.can_always => Decision::Always,
            Some(Action::Deny) => Decision::Deny,
            _ => return false,
        };
        if !is_armed {
            return false;
        }
        if self.link != Link::Online {
            self.say("not now: there is no connection");
            return true;
        }
        let approval_id = approval.id.clone();
        let body = ClientBody::ApprovalReply {
            approval_id: approval_id.clone(),
            decision,
        };
        self.out.push(Effect::Send(ClientMessage {
            body,
            request_id: None,
        }));
        self.say(match decision {
            Decision::Allow => "allowed once",
            Decision::Always => "allowed from now on",
            Decision::Deny => "denied",
        });
        self.resolve_approval(&approval_id);
        true
    }
}
