//! From events to inputs of the session. Runs on `feishu-recv`: decides who is heard, keeps each event before it is
//! acknowledged, puts files and their text together, lets `feishu-load` fetch, and hands inputs over in order per chat.
//!
//! An event is acknowledged when it is in the store. From there it reaches the session exactly once: the message's id is
//! the input's id, and what the session had not taken when the process ended is handed over again by the next one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::TrySendError;
use serde_json::Value;

use super::actions::Actions;
use super::board::Saying;
use super::bundle::{Bundle, Item};
use super::event::{self, Action, Event, MessageEvent};
use super::load::{Loaded, Loader};
use super::pairing;
use super::policy::{Policy, Verdict};
use super::ports::StoredEvent;
use super::rates::{PERSON, Rate, Rates};
use super::{Bot, Note, content, words};
use crate::bus::{Caller, ClientId, Control, Inbound, InboundBody, Op, SessionQueue, Wants};
use crate::chat::{ChatId, Command, Input, Lane as Way, Route, classify};
use crate::threads::SlotPool;

/// Files without a text wait so long for one.
const HOLD: Duration = Duration::from_millis(600);
/// The service repeats events for about seven hours; what is older is no repeat and nobody waits for it.
const STALE: Duration = Duration::from_secs(8 * 3600);
/// Messages taken in and not handed over; more are refused, and the service sends them again later.
const MAX_OPEN: usize = 1000;
/// Events of one burst that are all answered before the first is worked on.
const MAX_AFTERWARDS: usize = 512;
/// Until an input that was not stored is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// A person who is too fast is told so this often.
const TOLD: Rate = Rate {
    burst: 1,
    each: Duration::from_secs(60),
};
/// Wrong pairing codes heard in a while.
const GUESSES: Rate = Rate {
    burst: 10,
    each: Duration::from_secs(30),
};
/// Strangers named in the log, so that whoever runs the bot finds their ids and nobody fills the log.
const NAMED: Rate = Rate {
    burst: 10,
    each: Duration::from_secs(60),
};
/// Between two looks for old rows.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(3600);
const LOAD_STACK_BYTES: usize = 512 * 1024;
/// Fetching at a time.
const MAX_LOADS: usize = 4;

/// What an event is answered with.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Reply {
    /// 200, or 500 to have the event again.
    pub(super) code: u16,
    /// The answer of a callback.
    pub(super) data: Option<Value>,
}

impl Reply {
    pub(super) const OK: Reply = Reply {
        code: 200,
        data: None,
    };
    const AGAIN: Reply = Reply {
        code: 500,
        data: None,
    };
}

/// Something for the session.
enum Outgoing {
    Inbound(Box<Inbound>),
    Control(Box<Control>),
}

/// One chat's messages in order.
#[derive(Default)]
struct Lane {
    held: Option<(Vec<Item>, Instant)>,
    ready: VecDeque<Bundle>,
    /// Its first bundle is being fetched.
    is_loading: bool,
    /// And is not wanted any more.
    is_stopped: bool,
    sending: VecDeque<Outgoing>,
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.held.is_none() && self.ready.is_empty() && !self.is_loading && self.sending.is_empty()
    }
}

/// An input that the session has not taken yet.
struct Open {
    messages: Vec<String>,
    chat: String,
    /// To be sent once more if it could not be stored.
    again: Option<Box<Inbound>>,
}

/// The intake of one bot.
pub(super) struct Intake {
    bot: Arc<Bot>,
    queue: SessionQueue,
    policy: Policy,
    loader: Arc<Loader>,
    pool: SlotPool<Bundle>,
    lanes: HashMap<String, Lane>,
    open: HashMap<String, Open>,
    later: Vec<(Instant, String, Box<Inbound>)>,
    persons: Rates,
    told: Rates,
    guesses: Rates,
    named: Rates,
    actions: Actions,
    /// What is left to do about events that were taken.
    afterwards: Vec<Afterwards>,
    swept_at: Instant,
    lists: u64,
}

