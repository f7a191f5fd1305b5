//! Connected clients and the dialog each speaks in. Owned by the `session` thread.

use std::collections::HashMap;

use crate::bus::ClientId;
use crate::chat::{ChannelId, ChatId, Route};
use crate::storage::DialogKey;

/// Chats for which one client may hold a dialog of its own; the oldest choice is dropped.
const MAX_CHOICES: usize = 64;

/// What a client speaks in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Client {
    /// The chat it named last.
    pub(super) route: Route,
    /// Its own dialog where that is not the chat's current one.
    choices: Vec<(Route, DialogKey)>,
}

impl Client {
    pub(super) fn new(route: Route) -> Self {
        Self {
            route,
            choices: Vec::new(),
        }
    }

    /// Returns the dialog the client chose in a chat.
    pub(super) fn choice(&self, route: &Route) -> Option<DialogKey> {
        self.choices
            .iter()
            .find(|(chosen, _)| chosen == route)
            .map(|(_, key)| *key)
    }

    /// Makes a dialog the client's own in its chat, and the chat the one it speaks in.
    pub(super) fn choose(&mut self, route: &Route, key: DialogKey) {
        self.forget(route);
        if self.choices.len() == MAX_CHOICES {
            self.choices.remove(0);
        }
        self.choices.push((route.clone(), key));
        self.route = route.clone();
    }

    /// Goes back to the chat's current dialog.
    pub(super) fn forget(&mut self, route: &Route) {
        self.choices.retain(|(chosen, _)| chosen != route);
    }
}

/// All connected clients.
#[derive(Default)]
pub(super) struct Clients {
    known: HashMap<ClientId, Client>,
}

impl Clients {
    pub(super) fn insert(&mut self, id: ClientId, client: Client) {
        self.known.insert(id, client);
    }

    pub(super) fn remove(&mut self, id: ClientId) {
        self.known.remove(&id);
        if self.known.is_empty() {
            self.known.shrink_to_fit();
        }
    }

    /// Returns a client; one that never connected speaks in the local chat.
    pub(super) fn get(&mut self, id: ClientId) -> &mut Client {
        self.known
            .entry(id)
            .or_insert_with(|| Client::new(local_chat()))
    }

    /// Returns a client as it is, to be put back if a commit fails.
    pub(super) fn snapshot(&self, id: ClientId) -> Option<Client> {
        self.known.get(&id).cloned()
    }

    /// Puts a client back as it was.
    pub(super) fn restore(&mut self, id: ClientId, client: Option<Client>) {
        match client {
            Some(client) => self.insert(id, client),
            None => self.remove(id),
        }
    }
}

fn local_chat() -> Route {
    Route {
        channel: ChannelId::new("cli_chat").expect("a legal name"),
        chat: ChatId::new("local").expect("a legal name"),
    }
}
