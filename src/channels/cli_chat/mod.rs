//! The channel of WebSocket clients: turns their JSON into bus messages and bus messages into their JSON.
//!
//! Lives on `gateway-io` and never blocks: it offers to the session's two lanes with `try_send` and keeps nothing of an
//! offer that was refused. It owns, per client, whether the token was shown and which additive messages were chosen.
//! Deliberately not here: sockets, limits and authentication (the door), SQL, and every decision about dialogs (session).

mod capabilities;
mod from_wire;
mod to_wire;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::SystemTime;

use crossbeam_channel::TrySendError;

use crate::bus::{
    Caller, ClientId, Control, ErrorCode, Inbound, InboundBody, Op, Outbound, SessionQueue, Wants,
};
use crate::chat::{ChannelId, ChatId, Route};
use crate::wire::{ClientMessage, ServerBody, ServerMessage};

use capabilities::Selection;
use from_wire::{Refusal, Request};

/// The channel's name.
pub const CHANNEL: &str = "cli_chat";
/// The chat a client speaks for unless it names another.
pub const CHAT: &str = "local";

/// What became of an event that was offered.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// It is dealt with.
    Taken,
    /// The session's queue is full and nothing has happened; offer the same event again later.
    Full,
}

/// Returns the frame that a client would get, whatever it asked for; `None` if a dialog should be named and is not.
pub fn frame(outbound: &Outbound) -> Option<String> {
    to_wire::message(outbound).map(|message| message.to_json())
}

/// The channel's state; owned by `gateway-io`.
pub struct CliChat {
    queue: SessionQueue,
    local: Route,
    clients: HashMap<ClientId, Client>,
    replies: Vec<(ClientId, String)>,
}

/// One connected client.
struct Client {
    trusted: bool,
    selection: Selection,
}

impl CliChat {
    /// Makes the channel without clients.
    pub fn new(queue: SessionQueue) -> Self {
        Self {
            queue,
            local: local_route(),
            clients: HashMap::new(),
            replies: Vec::new(),
        }
    }

    /// A client has connected; `trusted` tells whether it showed the gateway's token.
    pub fn connected(&mut self, client: ClientId, trusted: bool) -> Flow {
        let route = self.local.clone();
        let sent = self.offer(caller(client), InboundBody::Connected { route });
        if sent == Flow::Taken {
            let selection = Selection::default();
            self.clients.insert(client, Client { trusted, selection });
        }
        sent
    }

    /// A client has sent a text frame. Its answer comes through [`encode`](Self::encode), or at once through
    /// [`take_replies`](Self::take_replies) if the text asks for nothing the session could do.
    ///
    /// Frames of a client that is not connected are dropped.
    pub fn text(&mut self, client: ClientId, text: &str) -> Flow {
        let Some(state) = self.clients.get_mut(&client) else {
            return Flow::Taken;
        };
        let message = match ClientMessage::parse(text) {
            Ok(message) => message,
            Err(fault) => {
                let (refusal, request_id) = Refusal::from_fault(fault);
                self.refuse(client, request_id, refusal);
                return Flow::Taken;
            }
        };
        let caller = Caller {
            client,
            request_id: message.request_id,
            wants: state.selection.wants(state.trusted),
        };
        match from_wire::request(message.body, &self.local, state.trusted) {
            Ok(Request::Hello(selection)) => self.choose(caller, selection),
            Ok(Request::Inbound(body)) => self.offer(caller, body),
            Ok(Request::Control(op)) => self.overtake(caller, op),
            Err(refusal) => {
                self.refuse(client, caller.request_id, refusal);
                Flow::Taken
            }
        }
    }

    /// Returns the frame that answers a binary frame; `None` for a client that is not connected.
    pub fn binary(&mut self, client: ClientId) -> Option<String> {
        self.clients.get(&client)?;
        Some(
            Refusal {
                code: ErrorCode::BadRequest,
                message: "Binary frames are not understood; send JSON in text frames.".to_owned(),
            }
            .to_json(None),
        )
    }

