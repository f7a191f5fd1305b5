//! Who waits for the answer of a running turn. Shared by the `session` thread, which adds repeats of the same request,
//! and the turn's thread, which answers; so that nobody is forgotten between the two.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::wording;
use crate::bus::{Body, Caller, ErrorCode, Outbound, Sink};
use crate::chat::SessionId;
use crate::storage::StoredReply;

/// The waiting callers of one turn, or its answer.
pub(super) struct Replies {
    session: SessionId,
    sink: Arc<dyn Sink>,
    state: Mutex<State>,
}

enum State {
    Waiting(Vec<Caller>),
    Answered(StoredReply),
}

impl Replies {
    pub(super) fn new(session: SessionId, sink: Arc<dyn Sink>, callers: Vec<Caller>) -> Self {
        Self {
            session,
            sink,
            state: Mutex::new(State::Waiting(callers)),
        }
    }

    /// Adds a caller; one that comes after the answer gets it at once.
    pub(super) fn add(&self, caller: Caller) {
        let answered = match &mut *self.lock() {
            State::Waiting(callers) => {
                callers.push(caller);
                return;
            }
            State::Answered(reply) => reply.clone(),
        };
        send(&*self.sink, &self.session, &caller, reply_body(&answered));
    }

    /// Answers everybody, once.
    pub(super) fn answer(&self, reply: StoredReply) {
        let body = reply_body(&reply);
        let previous = std::mem::replace(&mut *self.lock(), State::Answered(reply));
        if let State::Waiting(callers) = previous {
            for caller in &callers {
                send(&*self.sink, &self.session, caller, body.clone());
            }
        }
    }

    /// Sends a message to the waiting callers that want its kind.
    pub(super) fn tell(&self, wants: impl Fn(&Caller) -> bool, body: impl Fn() -> Body) {
        let callers = match &*self.lock() {
            State::Waiting(callers) => callers
                .iter()
                .filter(|caller| wants(caller))
                .cloned()
                .collect(),
            State::Answered(_) => Vec::new(),
        };
        for caller in &callers {
            send(&*self.sink, &self.session, caller, body());
        }
    }

    /// Tells whether a waiting caller is of a kind.
    pub(super) fn any(&self, is: impl Fn(&Caller) -> bool) -> bool {
        match &*self.lock() {
            State::Waiting(callers) => callers.iter().any(is),
            State::Answered(_) => false,
        }
    }

    /// Never held while sending: a full sink would hold up the `session` thread.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send(sink: &dyn Sink, session: &SessionId, caller: &Caller, body: Body) {
    sink.push(Outbound {
        client: caller.client,
        request_id: caller.request_id.clone(),
        session: Some(session.clone()),
        body,
    });
}

/// Makes the stored form of an answer.
pub(super) fn answer_reply(text: &str) -> StoredReply {
    StoredReply {
        kind: "answer".to_owned(),
        code: String::new(),
        text: text.to_owned(),
    }
}

/// Makes the stored form of a failure.
pub(super) fn error_reply(code: ErrorCode, message: &str) -> StoredReply {
    StoredReply {
        kind: "error".to_owned(),
        code: code.as_str().to_owned(),
        text: message.to_owned(),
    }
}

/// Makes the stored form of a command's answer.
pub(super) fn command_reply(command: &str, content: &str) -> StoredReply {
    StoredReply {
        kind: "command".to_owned(),
        code: command.to_owned(),
        text: content.to_owned(),
    }
}

/// Turns a stored answer into what is sent.
pub(super) fn reply_body(reply: &StoredReply) -> Body {
    match reply.kind.as_str() {
        "answer" => Body::Answer {
            content: reply.text.as_str().into(),
            merged: false,
        },
        "command" => Body::Command {
            command: reply.code.clone(),
            content: reply.text.clone(),
        },
        _ => Body::Error {
            code: ErrorCode::from_word(&reply.code),
            message: if reply.text.is_empty() {
                wording::DELETED.to_owned()
            } else {
                reply.text.clone()
            },
        },
    }
}
