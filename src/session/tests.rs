//! The session against a real database, a scripted model service and a tool that counts. Crashes of the process are
//! tested from outside; here a process's leftovers are made by hand.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::{Value, json};

use super::*;
use crate::agent::Candidate;
use crate::bus::{
    Body, Caller, ClientId, Control, ErrorCode, Inbound, InboundBody, ItemState, Op, Outbound,
    SessionQueue, Wants, session_queue,
};
use crate::chat::{Command, Message, Part, Role, Route, SessionId, StopReason, ToolCall, Usage};
use crate::providers::{Delta, Dialect, ModelSpec, Provider, ProviderError, Reply, Request};
use crate::storage::{Context, DialogKey, NewInput, TurnId};
use crate::threads::CancelToken;
use crate::tools::{Effects, ProcessInfo, Tool, ToolCtx, ToolError, WorkspaceOptions};

mod approvals;
mod outage;

const CEILING: Duration = Duration::from_secs(60);

/// What the model does when asked.
pub(super) enum Play {
    Say(&'static str),
    Call(Vec<ToolCall>),
    Fail(ProviderError),
    /// Says that it was asked, then waits to be released, or for the cancel.
    Hold(Sender<()>, Receiver<()>, &'static str),
    /// Like `Hold`, deaf to cancelling.
    Deaf(Sender<()>, Receiver<()>),
    Panic,
}

/// Nothing runs in the background here; notes whose processes were to be forgotten.
#[derive(Default)]
struct NoProcesses(Mutex<Vec<SessionId>>);

impl ProcessPort for NoProcesses {
    fn list(&self, _: &SessionId) -> Vec<ProcessInfo> {
        Vec::new()
    }

    fn kill(&self, _: &SessionId, _: Option<&str>) -> Vec<String> {
        Vec::new()
    }

    fn forget(&self, session: &SessionId) {
        self.0.lock().unwrap().push(session.clone());
    }
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) plays: Mutex<VecDeque<Play>>,
    asked: Mutex<Vec<Vec<Message>>>,
}

impl Model {
    fn reply(parts: Vec<Part>, stop: StopReason) -> Reply {
        Reply {
            message: Message {
                role: Role::Assistant,
                parts,
                native: None,
            },
            stop,
            usage: Usage {
                input: Some(10),
                output: Some(2),
                ..Usage::default()
            },
            first_token: None,
            attempts: 1,
        }
    }
}

impl Provider for Model {
    fn name(&self) -> &str {
        "scripted"
    }

    fn dialect(&self) -> Dialect {
        Dialect::OpenAi
    }

    fn stream(
        &self,
        request: &Request<'_>,
        on_delta: &mut dyn FnMut(Delta<'_>),
        cancel: &CancelToken,
    ) -> Result<Reply, ProviderError> {
        self.asked.lock().unwrap().push(request.messages.to_vec());
        let play = self.plays.lock().unwrap().pop_front();
        let say = |text: &str| {
            Ok(Self::reply(
                vec![Part::Text(text.to_owned())],
                StopReason::Complete,
            ))
        };
        match play {
            None => say("nothing more to say"),
            Some(Play::Say(text)) => {
                on_delta(Delta::Text(text));
                say(text)
            }
            Some(Play::Call(calls)) => Ok(Self::reply(
                calls.into_iter().map(Part::ToolCall).collect(),
                StopReason::ToolCalls,
            )),
            Some(Play::Fail(error)) => Err(error),
            Some(Play::Hold(begun, release, text)) => {
                begun.send(()).unwrap();
                let (tell, cancelled) = bounded(1);
                let _closer = cancel.on_cancel(move || {
                    let _ = tell.send(());
                });
                crossbeam_channel::select! {
                    recv(release) -> _ => say(text),
                    recv(cancelled) -> _ => Err(ProviderError::Cancelled),
                }
            }
            Some(Play::Deaf(begun, release)) => {
                begun.send(()).unwrap();
                let _ = release.recv();
                say("too late")
            }
            Some(Play::Panic) => panic!("on purpose"),
        }
    }
}

/// Counts its runs; must not be run twice for one call.
struct Counter(Arc<AtomicUsize>);

impl Tool for Counter {
    fn name(&self) -> Cow<'static, str> {
        "count".into()
    }

    fn description(&self) -> Cow<'static, str> {
        "Counts.".into()
    }

    fn parameters(&self) -> Value {
        json!({"type": "object", "properties": {}})
    }