/// What an event asks for before it is answered.
enum Step {
    None,
    /// It is heard.
    Keep(Box<Item>, StoredEvent),
    Recall(String),
}

/// What an event asks for once it is answered.
enum Afterwards {
    /// It is kept and new.
    Admit(Box<Item>),
    /// A message was taken back.
    Recall(String),
}

impl Intake {
    pub(super) fn new(bot: Arc<Bot>, queue: SessionQueue) -> Self {
        let people = bot.store.people().unwrap_or_else(|error| {
            log::error!("{}: paired people cannot be read: {error}", bot.config.name);
            Vec::new()
        });
        let loader = Arc::new(Loader::new(bot.clone()));
        let pool = SlotPool::new(
            "feishu-load",
            LOAD_STACK_BYTES,
            MAX_LOADS,
            0,
            {
                let loader = loader.clone();
                move |bundle| loader.load(bundle)
            },
            {
                let bot = bot.clone();
                move |loaded| bot.mailbox.put(Note::Loaded(Box::new(loaded)))
            },
        );
        Self {
            policy: Policy::new(bot.config.clone(), people),
            actions: Actions::default(),
            bot,
            queue,
            loader,
            pool,
            lanes: HashMap::new(),
            open: HashMap::new(),
            later: Vec::new(),
            persons: Rates::new(PERSON),
            told: Rates::new(TOLD),
            guesses: Rates::new(GUESSES),
            named: Rates::new(NAMED),
            afterwards: Vec::new(),
            swept_at: Instant::now(),
            lists: 0,
        }
    }

    /// Takes up what an earlier process acknowledged and did not hand over.
    pub(super) fn recover(&mut self) {
        let stored = match self.bot.store.open() {
            Ok(stored) => stored,
            Err(error) => {
                log::error!(
                    "{}: kept events cannot be read: {error}",
                    self.bot.config.name
                );
                return;
            }
        };
        if !stored.is_empty() {
            log::info!(
                "{}: {} kept messages go on",
                self.bot.config.name,
                stored.len()
            );
        }
        for kept in stored {
            match event::read(kept.event.as_bytes()) {
                Ok(Event::Message(event)) => {
                    let item = self.item(*event, kept.received_at);
                    self.admit(item, Instant::now());
                }
                _ => self.close(&[kept.message]),
            }
        }
        self.sweep();
    }

    /// Takes events that came together: keeps those that are heard in one go. What it returns is sent back, in the same
    /// order; after that comes [`Intake::go_on`]. So a burst is answered before the turns that it starts want the processor.
    pub(super) fn take(&mut self, events: &[Vec<u8>]) -> Vec<Reply> {
        let mut replies = Vec::with_capacity(events.len());
        let mut heard = Vec::new();
        let mut steps = Vec::new();
        for json in events {
            let (reply, step) = self.read(json, heard.len());
            match step {
                Step::None => {}
                Step::Keep(item, stored) => {
                    heard.push(stored);
                    steps.push((replies.len(), Afterwards::Admit(item)));
                }
                Step::Recall(message) => {
                    steps.push((replies.len(), Afterwards::Recall(message)));
                }
            }
            replies.push(reply);
        }
        let mut kept = self.record(&heard).map(Vec::into_iter);
        for (index, step) in steps {
            if let Afterwards::Admit(_) = step {
                let is_new = kept.as_mut().and_then(Iterator::next);
                let count = match is_new {
                    Some(true) => &self.bot.health.events,
                    Some(false) => &self.bot.health.repeats,
                    None => {
                        replies[index] = Reply::AGAIN;
                        continue;
                    }
                };
                count.fetch_add(1, Ordering::Relaxed);
                if is_new == Some(false) {
                    continue;
                }
            }
            self.afterwards.push(step);
        }
        replies
    }

    /// Keeps events; for each, whether it is new. `None` if they were not kept.
    fn record(&self, heard: &[StoredEvent]) -> Option<Vec<bool>> {
        if heard.is_empty() {
            return None;
        }
        let kept = self.bot.store.record(heard);
        let name = &self.bot.config.name;
        kept.map_err(|error| log::error!("{name}: messages were not kept: {error}"))
            .ok()
    }

