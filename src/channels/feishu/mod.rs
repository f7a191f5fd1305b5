//! Feishu and Lark bots: events in, messages and cards out.
//!
//! Threads of each bot: `feishu-recv` (connection and intake), `feishu-send` (the service's API), and `feishu-load-N`
//! while something is fetched. `outbound` hands answers in and waits. What a message means is the session's business;
//! what must survive a restart goes through [`Store`]. Wire facts and where they come from: `docs/feishu.md` and the
//! headers of `frame`, `api` and `calls`.

mod actions;
mod api;
mod board;
mod bundle;
mod calls;
mod check;
mod codes;
mod content;
mod downloads;
mod event;
mod frame;
mod intake;
mod link;
mod load;
mod mailbox;
mod pairing;
mod policy;
mod ports;
mod rates;
mod recv;
mod render;
mod send;
mod split;
mod upload;
mod webhook;
mod words;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::outbound::{Pending, PushChannel, PushChannels, PushError};
use crate::bus::{Body, ClientId, DialogInfo, ErrorCode, Outbound, SessionQueue};
use crate::chat::ChannelId;
use crate::config::{FeishuConfig, FeishuMode};
use crate::net::Trust;
use crate::observability::ChannelHealth;
use crate::threads::{Fatal, JoinError, Thread, spawn_actor};

use board::{Board, Saying};
use mailbox::Mailbox;

pub use api::{Api, ApiError};
pub use calls::BotInfo;
pub use check::{Finding, check};
pub use downloads::delete_old_files;
pub use pairing::Codes;
pub use ports::{CardTrace, Store, StoreError, StoredEvent, Trace};
pub use upload::Files;
pub use webhook::{Hook, HookAnswer, HookRequest};

/// Ids of clients that are bots have this bit; the door counts from below.
const CLIENTS: u64 = 1 << 63;
/// Marks the clients that exist for one list of dialogs.
const LISTING: u64 = (1 << 40) - 1;
/// Between two looks for the bot's own id.
const BETWEEN_LOOKS: Duration = Duration::from_secs(20);
/// Chats of messages that are answered without having been kept.
const MAX_CHATS: usize = 200;
/// Buttons of a list of dialogs.
const MAX_BUTTONS: usize = 20;
/// TLS handshakes and JSON of events.
const RECV_STACK_BYTES: usize = 512 * 1024;
const SEND_STACK_BYTES: usize = 512 * 1024;

/// What is told to `feishu-recv`.
enum Note {
    /// The session has taken an input, or its answer was sent.
    Settled(String),
    /// The session could not store an input.
    NotStored(String),
    /// A question is open no more.
    Decided(String),
    /// What an input names is fetched.
    Loaded(Box<load::Loaded>),
    /// The session's queue has room.
    Room,
    /// An event came by webhook.
    Posted(Vec<u8>, Sender<intake::Reply>),
    Stop,
}

/// What all threads of one bot share.
struct Bot {
    config: FeishuConfig,
    channel: ChannelId,
    client: ClientId,
    api: Api,
    trust: Trust,
    /// Folders that commands may write to; there no link is followed.
    open_folders: Vec<PathBuf>,
    store: Arc<dyn Store>,
    health: Arc<ChannelHealth>,
    codes: Codes,
    mailbox: Mailbox<Note>,
    board: Board,
    files: Arc<dyn Files>,
    /// Somebody waits for room in the session's queue.
    wants_room: AtomicBool,
    identity: Mutex<Identity>,
    chats: Mutex<HashMap<String, String>>,
}

#[derive(Default)]
struct Identity {
    open_id: Option<String>,
    looked_at: Option<Instant>,
}

impl Bot {
    /// Returns the bot's own id if it is known.
    fn known_open_id(&self) -> Option<String> {
        lock(&self.identity).open_id.clone()
    }

    /// Returns the bot's own id; asks the service if it is not known and was not asked for just now. Blocks for it.
    fn open_id(&self) -> Option<String> {
        {
            let mut identity = lock(&self.identity);
            let is_recent = identity
                .looked_at
                .is_some_and(|at| at.elapsed() < BETWEEN_LOOKS);
            if identity.open_id.is_some() || is_recent {
                return identity.open_id.clone();
            }
            identity.looked_at = Some(Instant::now());
        }
        // Not under the lock: events that come meanwhile look at it.
        match self.api.bot_info() {
            Ok(info) => lock(&self.identity).open_id = Some(info.open_id),
            Err(error) => log::warn!(
                "{}: who the bot is cannot be found out: {error}",
                self.config.name
            ),
        }
        self.known_open_id()
    }

    /// Says something to a chat whose message was not kept.
    fn say_to_chat(&self, chat: &str, message: &str, text: &str) {
        let mut chats = lock(&self.chats);
        if chats.len() >= MAX_CHATS {
            chats.clear();
        }
        chats.insert(message.to_owned(), chat.to_owned());
        drop(chats);
        self.board
            .say(message, Saying::Text(text.to_owned()), false);
    }

