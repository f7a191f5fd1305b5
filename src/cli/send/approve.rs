//! How `send` answers questions about tool calls: nobody sits at a script, so the command line says it beforehand.

use clap::ValueEnum;

use crate::wire::{ClientBody, Decision, ServerBody, ServerMessage};

/// Which calls are allowed when the policy asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Approve {
    /// None
    None,
    /// Those whose changes stay in the workspace
    Safe,
    /// All
    All,
}

/// An answer.
pub(super) struct Answer {
    pub(super) body: ClientBody,
    /// What was not allowed.
    pub(super) refused: Option<String>,
}

/// Tells whether a frame asks about a call of our turn.
pub(super) fn is_question(frame: &str, request_id: &str) -> bool {
    frame.contains("\"approval_request\"")
        && ServerMessage::parse(frame).is_ok_and(|message| {
            message.request_id.as_deref() == Some(request_id)
                && matches!(message.body, ServerBody::ApprovalRequest { .. })
        })
}

/// Answers a question.
pub(super) fn decide(frame: &str, approve: Approve) -> Option<Answer> {
    let ServerBody::ApprovalRequest {
        approval_id,
        name,
        summary,
        in_workspace,
        ..
    } = ServerMessage::parse(frame).ok()?.body
    else {
        return None;
    };
    let allowed = match approve {
        Approve::None => false,
        Approve::Safe => in_workspace,
        Approve::All => true,
    };
    let summary: String = summary.chars().filter(|c| !c.is_control()).collect();
    Some(Answer {
        body: ClientBody::ApprovalReply {
            approval_id: approval_id.into_owned(),
            decision: if allowed {
                Decision::Allow
            } else {
                Decision::Deny
            },
        },
        refused: (!allowed).then(|| format!("{name}: {summary}")),
    })
}
