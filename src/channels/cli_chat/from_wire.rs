//! Client messages → bus messages. Pure; runs on `gateway-io`.
//!
//! Ids become typed here, and this is the one place that asks for the token: whoever names another channel than
//! `cli_chat`, in whatever field, must have shown it.

use std::str::FromStr;

use crate::bus::{ApprovalAnswer, ErrorCode, InboundBody, Op, OutboxOp, TextForm};
use crate::chat::{
    Attachment, ChannelId, ChatId, IdError, Input, Lane, Route, SessionId, classify,
};
use crate::wire::{
    ClientBody, Decision, ExportForm, FaultCode, GrantsAction, OutboxAction, ParseFault,
};

use super::capabilities::Selection;

/// What a client message asks for.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Request {
    /// A choice of additive messages; nothing for the session.
    Hello(Selection),
    /// For the ordered lane.
    Inbound(InboundBody),
    /// For the overtaking lane.
    Control(Op),
}

/// Why a request is answered at once with an error.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    /// One sentence for people.
    pub(super) message: String,
}

impl Refusal {
    /// Splits a parse fault into the refusal and the request's id.
    pub(super) fn from_fault(fault: ParseFault) -> (Self, Option<String>) {
        let code = match fault.code {
            FaultCode::BadRequest => ErrorCode::BadRequest,
            FaultCode::UnknownType => ErrorCode::UnknownType,
        };
        let message = fault.message;
        (Self { code, message }, fault.request_id)
    }

    pub(super) fn queue_full() -> Self {
        Self {
            code: ErrorCode::QueueFull,
            message: "Too many requests are waiting; try again in a moment.".to_owned(),
        }
    }

    pub(super) fn shutting_down() -> Self {
        Self {
            code: ErrorCode::ShuttingDown,
            message: "The gateway is ending; connect again when it is back.".to_owned(),
        }
    }

    fn token_needed(what: &str) -> Self {
        Self {
            code: ErrorCode::Forbidden,
            message: format!(
                "{what} needs the gateway's token: connect with `Authorization: Bearer TOKEN`."
            ),
        }
    }

    fn bad_id(field: &str, error: &IdError) -> Self {
        Self {
            code: ErrorCode::BadRequest,
            message: format!("The field `{field}` is not valid: {error}."),
        }
    }
}