    fn chat_of(&self, message: &str) -> Option<String> {
        lock(&self.chats).get(message).cloned()
    }

    fn list_client(&self, n: u64) -> ClientId {
        ClientId(self.client.0 | (1 + n % LISTING))
    }

    /// Takes what the session and its turns send out. Never blocks.
    fn outbound(&self, outbound: Outbound) {
        let Some(request) = outbound.request_id else {
            return;
        };
        let settled = || self.mailbox.put(Note::Settled(request.clone()));
        match outbound.body {
            Body::Accepted => settled(),
            Body::Delta {
                text,
                reasoning: false,
            } => self.board.delta(&request, &text),
            Body::ToolStarted { call_id, name, .. } => {
                self.board.tool(&request, &call_id, &name, '⏳');
            }
            Body::ToolFinished {
                call_id,
                name,
                is_error,
                ..
            } => {
                let sign = if is_error { '❌' } else { '✅' };
                self.board.tool(&request, &call_id, &name, sign);
            }
            Body::ApprovalRequest(question) => {
                self.board.say(&request, Saying::Ask(question), false);
            }
            Body::ApprovalResolved { id, outcome } => {
                self.mailbox.put(Note::Decided(id.clone()));
                self.board
                    .say(&request, Saying::Settled(id, outcome), false);
            }
            Body::Command { content, .. } => {
                let content = render::keep_lines(&content);
                match request.rsplit_once(':') {
                    // A button was pressed: its card shows what came of it.
                    Some((card, _)) => {
                        let state = Saying::Update(card.to_owned(), send::text_card(&content));
                        self.board.say(&request, state, false);
                    }
                    None => self.board.say(&request, Saying::Text(content), true),
                }
            }
            Body::List { dialogs, .. } => self.board.say(
                &request,
                dialogs_card(&dialogs, &self.store, &request),
                true,
            ),
            Body::Error { code, message } => match code {
                ErrorCode::Storage => self.mailbox.put(Note::NotStored(request)),
                // The next process hands it over again.
                ErrorCode::ShuttingDown => {}
                ErrorCode::QueueFull => self.board.say(&request, Saying::Text(message), true),
                ErrorCode::Stopped => {
                    settled();
                    self.board.dropped(&request);
                }
                // How a turn ended comes through the outbox.
                _ => {
                    settled();
                    self.board.give_up(&request);
                }
            },
            Body::Answer { merged, .. } => {
                settled();
                self.board.give_up(&request);
                if merged {
                    self.board.dropped(&request);
                }
            }
            _ => {}
        }
    }

