//! Hands clients' messages to the handler and remembers who must wait because the queue behind it is full.
//!
//! Runs on `gateway-io`; holds no sockets. A waiting client is not read, so at most one message of each client waits.
//! Texts may be tried past those who wait, so that a command for a queue with room is not held up; arrivals and
//! departures keep their order, which bounds the line by the number of clients.

use std::collections::VecDeque;
use std::sync::Arc;

use tungstenite::Utf8Bytes;

use crate::bus::{ClientId, Outbound};

use super::{Flow, Gate, Handler};

/// Something the handler must be told.
enum Item {
    Connected { trusted: bool },
    Text(Utf8Bytes),
    Closed,
}

struct Waiting {
    client: ClientId,
    item: Item,
    /// The client has left meanwhile; `Closed` follows the item.
    gone: bool,
}

/// A client whose message was taken at last.
pub(super) struct Freed {
    pub(super) client: ClientId,
    /// Texts to send it.
    pub(super) replies: Vec<String>,
}

/// The handler and the line before it.
pub(super) struct Intake<H> {
    handler: H,
    line: VecDeque<Waiting>,
    gate: Arc<Gate>,
}

impl<H: Handler> Intake<H> {
    pub(super) fn new(handler: H, gate: Arc<Gate>) -> Self {
        Self {
            handler,
            line: VecDeque::new(),
            gate,
        }
    }

    /// Announces a client. `Full`: it must not be read until [`Intake::retry`] frees it.
    pub(super) fn connected(&mut self, client: ClientId, trusted: bool) -> Flow {
        self.in_order(client, Item::Connected { trusted })
    }

    /// Offers a text. `Full`: it is kept here, and the client must not be read until [`Intake::retry`] frees it.
    pub(super) fn text(
        &mut self,
        client: ClientId,
        text: Utf8Bytes,
        replies: &mut Vec<String>,
    ) -> Flow {
        let item = Item::Text(text);
        let flow = self.try_twice(client, &item, replies);
        if flow == Flow::Full {
            self.wait(client, item);
        }
        flow
    }

    /// Returns the answer to a binary message.
    pub(super) fn binary(&mut self, client: ClientId) -> Option<String> {
        self.handler.binary(client)
    }

    /// Returns the text of an outbound message.
    pub(super) fn encode(&mut self, outbound: &Outbound) -> Option<String> {
        self.handler.encode(outbound)
    }

    /// Tells that a client has left, after anything of it that still waits.
    pub(super) fn closed(&mut self, client: ClientId) {
        let Some(at) = self
            .line
            .iter()
            .position(|waiting| waiting.client == client)
        else {
            self.in_order(client, Item::Closed);
            return;
        };
        if matches!(self.line[at].item, Item::Connected { .. }) {
            // Never announced, so its leaving is no news.
            self.line.remove(at);
        } else {
            self.line[at].gone = true;
        }
    }

    /// Tells whether somebody waits and the queue was reported to have room.
    pub(super) fn may_retry(&self) -> bool {
        !self.line.is_empty() && self.gate.is_open()
    }

    /// Offers again what waits, in order, until the queue is full again; returns the clients that may be read again.
    pub(super) fn retry(&mut self) -> Vec<Freed> {
        let mut freed = Vec::new();
        while let Some(waiting) = self.line.pop_front() {
            let mut replies = Vec::new();
            if self.try_twice(waiting.client, &waiting.item, &mut replies) == Flow::Full {
                self.line.push_front(waiting);
                break;
            }
            if waiting.gone {
                self.line.push_front(Waiting {
                    item: Item::Closed,
                    gone: false,
                    ..waiting
                });
            } else if !matches!(waiting.item, Item::Closed) {
                freed.push(Freed {
                    client: waiting.client,
                    replies,
                });
            }
        }
        freed
    }

    fn in_order(&mut self, client: ClientId, item: Item) -> Flow {
        if self.line.is_empty() && self.try_twice(client, &item, &mut Vec::new()) == Flow::Taken {
            return Flow::Taken;
        }
        self.wait(client, item);
        Flow::Full
    }

    fn wait(&mut self, client: ClientId, item: Item) {
        self.line.push_back(Waiting {
            client,
            item,
            gone: false,
        });
    }