/// Maps a message. `local` is the route of clients that name none; `trusted` tells whether the token was shown.
pub(super) fn request(body: ClientBody, local: &Route, trusted: bool) -> Result<Request, Refusal> {
    let ids = Ids { local, trusted };
    let body = match body {
        ClientBody::UserInput {
            content,
            channel,
            chat_id,
            sender_id,
            session_id,
            images,
        } => {
            let session = ids.session(session_id)?;
            let route = ids.route(channel, chat_id)?;
            if let (Input::Command(command), Lane::Control) = classify(&content) {
                return Ok(Request::Control(Op::Command {
                    route,
                    session,
                    command,
                }));
            }
            let files = images.into_iter();
            InboundBody::Input {
                route,
                session,
                sender: sender_id,
                text: content,
                files: files
                    .map(|image| Attachment::new(&image.name, image.data))
                    .collect(),
                guest: false,
            }
        }
        ClientBody::Hello { capabilities } => {
            return Ok(Request::Hello(Selection::from_names(&capabilities)));
        }
        ClientBody::ApprovalReply {
            approval_id,
            decision,
        } if trusted => {
            return Ok(Request::Control(Op::Approve {
                id: approval_id,
                answer: match decision {
                    Decision::Allow => ApprovalAnswer::Allow,
                    Decision::Always => ApprovalAnswer::Always,
                    Decision::Deny => ApprovalAnswer::Deny,
                },
            }));
        }
        ClientBody::ApprovalReply { .. } => return Err(Refusal::token_needed("An approval")),
        ClientBody::Outbox { .. } if !trusted => {
            return Err(Refusal::token_needed("The outbox"));
        }
        ClientBody::Outbox {
            action,
            ids,
            include_sent,
        } => InboundBody::Outbox {
            op: match action {
                OutboxAction::List => OutboxOp::List,
                OutboxAction::Retry => OutboxOp::Retry,
                OutboxAction::Drop => OutboxOp::Drop,
            },
            ids,
            all: include_sent,
        },
        ClientBody::Grants { .. } if !trusted => return Err(Refusal::token_needed("Grants")),
        ClientBody::Grants { action, ids } => InboundBody::Grants {
            revoke: match action {
                GrantsAction::List => None,
                GrantsAction::Revoke => Some(ids.unwrap_or_default()),
            },
        },
        ClientBody::ClearHistory {
            chat_id,
            session_id,
        } => InboundBody::Clear {
            session: ids.session(session_id)?,
            route: ids.route(None, chat_id)?,
        },
        ClientBody::CreateSession { title } => InboundBody::Create { title },
        ClientBody::ListSessions {
            include_archived,
            all_chats,
            offset,
        } => InboundBody::List {
            archived: include_archived,
            all: ids.everything(all_chats)?,
            offset,
        },
        ClientBody::TakeBack { input } => InboundBody::TakeBack { input },
        ClientBody::ExportSession {
            session_id,
            after,
            form,
        } => InboundBody::Export {
            session: ids.exact(&session_id)?,
            after,
            form: match form {
                ExportForm::Markdown => TextForm::Markdown,
                ExportForm::Json => TextForm::Json,
            },
        },
        ClientBody::SearchMessages {
            query,
            limit,
            all_chats,
        } => InboundBody::Search {
            query,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            all: ids.everything(all_chats)?,
        },
        ClientBody::LoadSession {
            session_id,
            detail,
            before,
        } => InboundBody::Load {
            session: ids.exact(&session_id)?,
            detail,
            before,
        },
        ClientBody::RenameSession { session_id, title } => InboundBody::Rename {
            session: ids.session(session_id)?,
            title,
        },
        ClientBody::ArchiveSession { session_id } => InboundBody::Archive {
            session: ids.session(session_id)?,
        },
        ClientBody::DeleteSession { session_id } => InboundBody::Delete {
            session: ids.session(session_id)?,
        },
        ClientBody::GetSlashCommands => InboundBody::Commands,
        ClientBody::Ping => InboundBody::Ping,
    };
    Ok(Request::Inbound(body))
}

/// Reads the ids of one client.
struct Ids<'a> {
    local: &'a Route,
    trusted: bool,
}

impl Ids<'_> {
    fn session(&self, id: Option<String>) -> Result<Option<SessionId>, Refusal> {
        id.map(|id| self.exact(&id)).transpose()
    }

    fn exact(&self, id: &str) -> Result<SessionId, Refusal> {
        let session = SessionId::from_str(id).map_err(|e| Refusal::bad_id("session_id", &e))?;
        self.allow(&session.channel)?;
        Ok(session)
    }

    /// Fills up what was left out; `None` if both were.
    fn route(
        &self,
        channel: Option<String>,
        chat: Option<String>,
    ) -> Result<Option<Route>, Refusal> {
        if channel.is_none() && chat.is_none() {
            return Ok(None);
        }
        let mut route = self.local.clone();
        if let Some(channel) = channel {
            route.channel = ChannelId::new(&channel).map_err(|e| Refusal::bad_id("channel", &e))?;
            self.allow(&route.channel)?;
        }
        if let Some(chat) = chat {
            route.chat = ChatId::new(&chat).map_err(|e| Refusal::bad_id("chat_id", &e))?;
        }
        Ok(Some(route))
    }

    fn everything(&self, wanted: bool) -> Result<bool, Refusal> {
        if wanted && !self.trusted {
            return Err(Refusal::token_needed("Every chat"));
        }
        Ok(wanted)
    }

    fn allow(&self, channel: &ChannelId) -> Result<(), Refusal> {
        if self.trusted || *channel == self.local.channel {
            Ok(())
        } else {
            Err(Refusal::token_needed("Another channel than cli_chat"))
        }
    }
}
