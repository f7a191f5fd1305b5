//! A model, a home and two clients that outlive many gateways, and the judgement at the end.
//!
//! Everything is looked at from outside: what clients are told, what the model was asked, what stands in the workspace,
//! and what SQLite says of the file.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::time::Duration;

use picobot::threads::run_parallel;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::peer::{Peer, Proof, Reply, Task, input};
use super::plan;
use crate::sdk;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::legal::assert_legal;
use crate::support::model::{Format, ModelServer};
use crate::support::process::PATIENCE;
use crate::support::python::sqlite;
use crate::support::ws::Client;

const STACK: usize = 512 * 1024;

/// How the life of a gateway ends.
pub(super) enum Death {
    /// By itself at this label, for the n-th time.
    At(&'static str, usize),
    /// Killed so long after it was started, ready or not.
    AfterStart(Duration),
    /// Killed so long after it was ready.
    AfterReady(Duration),
}

/// What happened to the tasks in the end.
#[derive(Default, Debug)]
pub(super) struct Tally {
    /// Inputs that clients gave.
    pub(super) given: usize,
    /// Those of which a client was told, before the end, that they are kept.
    pub(super) acknowledged: usize,
    pub(super) done: usize,
    /// Given up after three crashes.
    pub(super) given_up: usize,
    /// Calls with the result that they were interrupted.
    pub(super) interrupted: usize,
}

pub(super) struct World {
    model: ModelServer,
    home: Home,
    peers: [Peer; 2],
}

impl World {
    pub(super) fn new() -> Self {
        let model = ModelServer::start(plan::play);
        let home = Home::with_model(&model);
        Self {
            model,
            home,
            peers: [Peer::new('a', Proof::Accepted), Peer::new('b', Proof::Pong)],
        }
    }

    /// Lets a gateway live while each client gives tasks until it has given `limit` in all.
    pub(super) fn live(&mut self, limit: usize, death: &Death) {
        let process = Gateway::launch(&self.home, |command| {
            if let Death::At(label, n) = death {
                command.env("PICOBOT_CRASH_AT", format!("{label}:{n}"));
            }
        });
        if let Death::AfterStart(moment) = death {
            assert!(!process.ends_within(*moment), "it ended by itself");
            return process.kill9();
        }
        let gateway = match Gateway::when_ready(&self.home, process) {
            Ok(gateway) => gateway,
            Err(process) => {
                // It died of what it took up again.
                assert!(matches!(death, Death::At(..)), "it ended by itself");
                let finished = process.finish();
                return assert_killed(&finished.status, &finished.stderr);
            }
        };
        let port = gateway.port();
        let [a, b] = &mut self.peers;
        let jobs: Vec<Box<dyn FnOnce() + Send + '_>> = vec![
            Box::new(|| a.work(port, limit)),
            Box::new(|| b.work(port, limit)),
            Box::new(move || end(gateway, death)),
        ];
        run_parallel("crash", STACK, 3, jobs);
    }