    fn effects(&self, _arguments: &Value) -> Effects {
        Effects::SideEffect
    }

    fn run(&self, _arguments: &Value, _ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        Ok(format!("run {}", self.0.fetch_add(1, Ordering::SeqCst) + 1))
    }
}

fn count(id: &str) -> ToolCall {
    ToolCall {
        id: id.to_owned(),
        name: "count".to_owned(),
        arguments: "{}".to_owned(),
    }
}

struct ChannelSink(Sender<Outbound>);

impl Sink for ChannelSink {
    fn push(&self, outbound: Outbound) {
        let _ = self.0.send(outbound);
    }
}

pub(super) struct Rig {
    dir: tempfile::TempDir,
    pub(super) db: Arc<Db>,
    pub(super) model: Arc<Model>,
    runs: Arc<AtomicUsize>,
    policy: ApprovalPolicy,
    approval_time: Duration,
    queue: Option<SessionQueue>,
    out: Receiver<Outbound>,
    session: Option<Session>,
}

impl Rig {
    fn start(plays: Vec<Play>) -> Self {
        Self::start_with(plays, |_| {})
    }

    fn start_with(plays: Vec<Play>, prepare: impl FnOnce(&Db)) -> Self {
        let mut rig = Self::unbooted();
        prepare(&rig.db);
        rig.boot(plays);
        rig
    }

    pub(super) fn unbooted() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("picobot.db"), false).unwrap();
        Self {
            dir,
            db: Arc::new(db),
            model: Arc::default(),
            runs: Arc::default(),
            policy: ApprovalPolicy::default(),
            approval_time: Duration::from_secs(60),
            queue: None,
            out: bounded(0).1,
            session: None,
        }
    }

    /// Starts the session on what the database holds.
    fn boot(&mut self, plays: Vec<Play>) {
        self.model.plays.lock().unwrap().extend(plays);
        let (sink, out) = bounded(1_000);
        let (queue, inbox) = session_queue();
        let deps = self.deps(sink);
        let fatal = Fatal::new(|_| {});
        self.session = Some(Session::start(deps, inbox, Scope::All, &fatal).unwrap());
        self.queue = Some(queue);
        self.out = out;
    }

    /// What a session on this database works with.
    pub(super) fn deps(&self, sink: Sender<Outbound>) -> Deps {
        let workspace = Workspace::open(self.dir.path(), WorkspaceOptions::default()).unwrap();
        Deps {
            db: self.db.clone(),
            sink: Arc::new(ChannelSink(sink)),
            agent: Agent {
                models: Models::new(
                    Candidate {
                        provider: self.model.clone(),
                        model: ModelSpec {
                            model_id: "m".to_owned(),
                            temperature: None,
                            max_tokens: None,
                            images: false,
                        },
                        price: None,
                    },
                    [],
                ),
                context: ContextLimits {
                    tokens: 1_000,
                    compress_at: 80,
                },
                limits: TurnLimits {
                    rounds: 3,
                    time: Duration::from_secs(900),
                    tokens: 1_000_000,
                },
            },
            tools: Registry::new([Arc::new(Counter(self.runs.clone())) as Arc<dyn Tool>]),
            specs: Vec::new(),
            tools_text: "count".into(),
            policy: self.policy.clone(),
            approvals: Approvals::new(self.approval_time),
            workspace: Arc::new(workspace),
            health: Arc::default(),
            observers: Observers::default(),
            pushing: HashSet::new(),
            outbox_wake: bounded(1).0,
            max_turns: 4,
            budget: None,
            redactor: Arc::new(Redactor::new(["geheim-1234".to_owned()].into_iter())),
            processes: Arc::new(NoProcesses::default()),
            facts: Facts::default(),
        }
    }

    fn stop(&mut self) {
        let late = self.session.take().unwrap().stop(Duration::ZERO);
        assert!(late.is_empty(), "{late:?}");
    }

    fn send(&self, caller: Caller, body: InboundBody) {
        let inbound = &self.queue.as_ref().unwrap().inbound;
        inbound
            .send(Inbound {
                caller,
                body,
                at: SystemTime::now(),
            })
            .unwrap();
    }

    fn say(&self, request_id: &str, text: &str) {
        self.send(caller(request_id), input(None, text));
    }

    fn control(&self, request_id: &str, name: &str) {
        self.control_with(request_id, name, "");
    }

    fn control_with(&self, request_id: &str, name: &str, argument: &str) {
        let control = &self.queue.as_ref().unwrap().control;
        control
            .send(Control {
                caller: caller(request_id),
                op: Op::Command {
                    route: None,
                    session: None,
                    command: Command {
                        name: name.to_owned(),
                        argument: argument.to_owned(),
                    },
                },
            })
            .unwrap();
    }

    /// Waits for the next message to a request.
    fn reply(&self, request_id: &str) -> Body {
        self.reply_about(request_id).body
    }

    fn reply_about(&self, request_id: &str) -> Outbound {
        loop {
            let outbound = self
                .out
                .recv_timeout(CEILING)
                .unwrap_or_else(|_| panic!("no reply to {request_id}"));
            if outbound.request_id.as_deref() == Some(request_id) {
                return outbound;
            }
        }
    }

    fn answer(&self, request_id: &str) -> String {
        match self.reply(request_id) {
            Body::Answer { content, .. } => content.to_string(),
            other => panic!("{request_id} got {other:?}"),
        }
    }

    fn error(&self, request_id: &str) -> ErrorCode {
        match self.reply(request_id) {
            Body::Error { code, .. } => code,
            other => panic!("{request_id} got {other:?}"),
        }
    }

    fn command(&self, request_id: &str) -> String {
        match self.reply(request_id) {
            Body::Command { content, .. } => content,
            other => panic!("{request_id} got {other:?}"),
        }
    }

    /// What people see of the local chat's first dialog.
    fn shown(&self) -> Vec<(Role, String, ItemState)> {
        self.send(
            caller("shown"),
            InboundBody::Load {
                session: "cli_chat:local:d1".parse().unwrap(),
                detail: false,
                before: None,
            },
        );
        match self.reply("shown") {
            Body::Loaded { messages, .. } => messages
                .into_iter()
                .map(|item| (item.role, item.content, item.state))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    fn last_request(&self) -> Vec<Message> {
        self.model.asked.lock().unwrap().last().unwrap().clone()
    }

    fn n_asked(&self) -> usize {
        self.model.asked.lock().unwrap().len()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let late = session.stop(Duration::ZERO);
            if !std::thread::panicking() {
                assert!(late.is_empty(), "{late:?}");
            }
        }
    }
}