    /// Tells whether so much is left to do about events taken that it should not wait for more of them.
    pub(super) fn has_much(&self) -> bool {
        self.afterwards.len() >= MAX_AFTERWARDS
    }

    /// Does what the events taken ask for, in their order.
    pub(super) fn go_on(&mut self) {
        let now = Instant::now();
        for one in std::mem::take(&mut self.afterwards) {
            match one {
                Afterwards::Admit(item) => self.admit_new(*item, now),
                Afterwards::Recall(message) => self.recall(&message),
            }
        }
        if now.duration_since(self.swept_at) > BETWEEN_SWEEPS {
            self.sweep();
        }
    }

    /// Judges an event; `heard` are so many before it that are still to be kept.
    fn read(&mut self, json: &[u8], heard: usize) -> (Reply, Step) {
        let name = &self.bot.config.name;
        match event::read(json) {
            Ok(Event::Message(event)) => return self.message(*event, json, heard),
            Ok(Event::Recalled { message }) => return (Reply::OK, Step::Recall(message)),
            Ok(Event::Action(action)) => return (self.action(&action), Step::None),
            Ok(Event::Other(kind)) => {
                let kind: String = kind.chars().filter(|c| !c.is_control()).take(80).collect();
                log::debug!("{name}: an event of type {kind:?} needs nothing");
            }
            // It would be no better the next time.
            Err(error) => log::warn!("{name}: an event cannot be read: {error}"),
        }
        (Reply::OK, Step::None)
    }

    fn item(&self, event: MessageEvent, received_at: SystemTime) -> Item {
        let bot = self.bot.known_open_id();
        let content = content::read(&event.kind, &event.content, &event.mentions, bot.as_deref());
        Item {
            event,
            content,
            received_at,
        }
    }

