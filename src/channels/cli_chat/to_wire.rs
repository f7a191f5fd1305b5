//! Bus messages → server messages. Pure; runs on `gateway-io`. Long texts are borrowed, never copied.

use std::borrow::Cow;
use std::time::Duration;

use crate::bus::{
    self, Body, DeliveryItem, DialogInfo, DialogState, FoundItem, GrantItem, HistoryItem, Outbound,
};
use crate::chat::{Role, Usage};
use crate::wire::{
    CommandInfo, DeliveryEntry, FoundMessage, GrantEntry, HistoryCall, HistoryEntry, ServerBody,
    ServerMessage, SessionInfo, TokenUsage, rfc3339,
};

/// Maps a message; `None` if its type must name a dialog and it names none.
pub(super) fn message(outbound: &Outbound) -> Option<ServerMessage<'_>> {
    let session = outbound.session.as_ref().map(|id| id.to_string().into());
    Some(ServerMessage {
        body: body(&outbound.body, session)?,
        request_id: outbound.request_id.as_deref().map(Cow::from),
    })
}

fn body<'a>(body: &'a Body, session: Option<Cow<'a, str>>) -> Option<ServerBody<'a>> {
    Some(match body {
        Body::Established { title } => ServerBody::SessionEstablished {
            session_id: session?,
            title: title.into(),
        },
        Body::Accepted => ServerBody::InputAccepted {
            session_id: session?,
        },
        Body::TurnStarted { turn } => ServerBody::TurnStarted {
            session_id: session?,
            turn: *turn,
        },
        Body::Delta { text, reasoning } => ServerBody::AssistantDelta {
            content: Cow::Borrowed(text),
            session_id: session?,
            reasoning: *reasoning,
        },
        Body::ToolStarted {
            call_id,
            name,
            arguments,
        } => ServerBody::ToolStarted {
            call_id: call_id.into(),
            name: name.into(),
            arguments: arguments.into(),
            session_id: session?,
        },
        Body::ToolOutput { call_id, text } => ServerBody::ToolOutput {
            call_id: call_id.into(),
            content: text.into(),
            session_id: session?,
        },
        Body::ToolFinished {
            call_id,
            name,
            is_error,
            took,
            content,
        } => ServerBody::ToolFinished {
            call_id: call_id.into(),
            name: name.into(),
            is_error: *is_error,
            content: content.into(),
            took_ms: millis(*took),
            session_id: session?,
        },
        Body::TurnFinished {
            turn,
            usage,
            model,
            stop,
            took,
            meter,
        } => ServerBody::TurnFinished {
            session_id: session?,
            turn: *turn,
            usage: token_usage(*usage),
            model: model.into(),
            stop_reason: stop.map(|stop| stop.as_str().into()),
            took_ms: millis(*took),
            context_tokens: meter.context,
            token_limit: meter.limit,
            cost: meter
                .cost
                .as_ref()
                .and_then(|(cost, _)| serde_json::Number::from_f64(*cost)),
            currency: meter.cost.as_ref().map(|(_, currency)| currency.into()),
        },
        Body::ApprovalRequest(request) => ServerBody::ApprovalRequest {
            approval_id: (&request.id).into(),
            name: (&request.name).into(),
            arguments: (&request.arguments).into(),
            expires_at: rfc3339(request.expires_at).into(),
            session_id: session?,
            summary: (&request.summary).into(),
            reason: (&request.reason).into(),
            in_workspace: request.in_workspace,
            can_always: request.can_always,
        },
        Body::ApprovalResolved { id, outcome } => ServerBody::ApprovalResolved {
            approval_id: id.into(),
            decision: outcome.as_str().into(),
            session_id: session?,
        },
        Body::Answer { content, merged } => ServerBody::AssistantResponse {
            content: Cow::Borrowed(content),
            session_id: session?,
            merged: *merged,
        },
        Body::Command { command, content } => ServerBody::CommandExecuted {
            command: with_slash(command),
            content: content.into(),
            session_id: session,
        },
        Body::Error { code, message } => ServerBody::Error {
            code: code.as_str().into(),
            message: message.into(),
            session_id: session,
        },
        Body::Created { title } => ServerBody::SessionCreated {
            session_id: session?,
            title: title.into(),
        },
        Body::List { dialogs, has_more } => ServerBody::SessionList {
            sessions: dialogs
                .iter()
                .map(|dialog| session_info(dialog, None))
                .collect(),
            has_more: *has_more,
        },
        Body::Loaded {
            messages,
            has_more,
            detail,
        } => {
            let detail = detail.as_ref();
            ServerBody::SessionLoaded {
                session_id: session?,
                messages: messages
                    .iter()
                    .map(|item| history_entry(item, detail.is_some()))
                    .collect(),
                has_more: *has_more,
                before: detail.and_then(|detail| detail.before),
                title: detail.map(|detail| (&detail.title).into()),
                model: detail.map(|detail| (&detail.model).into()),
                token_limit: detail.and_then(|detail| detail.meter.limit),
                context_tokens: detail.and_then(|detail| detail.meter.context),
            }
        }
        Body::Updated { dialog, state } => {
            ServerBody::SessionUpdated(session_info(dialog, Some(*state)))
        }
        Body::TakenBack { content, input } => ServerBody::InputTakenBack {
            session_id: session?,
            content: content.into(),
            input: input.as_deref().map(Cow::from),
        },
        Body::Exported { content, next } => ServerBody::SessionExported {
            session_id: session?,
            content: content.into(),
            next: *next,
        },
        Body::Found { items } => ServerBody::SearchResults {
            results: items.iter().map(found_message).collect(),
        },
        Body::Renamed { title } => ServerBody::SessionRenamed {
            session_id: session?,
            title: title.into(),
        },
        Body::Archived => ServerBody::SessionArchived {
            session_id: session?,
        },
        Body::Deleted => ServerBody::SessionDeleted {
            session_id: session?,
        },
        Body::Cleared => ServerBody::HistoryCleared {
            session_id: session?,
        },
        Body::Commands { commands } => ServerBody::SlashCommandsList {
            commands: commands.iter().map(command_info).collect(),
        },
        Body::Deliveries { deliveries } => ServerBody::OutboxList {
            deliveries: deliveries.iter().map(delivery).collect(),
        },
        Body::Grants { grants } => ServerBody::GrantsList {
            grants: grants.iter().map(grant).collect(),
        },
        Body::Pong => ServerBody::Pong {},
        Body::Notification { content } => ServerBody::SystemNotification {
            content: content.into(),
            session_id: session,
        },
    })
}

