//! Connected clients and the dialog each speaks in. Owned by the `session` thread.

use std::collections::HashMap;

use crate::bus::{ClientId, Wants};
use crate::chat::{ChannelId, ChatId, Route};
use crate::storage::DialogKey;

/// Chats for which one client may hold a dialog of its own; the oldest choice is dropped.
const MAX_CHOICES: usize = 64;

/// What a client speaks in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Client {
    /// The chat it speaks in.
    route: Route,
    /// Its own dialog in each chat where it has one: others who move the chat do not move it.
    choices: Vec<(Route, DialogKey)>,
    /// Whether it wants to know of changes it did not ask for.
    watches: bool,
    /// Whether it may be asked about tool calls.
    approves: bool,
}

impl Client {
    pub(super) fn new(route: Route) -> Self {
        Self {
            route,
            choices: Vec::new(),
            watches: false,
            approves: false,
        }
    }

    fn choice(&self, route: &Route) -> Option<DialogKey> {
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

    /// Speaks in the chat's current dialog again.
    fn forget(&mut self, route: &Route) {
        self.choices.retain(|(chosen, _)| chosen != route);
    }
}

/// All connected clients.
#[derive(Default)]
pub(super) struct Clients {
    known: HashMap<ClientId, Client>,
    /// Whether [`Clients::approvers`] may give something else than before.
    approvers_changed: bool,
}

impl Clients {
    pub(super) fn insert(&mut self, id: ClientId, client: Client) {
        self.approvers_changed |= client.approves;
        self.known.insert(id, client);
    }

    pub(super) fn remove(&mut self, id: ClientId) {
        let gone = self.known.remove(&id);
        self.approvers_changed |= gone.is_some_and(|client| client.approves);
        if self.known.is_empty() {
            self.known.shrink_to_fit();
        }
    }

    /// Returns the chat a client speaks in; one that has gone, or never said, speaks in the local chat.
    pub(super) fn route(&self, id: ClientId) -> Route {
        self.known
            .get(&id)
            .map_or_else(local_chat, |client| client.route.clone())
    }

    /// Returns the dialog a client chose in a chat.
    pub(super) fn choice(&self, id: ClientId, route: &Route) -> Option<DialogKey> {
        self.known.get(&id)?.choice(route)
    }

    /// Makes a dialog a client's own. A client that has gone is not remembered again.
    pub(super) fn choose(&mut self, id: ClientId, route: &Route, key: DialogKey) {
        if let Some(client) = self.known.get_mut(&id) {
            client.choose(route, key);
            self.approvers_changed |= client.approves;
        }
    }

    /// Notes which additive messages a client chose.
    pub(super) fn set_wants(&mut self, id: ClientId, wants: Wants) {
        if let Some(client) = self.known.get_mut(&id) {
            client.watches = wants.sessions;
            self.approvers_changed |= client.approves != wants.approvals;
            client.approves = wants.approvals;
        }
    }

    /// Lists the clients that speak in a chat and want to know of its changes.
    pub(super) fn watchers(&self, route: &Route) -> Vec<ClientId> {
        let watching = self.known.iter().filter(|(_, client)| {
            client.watches
                && (client.route == *route || client.choices.iter().any(|(chat, _)| chat == route))
        });
        watching.map(|(id, _)| *id).collect()
    }

    /// Lists the clients that may be asked about tool calls, with the chat each speaks in, if that has changed since the
    /// last call.
    pub(super) fn changed_approvers(&mut self) -> Option<Vec<(ClientId, Route)>> {
        if !std::mem::take(&mut self.approvers_changed) {
            return None;
        }
        let approving = self.known.iter().filter(|(_, client)| client.approves);
        Some(
            approving
                .map(|(id, client)| (*id, client.route.clone()))
                .collect(),
        )
    }

    /// Takes a client's choice back if it is this dialog.
    pub(super) fn forget(&mut self, id: ClientId, route: &Route, key: DialogKey) {
        if let Some(client) = self.known.get_mut(&id)
            && client.choice(route) == Some(key)
        {
            client.forget(route);
        }
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