    fn message(&mut self, event: MessageEvent, json: &[u8], heard: usize) -> (Reply, Step) {
        let settled = (Reply::OK, Step::None);
        if !event.is_human || self.bot.known_open_id().as_deref() == Some(&event.sender) {
            return settled;
        }
        let age = event.sent_at.and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > STALE) {
            log::info!(
                "{}: a message of long ago is left alone",
                self.bot.config.name
            );
            return settled;
        }
        if event.is_group && !event.mentions.is_empty() && self.bot.known_open_id().is_none() {
            // Whether it is meant cannot be told yet, and asking here would hold other events up.
            self.bot.board.ask_identity();
            return (Reply::AGAIN, Step::None);
        }
        let item = self.item(event, SystemTime::now());
        match self.policy.judge(&item.event, item.content.mentions_bot) {
            Verdict::Heard => {}
            Verdict::Silent => return settled,
            Verdict::Stranger => {
                self.stranger(&item, Instant::now());
                return settled;
            }
        }
        if self.open.len() + self.waiting() + self.afterwards.len() + heard >= MAX_OPEN {
            // A flood of refusals is no reason for a flood of lines.
            let now = Instant::now();
            if self.told.has_one("", now) {
                self.told.take("", now);
                let name = &self.bot.config.name;
                log::warn!(
                    "{name}: {MAX_OPEN} messages wait; more are refused and come again later"
                );
            }
            return (Reply::AGAIN, Step::None);
        }
        let event = &item.event;
        let stored = StoredEvent {
            message: event.message.clone(),
            chat: event.chat.clone(),
            chat_type: if event.is_group { "group" } else { "p2p" }.to_owned(),
            thread: event.thread.clone(),
            event: String::from_utf8_lossy(json).into_owned(),
            received_at: item.received_at,
        };
        (Reply::OK, Step::Keep(Box::new(item), stored))
    }

    /// Takes a kept message in, unless its sender is too fast.
    fn admit_new(&mut self, item: Item, now: Instant) {
        let event = &item.event;
        if self.persons.has_one(&event.sender, now) {
            self.persons.take(&event.sender, now);
            return self.admit(item, now);
        }
        let (message, sender) = (event.message.clone(), event.sender.clone());
        log::info!("{}: a sender is too fast", self.bot.config.name);
        if self.told.has_one(&sender, now) {
            self.told.take(&sender, now);
            let text = Saying::Text(words::TOO_FAST.to_owned());
            self.bot.board.say(&message, text, false);
        }
        self.close(&[message]);
    }

    fn waiting(&self) -> usize {
        self.lanes.values().map(|lane| lane.ready.len()).sum()
    }

    fn sweep(&mut self) {
        self.swept_at = Instant::now();
        if let Err(error) = self.bot.store.sweep() {
            log::warn!("{}: old events stay: {error}", self.bot.config.name);
        }
    }

    /// Nothing is done for a stranger but counting, unless a private message holds a good pairing code.
    fn stranger(&mut self, item: &Item, now: Instant) {
        self.bot.health.strangers.fetch_add(1, Ordering::Relaxed);
        let event = &item.event;
        if self.named.has_one("", now) {
            self.named.take("", now);
            let sender: String = event
                .sender
                .chars()
                .filter(|c| !c.is_control())
                .take(100)
                .collect();
            let place = if event.is_group {
                "in groups both must be on a list"
            } else {
                "neither is on a list"
            };
            let (name, chat) = (&self.bot.config.name, &event.chat);
            log::info!("{name}: {sender} in {chat} was not heard: {place}");
        }
        if event.is_group
            || event.sender.is_empty()
            || pairing::normal(&item.content.text).is_none()
        {
            return;
        }
        if !self.guesses.has_one("", now) {
            log::warn!("{}: too many wrong pairing codes", self.bot.config.name);
            return;
        }
        let channel = &self.bot.config.name;
        let code = &item.content.text;
        let Some(is_owner) = self.bot.codes.redeem(channel, code, SystemTime::now()) else {
            self.guesses.take("", now);
            return;
        };
        match self.bot.store.add_person(&event.sender, is_owner) {
            Ok(()) => {
                log::info!("{channel}: {} was paired", event.sender);
                self.policy.add(&event.sender, is_owner);
                let text = if is_owner {
                    words::PAIRED_OWNER
                } else {
                    words::PAIRED
                };
                self.bot.say_to_chat(&event.chat, &event.message, text);
            }
            Err(error) => log::error!("{channel}: a pairing was not kept: {error}"),
        }
    }

    /// Puts a kept message into its chat's order.
    fn admit(&mut self, item: Item, now: Instant) {
        let chat = item.chat_name();
        let is_empty = item.content.text.is_empty()
            && item.content.resources.is_empty()
            && !item.content.is_forward
            && item.event.parent.is_none();
        if is_empty {
            let message = item.event.message.clone();
            let text = Saying::Text(words::EMPTY.to_owned());
            self.bot.board.say(&message, text, true);
            let open = Open {
                messages: vec![message.clone()],
                chat,
                again: None,
            };
            self.open.insert(message, open);
            return;
        }
        let lane = self.lanes.entry(chat.clone()).or_default();
        let held = lane.held.take();
        if item.content.is_files_only() {
            let until = now + HOLD;
            match held {
                Some((mut items, _)) if items[0].event.sender == item.event.sender => {
                    items.push(item);
                    lane.held = Some((items, until));
                }
                held => {
                    lane.held = Some((vec![item], until));
                    self.release(&chat, held.map(|(items, _)| items));
                }
            }
            return;
        }
        let is_command = matches!(classify(&item.content.text).0, Input::Command(_));
        match held {
            Some((mut items, _)) if !is_command && items[0].event.sender == item.event.sender => {
                items.push(item);
                self.release(&chat, Some(items));
            }
            held => {
                self.release(&chat, held.map(|(items, _)| items));
                self.release(&chat, Some(vec![item]));
            }
        }
    }

    /// Makes a bundle of messages that wait for nothing more.
    fn release(&mut self, chat: &str, items: Option<Vec<Item>>) {
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            return;
        };
        let is_owner = self.policy.is_owner(&items[0].event.sender);
        let bundle = Bundle { items, is_owner };
        let main = bundle.main();
        let (input, way) = classify(&main.content.text);
        if let Input::Command(command) = &input
            && !self.policy.may_command(&main.event, &command.name)
        {
            return self.answer_without_session(&bundle, chat, words::OWNERS_ONLY);
        }
        self.bot.board.received(bundle.request());
        if let (Input::Command(command), Way::Control) = (input, way) {
            // It waits for no download. What waits in the chat is stopped here, the rest by the session.
            if command.name == "stop" && command.argument.is_empty() {
                self.stop_waiting(chat);
            }
            let text = main.content.text.clone();
            self.hand_over(Loaded {
                bundle,
                text,
                files: Vec::new(),
                sender: None,
            });
            self.advance(chat);
            return;
        }
        self.lanes
            .entry(chat.to_owned())
            .or_default()
            .ready
            .push_back(bundle);
        self.advance(chat);
    }

    /// Answers a bundle that the session never sees; it stays kept until that is said.
    fn answer_without_session(&mut self, bundle: &Bundle, chat: &str, text: &str) {
        let text = Saying::Text(text.to_owned());
        self.bot.board.say(bundle.request(), text, true);
        self.remember(bundle, chat, None);
    }

    /// Stops what of a chat was not handed to the session.
    fn stop_waiting(&mut self, chat: &str) {
        // What waits for room in the session's queue comes first; the command overtakes it.
        for request in self.take_back(chat, &|_| true) {
            let text = Saying::Text(words::STOPPED.to_owned());
            self.bot.board.say(&request, text, true);
        }
        let Some(lane) = self.lanes.get_mut(chat) else {
            return;
        };
        lane.is_stopped = lane.is_loading;
        for bundle in std::mem::take(&mut lane.ready) {
            self.answer_without_session(&bundle, chat, words::STOPPED);
        }
    }

    /// Takes inputs of a chat back that the session has not got; returns their ids, which stay open.
    fn take_back(&mut self, chat: &str, is_meant: &dyn Fn(&str) -> bool) -> Vec<String> {
        let mut taken = Vec::new();
        let mut stays = |inbound: &Inbound| {
            let request = inbound.caller.request_id.as_deref();
            let request = request.filter(|request| is_meant(request));
            match (&inbound.body, request) {
                (InboundBody::Input { .. }, Some(request)) => {
                    taken.push(request.to_owned());
                    false
                }
                _ => true,
            }
        };
        if let Some(lane) = self.lanes.get_mut(chat) {
            lane.sending.retain(|outgoing| match outgoing {
                Outgoing::Inbound(inbound) => stays(inbound),
                Outgoing::Control(_) => true,
            });
        }
        self.later
            .retain(|(_, of, inbound)| of != chat || stays(inbound));
        taken
    }

    fn remember(&mut self, bundle: &Bundle, chat: &str, again: Option<Box<Inbound>>) {
        let open = Open {
            messages: bundle.messages(),
            chat: chat.to_owned(),
            again,
        };
        self.open.insert(bundle.request().to_owned(), open);
    }

    /// Does what can be done for a chat now.
    fn advance(&mut self, chat: &str) {
        loop {
            if !self.send_out(chat) {
                return;
            }
            let Some(lane) = self.lanes.get_mut(chat) else {
                return;
            };
            if lane.is_loading {
                return;
            }
            let Some(bundle) = lane.ready.pop_front() else {
                if lane.is_empty() {
                    self.lanes.remove(chat);
                }
                return;
            };
            if !self.loader.must_fetch(&bundle) {
                let loaded = self.loader.load(bundle);
                self.hand_over(loaded);
                continue;
            }
            match self.pool.try_run(bundle) {
                Ok(()) => lane.is_loading = true,
                // All slots are busy: one that ends comes back here.
                Err(bundle) => lane.ready.push_front(bundle),
            }
            return;
        }
    }

    /// What was fetched is here.
    pub(super) fn loaded(&mut self, loaded: Loaded) {
        let chat = loaded.bundle.main().chat_name();
        let mut is_stopped = false;
        if let Some(lane) = self.lanes.get_mut(&chat) {
            lane.is_loading = false;
            is_stopped = std::mem::take(&mut lane.is_stopped);
        }
        let is_recalled = |item: &Item| self.bot.board.is_recalled(&item.event.message);
        let bundle = &loaded.bundle;
        if is_recalled(bundle.main()) || !(is_stopped || bundle.items.iter().any(is_recalled)) {
            self.hand_over(loaded);
        } else if is_stopped {
            self.answer_without_session(&loaded.bundle, &chat, words::STOPPED);
        } else {
            // A part of it was taken back meanwhile: it is made anew from what is left.
            let mut bundle = loaded.bundle;
            bundle.items.retain(|item| !is_recalled(item));
            let lane = self.lanes.entry(chat.clone()).or_default();
            lane.ready.push_front(bundle);
        }
        self.advance(&chat);
        let waiting: Vec<String> = self
            .lanes
            .iter()
            .filter(|(_, lane)| !lane.is_loading && !lane.ready.is_empty())
            .map(|(chat, _)| chat.clone())
            .collect();
        for chat in waiting {
            self.advance(&chat);
        }
    }

    /// Puts an input in the line to the session.
    fn hand_over(&mut self, loaded: Loaded) {
        let Loaded {
            bundle,
            text,
            files,
            sender,
        } = loaded;
        let chat = bundle.main().chat_name();
        let request = bundle.request().to_owned();
        if self.bot.board.is_recalled(&request) {
            self.bot.board.dropped(&request);
            self.close(&bundle.messages());
            return;
        }
        let route = self.route(&chat);
        let caller = self.caller(Some(request));
        let at = bundle.main().received_at;
        let outgoing = match classify(&text) {
            (Input::Command(command), _)
                if command.name == "sessions" && command.argument.is_empty() =>
            {
                self.remember(&bundle, &chat, None);
                return self.list_dialogs(caller, route, at);
            }
            (Input::Command(command), Way::Control) => Outgoing::Control(Box::new(Control {
                caller,
                op: Op::Command {
                    route: Some(route),
                    session: None,
                    command,
                },
            })),
            _ => Outgoing::Inbound(Box::new(Inbound {
                caller,
                body: InboundBody::Input {
                    route: Some(route),
                    session: None,
                    sender,
                    text,
                    files,
                    guest: bundle.is_foreign(),
                },
                at,
            })),
        };
        let again = match &outgoing {
            Outgoing::Inbound(inbound) => Some(inbound.clone()),
            Outgoing::Control(_) => None,
        };
        self.remember(&bundle, &chat, again);
        let sending = &mut self.lanes.entry(chat).or_default().sending;
        // Each kind keeps its order, and inputs that wait for room hold no command up.
        let is_control = |outgoing: &Outgoing| matches!(outgoing, Outgoing::Control(_));
        let at = match &outgoing {
            Outgoing::Inbound(_) => sending.len(),
            Outgoing::Control(_) => sending.iter().take_while(|one| is_control(one)).count(),
        };
        sending.insert(at, outgoing);
    }

    /// Asks for the chat's dialogs as a client that exists for this question only: lists are about a client's chat.
    fn list_dialogs(&mut self, caller: Caller, route: Route, at: SystemTime) {
        self.lists += 1;
        let client = self.bot.list_client(self.lists);
        let chat = route.chat.as_str().to_owned();
        let lane = self.lanes.entry(chat).or_default();
        let ask = |body, request_id: Option<String>| {
            let caller = Caller {
                client,
                request_id,
                wants: Wants::default(),
            };
            Outgoing::Inbound(Box::new(Inbound { caller, body, at }))
        };
        lane.sending
            .push_back(ask(InboundBody::Connected { route }, None));
        let list = InboundBody::List {
            archived: false,
            all: false,
            offset: None,
        };
        lane.sending.push_back(ask(list, caller.request_id));
        lane.sending.push_back(ask(InboundBody::Disconnected, None));
    }

    fn route(&self, chat: &str) -> Route {
        Route {
            channel: self.bot.channel.clone(),
            chat: ChatId::new(chat).expect("ids of the service are checked when they are read"),
        }
    }

    fn caller(&self, request_id: Option<String>) -> Caller {
        Caller {
            client: self.bot.client,
            request_id,
            wants: Wants {
                accepted: true,
                deltas: self.bot.config.streaming,
                tools: self.bot.config.streaming,
                approvals: self.policy.has_owners(),
                ..Wants::default()
            },
        }
    }

    /// Sends what a chat has for the session; false if there is no room.
    fn send_out(&mut self, chat: &str) -> bool {
        while let Some(lane) = self.lanes.get_mut(chat) {
            let Some(outgoing) = lane.sending.pop_front() else {
                return true;
            };
            if let Err(back) = send(&self.queue, &self.bot, outgoing) {
                lane.sending.push_front(back);
                return false;
            }
        }
        true
    }

    /// The session has room again.
    pub(super) fn room(&mut self) {
        let chats: Vec<String> = self
            .lanes
            .iter()
            .filter(|(_, lane)| !lane.sending.is_empty())
            .map(|(chat, _)| chat.clone())
            .collect();
        for chat in chats {
            self.advance(&chat);
        }
    }

    /// The session has taken an input, or its answer was sent.
    pub(super) fn settled(&mut self, request: &str) {
        if let Some(open) = self.open.remove(request) {
            self.close(&open.messages);
        }
    }

    /// The session could not store an input.
    pub(super) fn not_stored(&mut self, request: &str) {
        if let Some(open) = self.open.get_mut(request)
            && let Some(inbound) = open.again.clone()
        {
            log::warn!(
                "{}: an input was not stored; trying again",
                self.bot.config.name
            );
            self.later
                .push((Instant::now() + AGAIN, open.chat.clone(), inbound));
        }
    }

    fn close(&self, messages: &[String]) {
        if let Err(error) = self.bot.store.close(messages) {
            // The next process hands it over again, and the session knows it.
            log::error!("{}: {error}", self.bot.config.name);
        }
    }

    /// A message was taken back: what waits is dropped, what runs is stopped.
    fn recall(&mut self, message: &str) {
        self.bot.board.recalled(message);
        let mut dropped = Vec::new();
        for lane in self.lanes.values_mut() {
            if let Some((items, _)) = &mut lane.held {
                items.retain(|item| item.event.message != message);
            }
            if lane
                .held
                .as_ref()
                .is_some_and(|(items, _)| items.is_empty())
            {
                lane.held = None;
            }
            dropped.extend(drop_from(&mut lane.ready, message));
        }
        for bundle in dropped {
            self.bot.board.dropped(bundle.request());
            self.close(&bundle.messages());
        }
        self.close(&[message.to_owned()]);
        let trace = self.bot.store.trace(message).ok().flatten();
        let Some(trace) = trace else { return };
        let chat = match &trace.thread {
            Some(thread) => format!("{}:{thread}", trace.chat),
            None => trace.chat,
        };
        for request in self.take_back(&chat, &|request| request == message) {
            self.bot.board.dropped(&request);
            self.settled(&request);
        }
        let control = Control {
            caller: self.caller(None),
            op: Op::Command {
                route: Some(self.route(&chat)),
                session: None,
                command: Command {
                    name: "stop".to_owned(),
                    argument: message.to_owned(),
                },
            },
        };
        let lane = self.lanes.entry(chat.clone()).or_default();
        lane.sending.push_back(Outgoing::Control(Box::new(control)));
        self.advance(&chat);
    }

    /// A question is open no more.
    pub(super) fn decided(&mut self, question: &str) {
        self.actions.decided(question);
    }

    /// A button was pressed. Whoever may not press it is told so; each button works once.
    fn action(&mut self, action: &Action) -> Reply {
        let is_owner = self.policy.is_owner(&action.person);
        let is_known = self.policy.knows(&action.person);
        let outcome = self.actions.press(action, is_owner, is_known);
        if let Some((chat, request, text)) = outcome.command {
            let inbound = Inbound {
                caller: self.caller(Some(request)),
                body: InboundBody::Input {
                    route: Some(self.route(&chat)),
                    session: None,
                    sender: None,
                    text,
                    files: Vec::new(),
                    guest: false,
                },
                at: SystemTime::now(),
            };
            let lane = self.lanes.entry(chat.clone()).or_default();
            lane.sending.push_back(Outgoing::Inbound(Box::new(inbound)));
            self.advance(&chat);
        }
        if let Some((id, answer)) = outcome.approval {
            let control = Control {
                caller: self.caller(None),
                op: Op::Approve { id, answer },
            };
            let lane = self.lanes.entry(action.chat.clone()).or_default();
            lane.sending.push_back(Outgoing::Control(Box::new(control)));
            self.advance(&action.chat);
        }
        Reply {
            code: 200,
            data: Some(outcome.reply),
        }
    }

    /// When something is to be done without being told.
    pub(super) fn due(&self) -> Option<Instant> {
        let held = self.lanes.values().filter_map(|lane| lane.held.as_ref());
        let held = held.map(|(_, until)| *until);
        held.chain(self.later.iter().map(|(at, ..)| *at)).min()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        let is_due = |lane: &Lane| lane.held.as_ref().is_some_and(|(_, until)| *until <= now);
        let chats: Vec<String> = self
            .lanes
            .iter()
            .filter(|(_, lane)| is_due(lane))
            .map(|(chat, _)| chat.clone())
            .collect();
        for chat in chats {
            let held = self.lanes.get_mut(&chat).and_then(|lane| lane.held.take());
            self.release(&chat, held.map(|(items, _)| items));
        }
        let later = std::mem::take(&mut self.later);
        for (at, chat, inbound) in later {
            if at > now {
                self.later.push((at, chat, inbound));
                continue;
            }
            let lane = self.lanes.entry(chat.clone()).or_default();
            lane.sending.push_back(Outgoing::Inbound(inbound));
            self.advance(&chat);
        }
    }
}