    fn room(&self) {
        if self.wants_room.load(Ordering::SeqCst) && self.wants_room.swap(false, Ordering::SeqCst) {
            self.mailbox.put(Note::Room);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The dialogs of a chat with a button for each, or as text where cards are refused.
fn dialogs_card(dialogs: &[DialogInfo], store: &Arc<dyn Store>, request: &str) -> Saying {
    if dialogs.is_empty() {
        return Saying::Text(words::NO_DIALOGS.to_owned());
    }
    // A chat whose kind cannot be told is taken for a group: then only owners may press.
    let is_group = store
        .trace(request)
        .ok()
        .flatten()
        .is_none_or(|trace| trace.is_group);
    let mut lines = Vec::new();
    let mut buttons = Vec::new();
    for info in dialogs.iter().take(MAX_BUTTONS) {
        let dialog = info.session.dialog.as_str();
        let title: String = info.title.chars().take(40).collect();
        lines.push(format!("{dialog}: {title} ({})", info.n_messages));
        let value = actions::switch_value(info.session.chat.as_str(), dialog, is_group);
        buttons.push((format!("{dialog} · {title}"), "default", value));
    }
    let text = lines.join("\n");
    let shown = lines.join("\n\n");
    Saying::Card(render::button_card(words::DIALOGS, &shown, &buttons), text)
}

/// Hands the outbox's answers to one bot.
struct Pusher {
    jobs: Sender<send::Job>,
}

impl PushChannel for Pusher {
    fn push(&mut self, pending: &Pending) -> Result<(), PushError> {
        let gone = || PushError::Temporary("the channel has ended".to_owned());
        let (done, result) = bounded(1);
        let pending = pending.clone();
        self.jobs
            .send(send::Job { pending, done })
            .map_err(|_| gone())?;
        result.recv().map_err(|_| gone())?
    }
}

/// What one bot is made of.
pub struct Account {
    /// Its configuration; enabled.
    pub config: FeishuConfig,
    /// Whose certificates it trusts.
    pub trust: Trust,
    /// Folders that commands may write to: the workspace and what the sandbox opens besides; absolute.
    pub open_folders: Vec<PathBuf>,
    /// What it keeps.
    pub store: Arc<dyn Store>,
    /// Its state for `/health`.
    pub health: Arc<ChannelHealth>,
    /// Pairing codes.
    pub codes: Codes,
    /// Where files of answers are read from.
    pub files: Arc<dyn Files>,
}

struct Running {
    bot: Arc<Bot>,
    /// Closing it ends waits and calls.
    stop: Option<Sender<()>>,
    recv: Option<Thread>,
    send: Thread,
    sender_ended: Receiver<()>,
}

/// The running bots.
pub struct Feishu {
    running: Vec<Running>,
}

/// The way from the session to the bots; cheap to clone.
#[derive(Clone)]
pub struct FeishuSink(Arc<[Arc<Bot>]>);

impl FeishuSink {
    /// Takes a message for a bot; gives back what is for somebody else.
    pub fn push(&self, outbound: Outbound) -> Option<Outbound> {
        if outbound.client.0 & CLIENTS == 0 {
            return Some(outbound);
        }
        let index = usize::try_from((outbound.client.0 & !CLIENTS) >> 40).unwrap_or(usize::MAX);
        if let Some(bot) = self.0.get(index) {
            bot.outbound(outbound);
        }
        None
    }

    /// Says that the session's queue has room.
    pub fn room(&self) {
        self.0.iter().for_each(|bot| bot.room());
    }
}

impl Feishu {
    /// Starts the bots; returns them and, for each, what takes its answers.
    pub fn start(
        accounts: Vec<Account>,
        queue: &SessionQueue,
        fatal: &Fatal,
    ) -> io::Result<(Self, PushChannels)> {
        let mut running = Vec::new();
        let mut pushers = PushChannels::new();
        for (index, account) in accounts.into_iter().enumerate() {
            let (one, pusher) = start_bot(index, account, queue.clone(), fatal)?;
            pushers.insert(one.bot.channel.clone(), Box::new(pusher));
            running.push(one);
        }
        Ok((Self { running }, pushers))
    }

    /// Returns the way from the session to the bots.
    pub fn sink(&self) -> FeishuSink {
        FeishuSink(self.running.iter().map(|one| one.bot.clone()).collect())
    }

    /// Returns what takes requests, with the path of each, for bots in webhook mode.
    pub fn hooks(&self) -> Vec<(String, Hook)> {
        let bots = self.running.iter().map(|one| &one.bot);
        bots.filter(|bot| bot.config.mode == FeishuMode::Webhook)
            .map(|bot| (bot.config.webhook_path.clone(), Hook::new(bot.clone())))
            .collect()
    }

    /// Takes nothing in any more; what was acknowledged is kept.
    pub fn stop_intake(&self) {
        for one in &self.running {
            one.bot.mailbox.put(Note::Stop);
        }
    }

    /// Ends the threads. Answers that are being handed in may go out until the deadline; what is left then stays in the
    /// outbox.
    pub fn stop(self, deadline: Instant) -> Vec<JoinError> {
        let mut late = Vec::new();
        for mut one in self.running {
            let _ = one.sender_ended.recv_deadline(deadline);
            drop(one.stop.take());
            one.bot.api.shut();
            one.bot.board.ring();
            let end = deadline + Duration::from_secs(2);
            late.extend(one.send.join_until(end).err());
            late.extend(one.recv.and_then(|thread| thread.join_until(end).err()));
        }
        late
    }
}

fn start_bot(
    index: usize,
    account: Account,
    queue: SessionQueue,
    fatal: &Fatal,
) -> io::Result<(Running, Pusher)> {
    let Account {
        config,
        trust,
        open_folders,
        store,
        health,
        codes,
        files,
    } = account;
    let (stop, stopped) = bounded(0);
    let secret = config
        .app_secret
        .clone()
        .unwrap_or_else(|| crate::config::Secret::new(""));
    let api = Api::new(&config.base_url, &config.app_id, secret, &trust, stopped);
    let channel = ChannelId::new(&config.name).expect("names of bots are made by the program");
    let is_webhook = config.mode == FeishuMode::Webhook;
    let bot = Arc::new(Bot {
        channel,
        client: intake::client_of(index),
        api,
        trust,
        open_folders,
        store,
        health,
        codes,
        mailbox: Mailbox::new()?,
        board: Board::new(),
        files,
        wants_room: AtomicBool::new(false),
        identity: Mutex::default(),
        chats: Mutex::default(),
        config,
    });
    // One answer at a time: `outbound` waits for each.
    let (jobs, handed_in) = bounded(1);
    let (alive, sender_ended) = bounded(1);
    let send = spawn_actor("feishu-send", SEND_STACK_BYTES, fatal, {
        let sending = send::Sending::new(bot.clone(), handed_in);
        move || {
            let _alive: Sender<()> = alive;
            sending.run();
        }
    })?;
    let recv = spawn_actor("feishu-recv", RECV_STACK_BYTES, fatal, {
        let intake = intake::Intake::new(bot.clone(), queue);
        let receiver = recv::Receiver::new(bot.clone(), intake, is_webhook);
        move || receiver.run()
    })?;
    let running = Running {
        bot,
        stop: Some(stop),
        recv: Some(recv),
        send,
        sender_ended,
    };
    Ok((running, Pusher { jobs }))
}