fn caller(request_id: &str) -> Caller {
    Caller {
        client: ClientId(1),
        request_id: Some(request_id.to_owned()),
        wants: Wants::default(),
    }
}

fn input(chat: Option<&str>, text: &str) -> InboundBody {
    InboundBody::Input {
        route: chat.map(route),
        session: None,
        sender: None,
        text: text.to_owned(),
        files: Vec::new(),
        guest: false,
    }
}

fn route(chat: &str) -> Route {
    let id: SessionId = format!("cli_chat:{chat}:x").parse().unwrap();
    id.route()
}

fn hold(text: &'static str) -> (Play, Receiver<()>, Sender<()>) {
    let (begun, has_begun) = bounded(1);
    let (release, released) = bounded(1);
    (Play::Hold(begun, released, text), has_begun, release)
}

fn text_of(message: &Message) -> String {
    message.visible_text()
}

#[test]
fn a_plain_turn_is_stored_and_answered() {
    let rig = Rig::start(vec![Play::Say("hello back")]);
    rig.say("1", "hello");
    assert_eq!(rig.answer("1"), "hello back");
    let request = rig.last_request();
    assert!(matches!(&request[0].parts[0], Part::Context(block) if block.contains("Time: ")));
    assert_eq!(text_of(&request[0]), "hello");
    assert_eq!(
        rig.shown(),
        [
            (Role::User, "hello".into(), ItemState::Done),
            (Role::Assistant, "hello back".into(), ItemState::Done),
        ]
    );
}

#[test]
fn one_dialog_in_order_others_beside_it() {
    let (held, begun, release) = hold("first");
    let rig = Rig::start(vec![held, Play::Say("other"), Play::Say("second")]);
    rig.say("1", "one");
    begun.recv_timeout(CEILING).unwrap();
    rig.say("2", "two");
    rig.send(caller("3"), input(Some("elsewhere"), "three"));
    assert_eq!(rig.answer("3"), "other");
    assert_eq!(rig.n_asked(), 2, "the second of the first dialog waits");
    release.send(()).unwrap();
    assert_eq!(rig.answer("1"), "first");
    assert_eq!(rig.answer("2"), "second");
    let texts: Vec<_> = rig.last_request().iter().map(text_of).collect();
    assert_eq!(texts, ["one", "first", "two"]);
}