fn session_info(dialog: &DialogInfo, state: Option<DialogState>) -> SessionInfo<'_> {
    SessionInfo {
        session_id: dialog.session.to_string().into(),
        title: (&dialog.title).into(),
        archived: dialog.archived,
        updated_at: rfc3339(dialog.updated_at).into(),
        message_count: dialog.n_messages,
        state: state.map(|state| state.as_str().into()),
    }
}

fn found_message(item: &FoundItem) -> FoundMessage<'_> {
    FoundMessage {
        session_id: item.session.to_string().into(),
        title: (&item.title).into(),
        role: role(item.role).into(),
        created_at: rfc3339(item.created_at).into(),
        snippet: (&item.snippet).into(),
    }
}

fn history_entry(item: &HistoryItem, with_detail: bool) -> HistoryEntry<'_> {
    HistoryEntry {
        id: item.id.filter(|_| with_detail),
        reasoning: item.reasoning.as_deref().map(Cow::from),
        tool_calls: item.calls.iter().map(history_call).collect(),
        role: role(item.role).into(),
        content: (&item.content).into(),
        created_at: rfc3339(item.created_at).into(),
        state: item.state.as_str().into(),
    }
}

fn history_call(call: &bus::HistoryCall) -> HistoryCall<'_> {
    HistoryCall {
        call_id: (&call.call_id).into(),
        name: (&call.name).into(),
        arguments: (&call.arguments).into(),
        content: (&call.content).into(),
        state: (&call.state).into(),
        took_ms: call.took.map(millis),
    }
}

fn delivery(item: &DeliveryItem) -> DeliveryEntry<'_> {
    DeliveryEntry {
        id: item.id,
        to: (&item.to).into(),
        state: (&item.state).into(),
        attempts: item.attempts,
        error: item.error.as_deref().map(Cow::from),
        content: (&item.content).into(),
        created_at: rfc3339(item.created_at).into(),
        finished_at: item.finished_at.map(|at| rfc3339(at).into()),
    }
}

fn grant(item: &GrantItem) -> GrantEntry<'_> {
    GrantEntry {
        id: item.id,
        name: (&item.tool).into(),
        summary: (&item.summary).into(),
        created_at: rfc3339(item.created_at).into(),
        n_used: item.n_used,
        used_at: item.used_at.map(|at| rfc3339(at).into()),
    }
}

fn command_info(
    (name, usage, description): &(&'static str, &'static str, &'static str),
) -> CommandInfo<'static> {
    CommandInfo {
        name: with_slash(name),
        usage: with_slash(usage),
        description: (*description).into(),
    }
}

/// Inside a command's name has no slash; on the wire it stands as a person types it.
fn with_slash(name: &str) -> Cow<'_, str> {
    if name.starts_with('/') {
        name.into()
    } else {
        format!("/{name}").into()
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn token_usage(usage: Usage) -> TokenUsage {
    TokenUsage {
        input_tokens: usage.input,
        output_tokens: usage.output,
        cached_tokens: usage.cached,
        reasoning_tokens: usage.reasoning,
    }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