/// Takes a message out of bundles that wait; returns the bundles that it was the main one of, which go with it.
fn drop_from(ready: &mut VecDeque<Bundle>, message: &str) -> Vec<Bundle> {
    let (dropped, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(ready)
        .into_iter()
        .partition(|bundle| bundle.request() == message);
    *ready = kept;
    for bundle in ready {
        bundle.items.retain(|item| item.event.message != message);
    }
    dropped.into()
}

/// Sends to the session; gives the message back if there is no room. A session that has ended takes everything.
fn send(queue: &SessionQueue, bot: &Bot, outgoing: Outgoing) -> Result<(), Outgoing> {
    match outgoing {
        Outgoing::Control(control) => match queue.control.try_send(*control) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(back)) => {
                bot.wants_room.store(true, Ordering::SeqCst);
                Err(Outgoing::Control(Box::new(back)))
            }
        },
        Outgoing::Inbound(inbound) => {
            let mut inbound = inbound;
            // The wish must be known before the last try, or the room it waits for may be made unseen.
            for wished in [false, true] {
                if wished {
                    bot.wants_room.store(true, Ordering::SeqCst);
                }
                match queue.inbound.try_send(*inbound) {
                    Ok(()) | Err(TrySendError::Disconnected(_)) => return Ok(()),
                    Err(TrySendError::Full(back)) => inbound = Box::new(back),
                }
            }
            Err(Outgoing::Inbound(inbound))
        }
    }
}

/// The id of the client that a bot is for the session.
pub(super) fn client_of(index: usize) -> ClientId {
    ClientId(super::CLIENTS | (index as u64) << 40)
}

#[cfg(test)]
pub(super) mod tests;