    /// Lets a last gateway finish everything and checks all that was promised.
    pub(super) fn settle(&mut self) -> Tally {
        let acknowledged = self.tasks().filter(|task| task.acknowledged).count();
        let gateway = Gateway::start(&self.home);
        let dialogs = self.dialogs(gateway.port());
        self.nothing_acknowledged_is_lost(gateway.port(), &dialogs);
        self.every_input_has_one_answer(gateway.port());
        let mut tally = self.histories_are_whole(gateway.port(), &dialogs);
        tally.given = self.tasks().count();
        tally.acknowledged = acknowledged;
        let ended = gateway.term();
        assert!(ended.success() || ended.code() == Some(143), "{ended}");
        self.requests_are_legal();
        self.effects_happened_once(&mut tally);
        self.database_is_sound();
        tally
    }

    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.peers.iter().flat_map(|peer| &peer.tasks)
    }

    /// Returns the session id of each chat.
    fn dialogs(&self, port: u16) -> BTreeMap<String, String> {
        let mut client = Client::connect(port);
        let mut dialogs = BTreeMap::new();
        for task in self.tasks() {
            dialogs.entry(task.chat.clone()).or_insert_with(|| {
                client.send_json(
                    &json!({"type": "user_input", "content": "/help", "chat_id": task.chat}),
                );
                let reply = client.next();
                reply["session_id"].as_str().unwrap().to_owned()
            });
        }
        dialogs
    }

    fn nothing_acknowledged_is_lost(&self, port: u16, dialogs: &BTreeMap<String, String>) {
        let mut client = Client::connect(port);
        let mut found: HashMap<String, usize> = HashMap::new();
        for session_id in dialogs.values() {
            for wish in wishes(&client.load(session_id)) {
                *found.entry(wish).or_default() += 1;
            }
        }
        for task in self.tasks() {
            let n = found.get(&task.name).copied().unwrap_or_default();
            let least = usize::from(task.acknowledged);
            assert!(
                (least..=1).contains(&n),
                "{} (acknowledged: {}) is stored {n} times",
                task.name,
                task.acknowledged
            );
        }
    }

    /// Repeats every input: what was told before is told again, and nothing is told twice.
    fn every_input_has_one_answer(&mut self, port: u16) {
        let mut client = Client::connect(port);
        let mut open: HashMap<String, &mut Task> = HashMap::new();
        for task in self.peers.iter_mut().flat_map(|peer| &mut peer.tasks) {
            client.send_json(&input(task));
            open.insert(task.name.clone(), task);
        }
        while !open.is_empty() {
            let message = client.next();
            let Some(reply) = Reply::of(&message) else {
                continue;
            };
            let name = message["request_id"].as_str().unwrap();
            let task = open.remove(name);
            let task = task.unwrap_or_else(|| panic!("answered twice: {message}"));
            if let Some(before) = &task.answer {
                assert_eq!(*before, reply, "{name} was answered differently before");
            }
            task.answer = Some(reply);
        }
    }

    /// Each dialog is a row of wish and end, in the order given.
    fn histories_are_whole(&self, port: u16, dialogs: &BTreeMap<String, String>) -> Tally {
        let mut client = Client::connect(port);
        let mut tally = Tally::default();
        for (chat, session_id) in dialogs {
            let messages = client.load(session_id);
            let tasks: Vec<&Task> = self.tasks().filter(|task| task.chat == *chat).collect();
            let names: Vec<String> = tasks.iter().map(|task| task.name.clone()).collect();
            assert_eq!(wishes(&messages), names, "{chat}: {messages:#?}");
            assert_eq!(messages.len(), 2 * tasks.len(), "{chat}: {messages:#?}");
            for (pair, task) in messages.chunks(2).zip(tasks) {
                let reply = task.answer.as_ref().unwrap();
                assert_eq!(pair[1]["role"], "assistant", "{pair:#?}");
                assert_eq!(pair[1]["content"], reply.text, "{pair:#?}");
                if reply.kind == "assistant_response" {
                    assert_eq!(pair[0]["state"], "done", "{pair:#?}");
                    assert_eq!(reply.text, plan::answer(&task.name));
                    tally.done += 1;
                } else {
                    assert_eq!(pair[0]["state"], "failed", "{pair:#?}");
                    assert!(reply.text.contains("three times"), "{reply:?}");
                    tally.given_up += 1;
                }
            }
        }
        tally
    }

    fn requests_are_legal(&self) {
        for received in self.model.received() {
            assert_legal(&received.body);
            let mut wishes: Vec<String> = received
                .texts("user")
                .iter()
                .filter_map(|text| plan::task_in(text).map(str::to_owned))
                .collect();
            let n = wishes.len();
            wishes.sort();
            wishes.dedup();
            assert_eq!(wishes.len(), n, "a doubled input in {:#}", received.body);
        }
    }

    /// Lets the official SDK's types judge the requests too.
    pub(super) fn requests_have_the_right_types(&self) {
        let received = self.model.received();
        let bodies: Vec<Value> = received.into_iter().map(|one| one.body).collect();
        sdk::assert_valid(Format::Chat, &bodies);
    }

    /// Counts the marks in the ledger. A call that the model was told has run has left one, an interrupted one at most
    /// one; a file that was written is as it should be.
    fn effects_happened_once(&self, tally: &mut Tally) {
        let workspace = self.home.workspace();
        let ledger = fs::read_to_string(workspace.join(plan::LEDGER)).unwrap_or_default();
        let mut written: HashMap<&str, usize> = HashMap::new();
        for mark in ledger.lines() {
            *written.entry(mark).or_default() += 1;
        }
        let told = self.results();
        for task in self.tasks() {
            let is_done = task
                .answer
                .as_ref()
                .is_some_and(|reply| reply.kind == "assistant_response");
            for mark in plan::marks(&task.name) {
                let n = written.remove(mark.as_str()).unwrap_or_default();
                assert!(n <= 1, "{mark} happened {n} times");
                match told.get(&mark).map(String::as_str) {
                    None => assert!(!is_done, "{mark} was never run"),
                    Some(result) if result.starts_with("Interrupted") => tally.interrupted += 1,
                    Some(result) => assert_eq!((n, result), (1, "[exit 0]"), "{mark}"),
                }
            }
            if let Some((path, content)) = plan::file_of(&task.name).filter(|_| is_done) {
                let result = told.get(&format!("{}_w", task.name));
                let interrupted = result.is_some_and(|text| text.starts_with("Interrupted"));
                match fs::read_to_string(workspace.join(&path)) {
                    Ok(text) => assert_eq!(text, content, "{path}"),
                    Err(error) => assert!(interrupted, "{path}: {error}: {result:?}"),
                }
            }
        }
        assert!(written.is_empty(), "unknown marks: {written:?}");
    }

    /// Returns the result of each call as the model was told; it is told the same every time.
    fn results(&self) -> HashMap<String, String> {
        let mut told: HashMap<String, String> = HashMap::new();
        for received in self.model.received() {
            for message in received.body["messages"].as_array().unwrap() {
                let Some(id) = message["tool_call_id"].as_str() else {
                    continue;
                };
                let text = plan::text_of(message);
                let before = told.entry(id.to_owned()).or_insert_with(|| text.clone());
                assert_eq!(*before, text, "another result of {id}");
            }
        }
        told
    }

    /// Asks SQLite, on a copy, whether the file is whole and nothing is left open.
    fn database_is_sound(&self) {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.db");
        fs::copy(self.home.database(), &copy).unwrap();
        let said = sqlite(
            &copy,
            &[
                "PRAGMA integrity_check",
                "PRAGMA foreign_key_check",
                "SELECT count(*) FROM inbox WHERE outcome IS NULL",
                "SELECT count(*) FROM turns WHERE state = 'running'",
            ],
        );
        assert_eq!(said, "[('ok',)]\n[]\n[(0,)]\n[(0,)]\n");
    }
}