#[test]
fn a_repeat_gets_the_same_answer_and_no_second_turn() {
    let (held, begun, release) = hold("only once");
    let rig = Rig::start(vec![held]);
    rig.say("1", "hello");
    begun.recv_timeout(CEILING).unwrap();
    rig.say("1", "hello");
    rig.send(caller("sync"), InboundBody::Ping);
    assert_eq!(rig.reply("sync"), Body::Pong);
    release.send(()).unwrap();
    assert_eq!(rig.answer("1"), "only once");
    assert_eq!(rig.answer("1"), "only once");
    rig.say("1", "hello");
    assert_eq!(rig.answer("1"), "only once");
    assert_eq!(rig.n_asked(), 1);
}

#[test]
fn tools_run_and_their_rounds_are_limited() {
    let rounds = (0..3).map(|_| Play::Call(vec![count("same"), count("same")]));
    let rig = Rig::start(rounds.chain([Play::Say("that was it")]).collect());
    rig.say("1", "count");
    assert_eq!(
        rig.answer("1"),
        "that was it\n\nStopped after 3 tool rounds."
    );
    assert_eq!(rig.runs.load(Ordering::SeqCst), 6);
    let request = rig.last_request();
    let ids: std::collections::HashSet<_> = request
        .iter()
        .flat_map(Message::tool_calls)
        .map(|call| call.id.clone())
        .collect();
    assert_eq!(ids.len(), 6, "repeated ids were made unique");
    assert!(text_of(request.last().unwrap()).contains("without tools"));
}

#[test]
fn stop_ends_the_turn_and_drops_what_waits() {
    let (held, begun, _release) = hold("never");
    let rig = Rig::start(vec![held, Play::Say("alive")]);
    rig.say("1", "work hard");
    begun.recv_timeout(CEILING).unwrap();
    rig.say("2", "and then this");
    rig.control("stop", "stop");
    let mut seen: Vec<(String, Body)> = (0..3)
        .map(|_| {
            let outbound = rig.out.recv_timeout(CEILING).unwrap();
            (outbound.request_id.unwrap(), outbound.body)
        })
        .collect();
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(
        matches!(&seen[0].1, Body::Error { code: ErrorCode::Stopped, message } if message == "Stopped.")
    );
    assert!(
        matches!(&seen[1].1, Body::Error { code: ErrorCode::Stopped, message } if message.contains("before it began"))
    );
    assert!(
        matches!(&seen[2].1, Body::Command { content, .. } if content == "Stopped the running turn.\nDropped 1 waiting message:\n- and then this")
    );
    rig.say("3", "still there?");
    assert_eq!(rig.answer("3"), "alive");
    assert_eq!(rig.shown()[0].2, ItemState::Stopped);
    rig.control("idle", "stop");
    assert_eq!(rig.command("idle"), "Nothing is running or waiting here.");
}

#[test]
fn a_turn_deaf_to_stop_is_left_behind() {
    let (begun, has_begun) = bounded(1);
    let (release, released) = bounded::<()>(1);
    let rig = Rig::start(vec![Play::Deaf(begun, released), Play::Say("alive")]);
    rig.say("1", "hang");
    has_begun.recv_timeout(CEILING).unwrap();
    rig.control("stop", "stop");
    assert_eq!(rig.error("1"), ErrorCode::Stopped);
    rig.say("2", "next");
    assert_eq!(rig.answer("2"), "alive");
    release.send(()).unwrap();
    let shown = rig.shown();
    assert_eq!(shown.len(), 4, "the late answer was dropped: {shown:?}");
}

#[test]
fn failures_are_told_and_the_dialog_goes_on() {
    let rig = Rig::start(vec![
        Play::Fail(ProviderError::Auth("invalid key".into())),
        Play::Panic,
        Play::Say("better now"),
    ]);
    rig.say("1", "one");
    assert_eq!(rig.error("1"), ErrorCode::Auth);
    rig.say("2", "two");
    assert_eq!(rig.error("2"), ErrorCode::Internal);
    rig.say("3", "three");
    assert_eq!(rig.answer("3"), "better now");
    assert_eq!(rig.shown()[0].2, ItemState::Failed);
}