    /// A client has gone. On [`Flow::Full`] it is still known, so that the event can be offered again.
    pub fn closed(&mut self, client: ClientId) -> Flow {
        if !self.clients.contains_key(&client) {
            return Flow::Taken;
        }
        let sent = self.offer(caller(client), InboundBody::Disconnected);
        if sent == Flow::Taken {
            self.clients.remove(&client);
            self.replies.retain(|(to, _)| *to != client);
        }
        sent
    }

    /// Returns the frame for a message of the session; `None` if its client has gone or did not ask for this type.
    pub fn encode(&self, outbound: &Outbound) -> Option<String> {
        let selection = self.clients.get(&outbound.client)?.selection;
        let additive = capabilities::additive(&outbound.body);
        if additive.is_some_and(|kind| !selection.contains(kind)) {
            return None;
        }
        if let Some(message) = to_wire::message(outbound) {
            return Some(message.to_json());
        }
        log::error!("the session sent a message that should name a dialog and does not");
        if additive.is_some() {
            return None;
        }
        Some(
            Refusal {
                code: ErrorCode::Internal,
                message: "The gateway lost track of the dialog; load it and ask again.".to_owned(),
            }
            .to_json(outbound.request_id.as_deref()),
        )
    }

    /// Takes the frames that answer at once what never reached the session, oldest first.
    pub fn take_replies(&mut self) -> Vec<(ClientId, String)> {
        std::mem::take(&mut self.replies)
    }

    /// Notes a choice of additive messages. The session is told only of what it sends unasked.
    fn choose(&mut self, caller: Caller, selection: Selection) -> Flow {
        let client = caller.client;
        let Some(state) = self.clients.get(&client) else {
            return Flow::Taken;
        };
        let wants = selection.wants(state.trusted);
        let known = state.selection.wants(state.trusted);
        let is_news = (wants.sessions, wants.approvals) != (known.sessions, known.approvals);
        if is_news && self.offer(Caller { wants, ..caller }, InboundBody::Wants) == Flow::Full {
            return Flow::Full;
        }
        if let Some(state) = self.clients.get_mut(&client) {
            state.selection = selection;
        }
        Flow::Taken
    }

    /// Offers to the ordered lane. When the session has ended the client is told, since nothing else will.
    fn offer(&mut self, caller: Caller, body: InboundBody) -> Flow {
        let at = SystemTime::now();
        match self.queue.inbound.try_send(Inbound { caller, body, at }) {
            Ok(()) => Flow::Taken,
            Err(TrySendError::Full(_)) => Flow::Full,
            Err(TrySendError::Disconnected(Inbound { caller, .. })) => {
                self.refuse(caller.client, caller.request_id, Refusal::shutting_down());
                Flow::Taken
            }
        }
    }

    /// Offers to the overtaking lane. Full is answered, not offered again: a `/stop` that waits is worth nothing.
    fn overtake(&mut self, caller: Caller, op: Op) -> Flow {
        let (caller, refusal) = match self.queue.control.try_send(Control { caller, op }) {
            Ok(()) => return Flow::Taken,
            Err(TrySendError::Full(control)) => (control.caller, Refusal::queue_full()),
            Err(TrySendError::Disconnected(control)) => (control.caller, Refusal::shutting_down()),
        };
        self.refuse(caller.client, caller.request_id, refusal);
        Flow::Taken
    }

    fn refuse(&mut self, client: ClientId, request_id: Option<String>, refusal: Refusal) {
        self.replies
            .push((client, refusal.to_json(request_id.as_deref())));
    }
}

impl Refusal {
    fn to_json(&self, request_id: Option<&str>) -> String {
        ServerMessage {
            body: ServerBody::Error {
                code: self.code.as_str().into(),
                message: self.message.as_str().into(),
                session_id: None,
            },
            request_id: request_id.map(Into::into),
        }
        .to_json()
    }
}

/// The caller of an event that is no request.
fn caller(client: ClientId) -> Caller {
    Caller {
        client,
        request_id: None,
        wants: Wants::default(),
    }
}

fn local_route() -> Route {
    Route {
        channel: ChannelId::new(CHANNEL).expect("the constant is a valid name"),
        chat: ChatId::new(CHAT).expect("the constant is a valid name"),
    }
}