/// Returns the tasks that the messages of people wish for, in order.
fn wishes(messages: &[Value]) -> Vec<String> {
    messages
        .iter()
        .filter(|message| message["role"] == "user")
        .map(|message| {
            let content = message["content"].as_str().unwrap();
            let task = plan::task_in(content);
            task.unwrap_or_else(|| panic!("a stray {message}"))
                .to_owned()
        })
        .collect()
}

/// Ends a gateway that is ready, or waits until it has ended itself.
fn end(gateway: Gateway, death: &Death) {
    match death {
        Death::AfterStart(_) => unreachable!("it was killed before"),
        Death::AfterReady(moment) => {
            let ended = gateway.process().ends_within(*moment);
            assert!(!ended, "it ended by itself:\n{}", gateway.log());
            gateway.kill9();
        }
        Death::At(label, n) => {
            let ended = gateway.process().ends_within(PATIENCE);
            assert!(ended, "{label}:{n} was not reached:\n{}", gateway.log());
            let log = gateway.log();
            assert_killed(&gateway.end().status, &log);
        }
    }
}

fn assert_killed(status: &std::process::ExitStatus, log: &str) {
    use std::os::unix::process::ExitStatusExt;
    let kill = Signal::KILL.as_raw();
    assert_eq!(status.signal(), Some(kill), "{status}:\n{log}");
}