#[test]
fn clearing_a_busy_dialog_stops_it_first() {
    let (held, begun, _release) = hold("never");
    let rig = Rig::start(vec![held, Play::Say("fresh")]);
    rig.say("1", "secret");
    begun.recv_timeout(CEILING).unwrap();
    let clear = |name| {
        rig.send(
            caller(name),
            InboundBody::Clear {
                session: None,
                route: None,
            },
        );
    };
    clear("clear");
    rig.say("2", "hello");
    assert_eq!(rig.error("1"), ErrorCode::Stopped);
    assert_eq!(rig.reply("clear"), Body::Cleared);
    assert_eq!(rig.answer("2"), "fresh");
    let request = rig.last_request();
    assert_eq!(request.len(), 1, "nothing of before is sent");
    assert_eq!(
        text_of(&request[0]),
        "hello",
        "what came behind the wish is kept"
    );
    rig.say("2", "hello");
    assert_eq!(rig.answer("2"), "fresh");
}

#[test]
fn each_client_has_its_own_dialog() {
    let rig = Rig::start(vec![]);
    let other = |request_id: &str| Caller {
        client: ClientId(2),
        ..caller(request_id)
    };
    for client in [caller("c1"), other("c2")] {
        let id = client.request_id.clone().unwrap();
        rig.send(
            client,
            InboundBody::Connected {
                route: route("local"),
            },
        );
        assert!(matches!(rig.reply(&id), Body::Established { .. }));
    }
    rig.send(
        caller("new"),
        InboundBody::Create {
            title: Some("mine".into()),
        },
    );
    let created = rig.reply_about("new").session.unwrap();
    rig.say("a", "in mine");
    assert_eq!(rig.reply_about("a").session.unwrap(), created);
    rig.send(other("b"), input(None, "in the first"));
    let first = rig.reply_about("b").session.unwrap();
    assert_ne!(first, created);
    // `/new` also moves the chat: a client that comes later begins there, one that was there stays where it is.
    rig.say("n", "/new for all");
    assert!(rig.command("n").ends_with("for all"));
    rig.say("c", "here");
    let third = rig.reply_about("c").session.unwrap();
    rig.send(other("still"), input(None, "still in the first"));
    assert_eq!(rig.reply_about("still").session.unwrap(), first);
    rig.send(
        Caller {
            client: ClientId(3),
            ..caller("c3")
        },
        InboundBody::Connected {
            route: route("local"),
        },
    );
    assert_eq!(rig.reply_about("c3").session.unwrap(), third);
    rig.send(caller("del"), InboundBody::Delete { session: None });
    assert_eq!(rig.reply("del"), Body::Deleted);
    rig.send(
        caller("load"),
        InboundBody::Load {
            session: third.clone(),
            detail: false,
            before: None,
        },
    );
    assert_eq!(rig.error("load"), ErrorCode::NotFound);
    rig.send(
        caller("list"),
        InboundBody::List {
            archived: false,
            all: false,
            offset: None,
        },
    );
    match rig.reply("list") {
        Body::List { dialogs, .. } => {
            assert!(dialogs.iter().all(|dialog| dialog.session != third));
            assert_eq!(dialogs.len(), 2);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn commands_answer_once_and_suggest() {
    let rig = Rig::start(vec![]);
    rig.say("1", "/nwe");
    assert_eq!(
        rig.command("1"),
        "There is no command /nwe. Did you mean /new?"
    );
    rig.say("2", "/new");
    let first = rig.command("2");
    rig.say("2", "/new");
    assert_eq!(rig.command("2"), first, "a repeat makes no second dialog");
    rig.control("3", "?");
    assert!(rig.command("3").contains("/stop [request_id] — "));
}

#[test]
fn a_full_queue_says_so() {
    let (held, begun, _release) = hold("never");
    let rig = Rig::start(vec![held]);
    rig.say("0", "first");
    begun.recv_timeout(CEILING).unwrap();
    for n in 1..=101 {
        rig.say(&format!("{n}"), "more");
    }
    assert_eq!(rig.error("101"), ErrorCode::QueueFull);
}

#[test]
fn a_turn_cut_off_by_the_end_goes_on_in_the_next_process() {
    let (held, begun, _release) = hold("never");
    let mut rig = Rig::start(vec![held]);
    rig.say("1", "hello");
    begun.recv_timeout(CEILING).unwrap();
    rig.say("2", "later");
    rig.send(caller("sync"), InboundBody::Ping);
    assert_eq!(rig.reply("sync"), Body::Pong);
    rig.stop();
    assert_eq!(rig.error("1"), ErrorCode::ShuttingDown);
    rig.boot(vec![Play::Say("one"), Play::Say("two")]);
    rig.say("1", "hello");
    assert_eq!(rig.answer("1"), "one");
    rig.say("2", "later");
    assert_eq!(rig.answer("2"), "two");
    assert_eq!(rig.shown().len(), 4);
}

/// Leaves what a process killed in the middle of a tool round leaves.
fn crashed(db: &Db, attempts: u32, overtaken: bool) {
    db.write(|tx| {
        let now = SystemTime::now();
        let row = tx.current_dialog(&route("local"), now)?;
        let input = tx.insert_input(&NewInput {
            source: "cli_chat",
            external_id: Some("1"),
            dialog: Some(row.key),
            sender: None,
            content: "count twice",
            files: &[],
            received_at: now,
        })?;
        let turn = tx.begin_turn(row.key, now)?;
        tx.take_input(input, turn)?;
        for _ in 1..attempts {
            tx.resume_turn(turn)?;
        }
        let calls = Message {
            role: Role::Assistant,
            parts: vec![Part::ToolCall(count("a")), Part::ToolCall(count("b"))],
            native: None,
        };
        tx.append_messages(
            row.key,
            turn,
            &[Message::text(Role::User, "count twice"), calls],
            now,
        )?;
        tx.start_call(turn, "a", "count", now)?;
        if overtaken {
            let later = tx.begin_turn(row.key, now)?;
            let messages = [
                Message::text(Role::User, "meanwhile"),
                Message::text(Role::Assistant, "done"),
            ];
            tx.append_messages(row.key, later, &messages, now)?;
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_call_that_had_begun_is_not_run_again() {
    let rig = Rig::start_with(vec![Play::Say("went on")], |db| crashed(db, 1, false));
    rig.say("1", "count twice");
    assert_eq!(rig.answer("1"), "went on");
    assert_eq!(rig.runs.load(Ordering::SeqCst), 1, "only the second call");
    let request = rig.last_request();
    let results: Vec<_> = request.iter().flat_map(Message::tool_results).collect();
    assert_eq!(results.len(), 2);
    assert_eq!(results[0].content, crate::agent::INTERRUPTED);
    assert_eq!(results[1].content, "run 1");
}

#[test]
fn a_turn_that_ends_processes_is_given_up() {
    let rig = Rig::start_with(vec![], |db| crashed(db, 3, false));
    rig.say("1", "count twice");
    assert!(
        matches!(rig.reply("1"), Body::Error { code: ErrorCode::Internal, message } if message.contains("three times"))
    );
    assert_eq!(rig.n_asked(), 0);
    assert_eq!(rig.shown().last().unwrap().0, Role::Assistant);
}

#[test]
fn a_turn_overtaken_by_others_is_told_as_lost() {
    let rig = Rig::start_with(vec![Play::Say("fine")], |db| crashed(db, 1, true));
    rig.say("1", "count twice");
    assert_eq!(rig.error("1"), ErrorCode::Internal);
    rig.say("2", "and now?");
    assert_eq!(rig.answer("2"), "fine");
    assert_eq!(rig.runs.load(Ordering::SeqCst), 0);
}

#[test]
fn a_damaged_history_is_mended_in_the_database() {
    let rig = Rig::start_with(vec![Play::Say("fine"), Play::Say("again")], |db| {
        db.write(|tx| {
            let now = SystemTime::now();
            let row = tx.current_dialog(&route("local"), now)?;
            let turn = tx.begin_turn(row.key, now)?;
            tx.end_turn(turn, crate::storage::TurnState::Done, now)?;
            let messages = [
                Message::text(Role::User, "before"),
                Message::results([crate::chat::ToolResult {
                    call_id: "orphan".into(),
                    content: "x".into(),
                    is_error: false,
                    images: Vec::new(),
                }]),
                Message::text(Role::Assistant, "after"),
            ];
            tx.append_messages(row.key, turn, &messages, now)
        })
        .unwrap();
    });
    rig.say("1", "hello");
    assert_eq!(rig.answer("1"), "fine");
    let history = rig
        .db
        .read(|tx| tx.history(DialogKey(1), &Context::default()))
        .unwrap();
    let roles: Vec<_> = history.iter().map(|stored| stored.message.role).collect();
    assert_eq!(
        roles,
        [Role::User, Role::Assistant, Role::User, Role::Assistant]
    );
    assert_eq!(history[0].turn, TurnId(1));
}

#[test]
fn one_input_can_be_stopped_among_others() {
    let (held, begun, release) = hold("finished");
    let rig = Rig::start(vec![held]);
    rig.say("1", "work");
    begun.recv_timeout(CEILING).unwrap();
    rig.say("2", "drop me");
    rig.say("3", "keep me");
    rig.control_with("stop", "stop", "2");
    assert_eq!(rig.error("2"), ErrorCode::Stopped);
    assert_eq!(rig.command("stop"), "Dropped 1 waiting message:\n- drop me");
    rig.control_with("none", "stop", "unknown");
    assert_eq!(rig.command("none"), "Nothing is running or waiting here.");
    release.send(()).unwrap();
    assert_eq!(rig.answer("1"), "finished");
    assert_eq!(rig.answer("3"), "nothing more to say");
}

#[test]
fn a_repeat_of_what_nobody_works_on_is_taken_up() {
    let rig = Rig::start(vec![Play::Say("at last")]);
    rig.send(
        caller("sync"),
        InboundBody::List {
            archived: false,
            all: false,
            offset: None,
        },
    );
    rig.reply("sync");
    rig.db
        .write(|tx| {
            let now = SystemTime::now();
            let row = tx.current_dialog(&route("local"), now)?;
            tx.insert_input(&NewInput {
                source: "cli_chat",
                external_id: Some("lost"),
                dialog: Some(row.key),
                sender: None,
                content: "hello?",
                files: &[],
                received_at: now,
            })
        })
        .unwrap();
    rig.say("lost", "hello?");
    assert_eq!(rig.answer("lost"), "at last");
    rig.say("lost", "something else");
    assert_eq!(rig.error("lost"), ErrorCode::BadRequest);
}

/// A dialog that was made for a client and not kept is not its own: its number may become that of another chat's dialog.
#[test]
fn a_dialog_that_could_not_be_stored_is_nobodys() {
    let rig = Rig::start(vec![]);
    let connected = InboundBody::Connected {
        route: route("local"),
    };
    rig.send(caller("c"), connected);
    rig.reply("c");
    rig.send(caller("del"), InboundBody::Delete { session: None });
    assert_eq!(rig.reply("del"), Body::Deleted);
    rig.db.spoil("ALTER TABLE model_calls RENAME TO gone");
    rig.control("info", "info");
    assert_eq!(rig.error("info"), ErrorCode::Storage);
    rig.db.spoil("ALTER TABLE gone RENAME TO model_calls");
    rig.send(caller("bob"), input(Some("bob"), "for bob"));
    rig.reply("bob");
    rig.say("own", "for me");
    let own = rig.reply_about("own").session.unwrap();
    assert_eq!(own.chat.as_str(), "local");
}

#[test]
fn naming_a_chat_moves_nobody() {
    let rig = Rig::start(vec![]);
    rig.send(caller("bob"), input(Some("bob"), "for bob"));
    assert_eq!(rig.reply_about("bob").session.unwrap().chat.as_str(), "bob");
    rig.say("own", "for me");
    assert_eq!(
        rig.reply_about("own").session.unwrap().chat.as_str(),
        "local"
    );
}

#[test]
fn ending_in_order_is_no_crash() {
    let (held, begun, _release) = hold("never");
    let mut rig = Rig::start(vec![held]);
    rig.say("1", "long work");
    begun.recv_timeout(CEILING).unwrap();
    for _ in 0..4 {
        rig.stop();
        let (held, begun, release) = hold("never");
        std::mem::forget(release);
        rig.boot(vec![held]);
        begun.recv_timeout(CEILING).unwrap();
    }
    rig.stop();
    rig.boot(vec![Play::Say("done")]);
    rig.say("1", "long work");
    assert_eq!(rig.answer("1"), "done");
}

#[test]
fn a_flood_is_taken_in_and_everything_joins() {
    let mut rig = Rig::start(vec![]);
    for n in 0..500 {
        rig.send(
            caller(&format!("{n}")),
            input(Some(&format!("chat{}", n % 20)), "hello"),
        );
    }
    rig.send(caller("sync"), InboundBody::Ping);
    assert_eq!(rig.reply("sync"), Body::Pong);
    rig.stop();
    let open = rig.db.read(|tx| tx.open_inputs()).unwrap().len();
    assert!(open <= 500);
}