    /// The second try comes after the gate was closed: whoever made room before saw an open gate and will not wake us.
    fn try_twice(&mut self, client: ClientId, item: &Item, replies: &mut Vec<String>) -> Flow {
        if self.offer(client, item, replies) == Flow::Taken {
            return Flow::Taken;
        }
        self.gate.close();
        self.offer(client, item, replies)
    }

    fn offer(&mut self, client: ClientId, item: &Item, replies: &mut Vec<String>) -> Flow {
        match item {
            Item::Connected { trusted } => self.handler.connected(client, *trusted),
            Item::Text(text) => self.handler.text(client, text, replies),
            Item::Closed => self.handler.closed(client),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as many as there is room for.
    #[derive(Default)]
    struct Narrow {
        room: usize,
        taken: Vec<String>,
    }

    impl Narrow {
        fn take(&mut self, what: String) -> Flow {
            if self.room == 0 {
                return Flow::Full;
            }
            self.room -= 1;
            self.taken.push(what);
            Flow::Taken
        }
    }

    impl Handler for Narrow {
        fn connected(&mut self, client: ClientId, _: bool) -> Flow {
            self.take(format!("{} came", client.0))
        }

        fn text(&mut self, client: ClientId, text: &str, replies: &mut Vec<String>) -> Flow {
            let flow = self.take(format!("{} says {text}", client.0));
            if flow == Flow::Taken {
                replies.push(format!("got {text}"));
            }
            flow
        }

        fn binary(&mut self, _: ClientId) -> Option<String> {
            None
        }

        fn encode(&mut self, _: &Outbound) -> Option<String> {
            None
        }

        fn closed(&mut self, client: ClientId) -> Flow {
            self.take(format!("{} left", client.0))
        }
    }

    fn intake() -> Intake<Narrow> {
        Intake::new(Narrow::default(), Arc::default())
    }

    fn say(intake: &mut Intake<Narrow>, client: u64, text: &'static str) -> Flow {
        intake.text(ClientId(client), text.into(), &mut Vec::new())
    }

    #[test]
    fn what_waits_is_told_in_order_and_leaving_comes_last() {
        let mut intake = intake();
        let (one, two, three) = (ClientId(1), ClientId(2), ClientId(3));
        intake.handler.room = 2;
        assert_eq!(intake.connected(one, false), Flow::Taken);
        assert_eq!(intake.connected(two, false), Flow::Taken);
        assert_eq!(say(&mut intake, 1, "a"), Flow::Full);
        assert_eq!(intake.connected(three, true), Flow::Full);
        intake.closed(two);
        intake.closed(one);

        intake.handler.room = 1;
        assert!(intake.retry().is_empty());
        intake.handler.room = 9;
        let freed = intake.retry();
        assert_eq!(freed.len(), 1);
        assert_eq!(freed[0].client, three);
        let told = ["1 came", "2 came", "1 says a", "1 left", "3 came", "2 left"];
        assert_eq!(intake.handler.taken, told);
        assert!(!intake.may_retry());
    }

    #[test]
    fn a_client_that_was_never_announced_leaves_quietly() {
        let mut intake = intake();
        assert_eq!(intake.connected(ClientId(1), false), Flow::Full);
        intake.closed(ClientId(1));
        intake.handler.room = 9;
        assert!(intake.retry().is_empty());
        assert!(intake.handler.taken.is_empty());
    }

    #[test]
    fn texts_are_tried_past_the_line_but_arrivals_are_not() {
        let mut intake = intake();
        assert_eq!(say(&mut intake, 1, "a"), Flow::Full);
        intake.handler.room = 9;
        assert_eq!(say(&mut intake, 2, "b"), Flow::Taken);
        assert_eq!(intake.connected(ClientId(3), false), Flow::Full);
        let freed = intake.retry();
        assert_eq!(freed[0].replies, ["got a"]);
        assert_eq!(intake.handler.taken, ["2 says b", "1 says a", "3 came"]);
    }

    #[test]
    fn a_full_queue_closes_the_gate_and_resuming_opens_it() {
        let mut intake = intake();
        assert_eq!(say(&mut intake, 1, "a"), Flow::Full);
        assert!(!intake.may_retry());
        assert!(intake.gate.open());
        assert!(intake.may_retry());
        assert!(!intake.gate.open(), "nobody needs to be woken twice");
        intake.retry();
        assert!(!intake.may_retry(), "still full");
    }
}
