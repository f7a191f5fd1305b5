//! The intake before a session that takes nothing, with a store in memory.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;

use crossbeam_channel::bounded;
use serde_json::json;

use super::super::ports::{CardTrace, Store, StoreError, Trace};
use super::super::{Api, Board, Codes, Files, Mailbox};
use super::*;
use crate::bus::{SessionInbox, session_queue};
use crate::channels::feishu::policy::tests::config;
use crate::net::Trust;
use crate::observability::ChannelHealth;

/// Knows messages, and notes how many came together.
#[derive(Default)]
pub(in crate::channels::feishu) struct Memory {
    known: Mutex<HashSet<String>>,
    commits: Mutex<Vec<usize>>,
    closed: Mutex<Vec<String>>,
    is_broken: bool,
}

impl Store for Memory {
    fn record(&self, events: &[StoredEvent]) -> Result<Vec<bool>, StoreError> {
        if self.is_broken {
            return Err(StoreError("the disk is full".to_owned()));
        }
        self.commits.lock().unwrap().push(events.len());
        let mut known = self.known.lock().unwrap();
        let added = events
            .iter()
            .map(|event| known.insert(event.message.clone()));
        Ok(added.collect())
    }

    fn open(&self) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(Vec::new())
    }

    fn close(&self, messages: &[String]) -> Result<(), StoreError> {
        self.closed.lock().unwrap().extend_from_slice(messages);
        Ok(())
    }

    fn trace(&self, _: &str) -> Result<Option<Trace>, StoreError> {
        Ok(Some(Trace {
            chat: "oc_1".to_owned(),
            ..Trace::default()
        }))
    }

    fn set_reaction(&self, _: &str, _: Option<&str>) -> Result<(), StoreError> {
        Ok(())
    }

    fn set_card(&self, _: &str, _: Option<&CardTrace>) -> Result<(), StoreError> {
        Ok(())
    }

    fn newest_in(&self, _: &str, _: &str) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    fn people(&self) -> Result<Vec<(String, bool)>, StoreError> {
        Ok(Vec::new())
    }

    fn add_person(&self, _: &str, _: bool) -> Result<(), StoreError> {
        Ok(())
    }

    fn sweep(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str, _: usize) -> Option<Vec<u8>> {
        None
    }
}

/// An intake, what it keeps in, and the session's end of the queue.
struct Desk {
    intake: Intake,
    store: Arc<Memory>,
    inbox: SessionInbox,
    _stop: crossbeam_channel::Sender<()>,
}

/// A bot that hears everybody and reaches nothing; what it keeps goes into a store.
pub(in crate::channels::feishu) fn bot(
    store: Arc<Memory>,
) -> (Arc<Bot>, crossbeam_channel::Sender<()>) {
    let mut config = config();
    config.allow_from = vec!["*".to_owned()];
    let (stop, stopped) = bounded(0);
    let secret = crate::config::Secret::new("s");
    let bot = Bot {
        channel: crate::chat::ChannelId::new("feishu").unwrap(),
        client: client_of(0),
        api: Api::new(
            "http://127.0.0.1:1",
            "cli_1",
            secret,
            &Trust::public(),
            stopped,
        ),
        trust: Trust::public(),
        open_folders: Vec::new(),
        store,
        health: Arc::new(ChannelHealth::new("feishu")),
        codes: Codes::in_folder(Path::new("/nowhere")),
        mailbox: Mailbox::new().unwrap(),
        board: Board::new(),
        files: Arc::new(NoFiles),
        wants_room: Default::default(),
        identity: Default::default(),
        chats: Default::default(),
        config,
    };
    (Arc::new(bot), stop)
}

impl Desk {
    fn new(store: Memory) -> Self {
        let store = Arc::new(store);
        let (bot, stop) = bot(store.clone());
        let (queue, inbox) = session_queue();
        Self {
            intake: Intake::new(bot, queue),
            store,
            inbox,
            _stop: stop,
        }
    }

    /// Lets these come together; returns the codes they are answered with.
    fn take(&mut self, events: &[Vec<u8>]) -> Vec<u16> {
        let replies = self.intake.take(events);
        self.intake.go_on();
        replies.iter().map(|reply| reply.code).collect()
    }

