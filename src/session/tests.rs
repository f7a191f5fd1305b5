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
mod clients;
mod outage;
mod recovery;
mod turns;

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
