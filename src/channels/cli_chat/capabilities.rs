//! Which additive messages a client chose in its `hello`. Pure; runs on `gateway-io`.
//!
//! A choice is finer than `bus::Wants`: the session may send a group of which the client wants one type, so the frames
//! are filtered once more on the way out.

use crate::bus::{Body, Wants};

/// A message type that is sent only to clients that asked for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Additive {
    InputAccepted,
    TurnStarted,
    AssistantDelta,
    ToolStarted,
    ToolOutput,
    ToolFinished,
    TurnFinished,
    ApprovalRequest,
    SessionUpdated,
}

/// Capability names that select one type each.
const NAMES: [(&str, Additive); 9] = [
    ("input_accepted", Additive::InputAccepted),
    ("turn_started", Additive::TurnStarted),
    ("assistant_delta", Additive::AssistantDelta),
    ("tool_started", Additive::ToolStarted),
    ("tool_output", Additive::ToolOutput),
    ("tool_finished", Additive::ToolFinished),
    ("turn_finished", Additive::TurnFinished),
    ("approval_request", Additive::ApprovalRequest),
    ("session_updated", Additive::SessionUpdated),
];

/// What the capability `stream` selects.
const STREAM: [Additive; 7] = [
    Additive::InputAccepted,
    Additive::TurnStarted,
    Additive::AssistantDelta,
    Additive::ToolStarted,
    Additive::ToolOutput,
    Additive::ToolFinished,
    Additive::TurnFinished,
];

/// A set of additive types, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Selection(u16);

impl Selection {
    /// Reads capability names; unknown ones are ignored.
    pub(super) fn from_names(names: &[String]) -> Self {
        let mut selection = Self::default();
        for name in names {
            if name == "stream" {
                STREAM.iter().for_each(|kind| selection.add(*kind));
            } else if let Some((_, kind)) = NAMES.iter().find(|(known, _)| known == name) {
                selection.add(*kind);
            }
        }
        selection
    }

    fn add(&mut self, kind: Additive) {
        self.0 |= 1 << kind as u16;
    }

    /// Tells whether a type was chosen.
    pub(super) fn contains(self, kind: Additive) -> bool {
        self.0 & (1 << kind as u16) != 0
    }

    /// Returns the groups the session has to produce; only a client that showed the token is asked for approvals.
    pub(super) fn wants(self, trusted: bool) -> Wants {
        let any = |kinds: &[Additive]| kinds.iter().any(|kind| self.contains(*kind));
        Wants {
            accepted: any(&[Additive::InputAccepted]),
            turns: any(&[Additive::TurnStarted, Additive::TurnFinished]),
            deltas: any(&[Additive::AssistantDelta]),
            tools: any(&[
                Additive::ToolStarted,
                Additive::ToolOutput,
                Additive::ToolFinished,
            ]),
            approvals: trusted && any(&[Additive::ApprovalRequest]),
            sessions: any(&[Additive::SessionUpdated]),
        }
    }
}

/// Returns the additive type of a body; `None` for the messages every client gets.
pub(super) fn additive(body: &Body) -> Option<Additive> {
    match body {
        Body::Accepted => Some(Additive::InputAccepted),
        Body::TurnStarted { .. } => Some(Additive::TurnStarted),
        Body::Delta { .. } => Some(Additive::AssistantDelta),
        Body::ToolStarted { .. } => Some(Additive::ToolStarted),
        Body::ToolOutput { .. } => Some(Additive::ToolOutput),
        Body::ToolFinished { .. } => Some(Additive::ToolFinished),
        Body::TurnFinished { .. } => Some(Additive::TurnFinished),
        Body::Updated { .. } => Some(Additive::SessionUpdated),
        Body::ApprovalRequest(_) => Some(Additive::ApprovalRequest),
        Body::Established { .. }
        | Body::Answer { .. }
        | Body::ApprovalResolved { .. }
        | Body::Command { .. }
        | Body::Error { .. }
        | Body::Created { .. }
        | Body::List { .. }
        | Body::Loaded { .. }
        | Body::TakenBack { .. }
        | Body::Exported { .. }
        | Body::Found { .. }
        | Body::Renamed { .. }
        | Body::Archived
        | Body::Deleted
        | Body::Cleared
        | Body::Commands { .. }
        | Body::Deliveries { .. }
        | Body::Grants { .. }
        | Body::Pong
        | Body::Notification { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(names: &[&str]) -> Selection {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        Selection::from_names(&names)
    }

    #[test]
    fn each_name_selects_its_own_type_only() {
        for (name, kind) in NAMES {
            let selection = select(&[name]);
            for (_, other) in NAMES {
                assert_eq!(selection.contains(other), other == kind, "{name}");
            }
            assert_ne!(selection.wants(true), Wants::default(), "{name}");
        }
    }

    #[test]
    fn stream_is_a_turn_and_nothing_else() {
        let wants = select(&["stream"]).wants(true);
        assert_eq!(
            wants,
            Wants {
                accepted: true,
                turns: true,
                deltas: true,
                tools: true,
                approvals: false,
                sessions: false,
            }
        );
        assert!(
            STREAM
                .iter()
                .all(|kind| select(&["stream"]).contains(*kind))
        );
    }

    #[test]
    fn unknown_names_select_nothing() {
        assert_eq!(select(&["", "Stream", "streams", "推送"]), select(&[]));
        assert_eq!(select(&[]).wants(true), Wants::default());
    }

    #[test]
    fn approvals_need_the_token() {
        let selection = select(&["approval_request"]);
        assert!(selection.wants(true).approvals);
        assert!(!selection.wants(false).approvals);
    }
}
