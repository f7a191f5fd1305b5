//! Who waits for the answer of a running turn. Shared by the `session` thread, which adds repeats of the same request,
//! and the turn's thread, which answers; so that nobody is forgotten between the two.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::wording;
use crate::bus::{Body, Caller, ErrorCode, Outbound, Sink};
use crate::chat::SessionId;
use crate::storage::{StoredReply, TurnId};

/// The waiting callers of one turn, or its answer.
pub(super) struct Replies {
    session: SessionId,
    sink: Arc<dyn Sink>,
    state: Mutex<State>,
}

struct Waiter {
    caller: Caller,
    /// Whether its input joined the turn of another one.
    joined: bool,
}

enum State {
    Waiting(Vec<Waiter>),
    Answered(StoredReply),
}

impl Replies {
    /// `joined` are the callers whose inputs joined the turn.
    pub(super) fn new(
        session: SessionId,
        sink: Arc<dyn Sink>,
        callers: Vec<Caller>,
        joined: Vec<Caller>,
    ) -> Self {
        let waiters = |callers: Vec<Caller>, joined| {
            let callers = callers.into_iter();
            callers.map(move |caller| Waiter { caller, joined })
        };
        let all = waiters(callers, false).chain(waiters(joined, true));
        Self {
            session,
            sink,
            state: Mutex::new(State::Waiting(all.collect())),
        }
    }

    /// Returns the dialog.
    pub(super) fn session(&self) -> &SessionId {
        &self.session
    }

    /// Adds a caller; one that comes after the answer gets it at once.
    pub(super) fn add(&self, caller: Caller) {
        self.add_waiter(Waiter {
            caller,
            joined: false,
        });
    }

    /// Adds a caller whose input joined the turn.
    pub(super) fn add_joined(&self, caller: Caller) {
        self.add_waiter(Waiter {
            caller,
            joined: true,
        });
    }

    /// Adds a caller whose input joins the turn now, and tells it so.
    pub(super) fn join(&self, caller: Caller, turn: TurnId) {
        if caller.wants.turns {
            let body = Body::TurnStarted { turn: turn.0 };
            send(&*self.sink, &self.session, &caller, body);
        }
        self.add_joined(caller);
    }

    fn add_waiter(&self, waiter: Waiter) {
        let answered = match &mut *self.lock() {
            State::Waiting(waiters) => {
                waiters.push(waiter);
                return;
            }
            State::Answered(reply) => reply.clone(),
        };
        self.send_answer(&waiter, reply_body(&answered));
    }

    fn send_answer(&self, waiter: &Waiter, mut body: Body) {
        if let Body::Answer { merged, .. } = &mut body {
            *merged = waiter.joined;
        }
        send(&*self.sink, &self.session, &waiter.caller, body);
    }

    /// Answers everybody, once.
    pub(super) fn answer(&self, reply: StoredReply) {
        let body = reply_body(&reply);
        let previous = std::mem::replace(&mut *self.lock(), State::Answered(reply));
        if let State::Waiting(waiters) = previous {
            for waiter in &waiters {
                self.send_answer(waiter, body.clone());
            }
        }
    }

    /// Sends a message to the waiting callers that want its kind.
    pub(super) fn tell(&self, wants: impl Fn(&Caller) -> bool, body: impl Fn() -> Body) {
        let callers = match &*self.lock() {
            State::Waiting(waiters) => waiters
                .iter()
                .map(|waiter| &waiter.caller)
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
            State::Waiting(waiters) => waiters.iter().any(|waiter| is(&waiter.caller)),
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
pub(super) fn answer_reply(text: String) -> StoredReply {
    StoredReply {
        kind: "answer".to_owned(),
        code: String::new(),
        text,
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
        kind @ ("answer" | "merged") => Body::Answer {
            content: reply.text.as_str().into(),
            merged: kind == "merged",
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
