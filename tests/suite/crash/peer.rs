//! A client that gives tasks to a gateway which may die at any moment, and remembers what it was promised.
//!
//! Runs on a thread of its own while the gateway lives. An input that was never acknowledged is sent again with the same
//! request id over the next connection; an acknowledged one is not, so that a loss shows.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};
use tungstenite::Error;

use super::plan;
use crate::support::ws::Client;

/// Tasks under way on one connection.
const WINDOW: usize = 4;
/// Tasks given to one dialog.
const TASKS_PER_CHAT: usize = 12;

/// How a client learns that an input is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Proof {
    /// By `input_accepted`.
    Accepted,
    /// By the `pong` behind it.
    Pong,
}

/// One input and what became of it.
pub(super) struct Task {
    /// Its name, which is also its request id.
    pub(super) name: String,
    /// The chat it goes to.
    pub(super) chat: String,
    /// Whether the gateway has promised to keep it.
    pub(super) acknowledged: bool,
    /// Its answer, once there was one.
    pub(super) answer: Option<Reply>,
}

/// What ends an input, without what may differ between two tellings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reply {
    /// `assistant_response` or `error`.
    pub(super) kind: String,
    /// The content, or the error's message.
    pub(super) text: String,
}

impl Reply {
    /// Reads a message; `None` if it ends no input.
    pub(super) fn of(message: &Value) -> Option<Self> {
        let kind = message["type"].as_str()?;
        let field = match kind {
            "assistant_response" => "content",
            "error" => "message",
            _ => return None,
        };
        Some(Self {
            kind: kind.to_owned(),
            text: message[field].as_str()?.to_owned(),
        })
    }
}

/// A client with its tasks, over all lives of the gateway.
pub(super) struct Peer {
    proof: Proof,
    letter: char,
    /// In the order given.
    pub(super) tasks: Vec<Task>,
}

impl Peer {
    /// Makes a client without tasks; its letter begins their names.
    pub(super) fn new(letter: char, proof: Proof) -> Self {
        Self {
            proof,
            letter,
            tasks: Vec::new(),
        }
    }

    /// Gives tasks until there are `limit` and all of them are acknowledged or answered, or the gateway has gone.
    pub(super) fn work(&mut self, port: u16, limit: usize) {
        let Ok(client) = Client::try_connect(port) else {
            return;
        };
        let visit = Visit {
            client,
            peer: self,
            under_way: Vec::new(),
            pings: VecDeque::new(),
            answered: HashMap::new(),
        };
        // The end of the connection is the end of the gateway.
        let _ = visit.run(limit);
    }

    fn add_task(&mut self) {
        let n = self.tasks.len();
        // Two chats at a time, so that dialogs run side by side.
        let chat = n / (2 * TASKS_PER_CHAT) * 2 + n % 2;
        self.tasks.push(Task {
            name: format!("{}{n}", self.letter),
            chat: format!("{}-{chat}", self.letter),
            acknowledged: false,
            answer: None,
        });
    }
}

/// One connection.
struct Visit<'a> {
    client: Client,
    peer: &'a mut Peer,
    /// Indices of the tasks sent over it and not answered.
    under_way: Vec<usize>,
    /// For each ping under way, the task sent before it.
    pings: VecDeque<usize>,
    answered: HashMap<String, usize>,
}

impl Visit<'_> {
    fn run(mut self, limit: usize) -> Result<(), Error> {
        if self.peer.proof == Proof::Accepted {
            self.client
                .try_send(&json!({"type": "hello", "capabilities": ["input_accepted"]}))?;
        }
        let unsure = |task: &Task| !task.acknowledged && task.answer.is_none();
        let again: Vec<usize> = (0..self.peer.tasks.len())
            .filter(|index| unsure(&self.peer.tasks[*index]))
            .collect();
        for index in again {
            self.send(index)?;
        }
        loop {
            while self.under_way.len() < WINDOW && self.peer.tasks.len() < limit {
                self.peer.add_task();
                self.send(self.peer.tasks.len() - 1)?;
            }
            if self.under_way.is_empty() {
                return Ok(());
            }
            let message = self.client.try_next()?;
            self.take(&message);
        }
    }

    fn send(&mut self, index: usize) -> Result<(), Error> {
        let task = &self.peer.tasks[index];
        let input = input(task);
        self.under_way.push(index);
        self.client.try_send(&input)?;
        if self.peer.proof == Proof::Pong {
            self.pings.push_back(index);
            self.client.try_send(&json!({"type": "ping"}))?;
        }
        Ok(())
    }

    fn take(&mut self, message: &Value) {
        if message["type"] == "pong" {
            let index = self.pings.pop_front().expect("a pong without a ping");
            self.peer.tasks[index].acknowledged = true;
            return;
        }
        let Some(name) = message["request_id"].as_str() else {
            panic!("not asked for: {message}");
        };
        let index = self.peer.tasks.iter().position(|task| task.name == name);
        let index = index.expect("a reply to nothing");
        let task = &mut self.peer.tasks[index];
        if message["type"] == "input_accepted" {
            task.acknowledged = true;
            return;
        }
        let Some(reply) = Reply::of(message) else {
            assert_eq!(message["type"], "system_notification", "{message}");
            return;
        };
        let times = self.answered.entry(name.to_owned()).or_default();
        *times += 1;
        assert_eq!(*times, 1, "answered twice: {message}");
        task.answer = Some(reply);
        self.under_way.retain(|other| *other != index);
    }
}

/// Returns the message that gives a task, the same every time.
pub(super) fn input(task: &Task) -> Value {
    json!({
        "type": "user_input",
        "content": plan::wish(&task.name),
        "chat_id": task.chat,
        "request_id": task.name,
    })
}