    /// Fills the session's queue to the brim.
    fn fill(&self) {
        let body = || InboundBody::Disconnected;
        let inbound = || Inbound {
            caller: self.intake.caller(None),
            body: body(),
            at: SystemTime::now(),
        };
        while self.intake.queue.inbound.try_send(inbound()).is_ok() {}
    }

    /// Takes everything that the session has got; returns the ids of inputs.
    fn inputs(&mut self) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            let got: Vec<Inbound> = self.inbox.inbound.try_iter().collect();
            if got.is_empty() {
                return ids;
            }
            let inputs = got
                .into_iter()
                .filter(|one| matches!(one.body, InboundBody::Input { .. }));
            ids.extend(inputs.filter_map(|one| one.caller.request_id));
            self.intake.room();
        }
    }

    /// What is to be said, and under which message.
    fn said(&self) -> Vec<(String, String)> {
        let next = || self.intake.bot.board.next_say(Instant::now());
        std::iter::from_fn(next)
            .map(|say| match say.what {
                Saying::Text(text) => (say.message, text),
                other => (say.message, format!("{other:?}")),
            })
            .collect()
    }
}

fn text(id: &str, person: &str, text: &str) -> Vec<u8> {
    let event = json!({
        "header": {"event_type": "im.message.receive_v1"},
        "event": {
            "sender": {"sender_id": {"open_id": person}, "sender_type": "user"},
            "message": {"message_id": id, "chat_id": "oc_1", "chat_type": "p2p", "message_type": "text",
                        "content": json!({"text": text}).to_string()},
        },
    });
    event.to_string().into_bytes()
}

fn recalled(id: &str) -> Vec<u8> {
    let event =
        json!({"header": {"event_type": "im.message.recalled_v1"}, "event": {"message_id": id}});
    event.to_string().into_bytes()
}

#[test]
fn what_comes_together_is_kept_in_one_go_and_each_once() {
    let mut desk = Desk::new(Memory::default());
    let events = [
        text("om_1", "ou_1", "one"),
        b"{".to_vec(),
        text("om_2", "ou_2", "two"),
        text("om_1", "ou_1", "one"),
        text("om_3", "ou_3", "three"),
        recalled("om_3"),
    ];
    assert_eq!(desk.take(&events), [200; 6]);
    assert_eq!(*desk.store.commits.lock().unwrap(), [4]);
    assert_eq!(desk.inputs(), ["om_1", "om_2", "om_3"]);
    // The recall came behind its message and found it with the session.
    let stops = desk.inbox.control.try_iter().count();
    assert_eq!(stops, 1);
    assert_eq!(desk.take(&[text("om_2", "ou_2", "two")]), [200]);
    assert_eq!(desk.inputs(), Vec::<String>::new());
    assert_eq!(desk.intake.bot.health.repeats.load(Ordering::Relaxed), 2);
}

#[test]
fn what_is_not_kept_is_not_acknowledged_and_not_worked_on() {
    let mut desk = Desk::new(Memory {
        is_broken: true,
        ..Memory::default()
    });
    let events = [
        text("om_1", "ou_1", "one"),
        recalled("om_9"),
        text("om_2", "ou_2", "two"),
    ];
    assert_eq!(desk.take(&events), [500, 200, 500]);
    assert_eq!(desk.inputs(), Vec::<String>::new());
}

#[test]
fn stop_and_recall_reach_what_waits_for_room() {
    let mut desk = Desk::new(Memory::default());
    desk.fill();
    let events = [
        text("om_1", "ou_1", "first"),
        text("om_2", "ou_1", "second"),
        text("om_3", "ou_1", "third"),
    ];
    assert_eq!(desk.take(&events), [200; 3]);
    desk.take(&[recalled("om_1")]);
    assert_eq!(*desk.store.closed.lock().unwrap(), ["om_1", "om_1"]);
    assert_eq!(desk.said(), []);
    desk.take(&[text("om_4", "ou_1", "/stop")]);
    let stopped = |id: &str| (id.to_owned(), words::STOPPED.to_owned());
    assert_eq!(desk.said(), [stopped("om_2"), stopped("om_3")]);
    desk.take(&[text("om_5", "ou_1", "fourth")]);
    assert_eq!(desk.inputs(), ["om_5"]);
    // The stop of the recall and the command itself.
    assert_eq!(desk.inbox.control.try_iter().count(), 2);
}
