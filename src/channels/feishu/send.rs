//! The `feishu-send` thread: everything the bot sends, one thing after the other, so that nothing is overtaken.
//!
//! Answers of turns come from the outbox (`outbound` waits for each); what is being written, direct answers and
//! reactions come from the board. Each message has an idempotency key made from what it answers: sending it again after
//! a crash sends nothing new. A card that shows an answer while it is written is noted before it is shown, and is what
//! the answer goes into, in this process or the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, TryRecvError, at, never, select};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::actions::{approval_card, approval_text, outcome_card};
use super::api::ApiError;
use super::board::{Say, Saying, Shown};
use super::bundle::parse_chat_name;
use super::calls::{Content, Target};
use super::codes::Kind;
use super::ports::{CardTrace, StoreError, Trace};
use super::rates::{APP, CHAT, Rates};
use super::render::{ANSWER, Form, TOOLS, answer_card, stream_markdown, streaming_card};
use super::split::{MAX_PIECE_BYTES, split};
use super::upload::upload;
use super::{Bot, Note, words};
use crate::bus::ApprovalRequest;
use crate::channels::outbound::{Pending, PushError};

/// Tries of a direct answer before it is given up.
const MAX_TRIES: u32 = 20;
/// Longest pause between them.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Tries of putting an answer into the card that showed it; then it goes another way, so that nobody waits with half of it.
const CARD_TRIES: u32 = 2;
/// No card is tried so long after the service said that the app may not.
const CARDLESS: Duration = Duration::from_secs(3600);

/// An answer to send, and whom to tell.
pub(super) struct Job {
    pub(super) pending: Pending,
    pub(super) done: Sender<Result<(), PushError>>,
}

/// The card of one answer.
struct Card {
    trace: CardTrace,
    tools: String,
    text: String,
}

/// The sender of one bot.
pub(super) struct Sending {
    bot: Arc<Bot>,
    jobs: Receiver<Job>,
    per_chat: Rates,
    per_app: Rates,
    cards: HashMap<String, Card>,
    /// The last number used on each card.
    sequences: HashMap<String, i32>,
    reactions: HashMap<String, String>,
    no_cards_until: Option<Instant>,
    no_reactions: bool,
    /// Open questions and the messages that show them.
    asked: HashMap<String, (String, Arc<ApprovalRequest>)>,
}

/// Where a message goes, and the chat whose pace counts.
struct Place {
    target: Target,
    chat: String,
}

impl Sending {
    pub(super) fn new(bot: Arc<Bot>, jobs: Receiver<Job>) -> Self {
        Self {
            no_reactions: bot.config.reaction_emoji.is_empty(),
            bot,
            jobs,
            per_chat: Rates::new(CHAT),
            per_app: Rates::new(APP),
            cards: HashMap::new(),
            sequences: HashMap::new(),
            reactions: HashMap::new(),
            no_cards_until: None,
            asked: HashMap::new(),
        }
    }

    /// Sends until nobody can hand anything in; what is left then stands in the database.
    pub(super) fn run(mut self) {
        loop {
            match self.jobs.try_recv() {
                Ok(job) => {
                    self.job(job);
                    continue;
                }
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {}
            }
            if self.work_from_board() {
                continue;
            }
            let due = self.bot.board.due().map_or_else(never, at);
            select! {
                recv(self.jobs) -> job => match job {
                    Ok(job) => self.job(job),
                    Err(_) => return,
                },
                recv(self.bot.board.woken()) -> _ => {}
                recv(due) -> _ => {}
            }
        }
    }

    /// Does one thing from the board; false if there is nothing to do now.
    fn work_from_board(&mut self) -> bool {
        let now = Instant::now();
        if let Some(say) = self.bot.board.next_say(now) {
            self.say(say);
        } else if let Some(message) = self.bot.board.next_dropped() {
            self.drop_live(&message);
        } else if let Some(message) = self.bot.board.next_reaction() {
            self.react(&message);
        } else if self.bot.board.next_identity() {
            self.bot.open_id();
        } else if let Some(shown) = self.bot.board.next_shown(now) {
            self.show(&shown);
        } else {
            return false;
        }
        true
    }

    fn job(&mut self, job: Job) {
        let result = self.deliver(&job.pending);
        if let Err(PushError::Permanent(_)) = &result
            && let Some(message) = answered(&job.pending)
        {
            // Nobody is to wait for what will not come.
            self.drop_live(message);
        }
        let _ = job.done.send(result);
    }

    /// Sends an answer: into its card if it has one, and what is too long for that behind it.
    fn deliver(&mut self, pending: &Pending) -> Result<(), PushError> {
        let message = answered(pending);
        let trace = match message {
            Some(message) => self.bot.store.trace(message).map_err(temporary)?,
            None => None,
        };
        if let Some(message) = message
            && self.bot.board.is_recalled(message)
        {
            self.take_card_back(message, trace.as_ref());
            self.clean_up(message, trace.as_ref(), false);
            return Ok(());
        }
        if let Some(message) = message {
            if self.bot.board.take_reaction(message) {
                self.react(message);
            }
            self.bot.board.give_up(message);
        }
        let place = self.place(pending.route.chat.as_str(), message, trace.as_ref())?;
        let (body, following) = upload(&self.bot.api, &*self.bot.files, &pending.body)
            .map_err(|error| PushError::Temporary(error.to_string()))?;
        let pieces = split(&body, MAX_PIECE_BYTES);
        let base = format!(
            "{}\n{}\n{}",
            pending.route.channel,
            message.unwrap_or(&pending.body),
            pending.idempotency_key
        );
        let mut sent = 0;
        if let (Some(message), Some(card)) = (message, trace.as_ref().and_then(|t| t.card.clone()))
        {
            let is_last_try = pending.attempts >= CARD_TRIES;
            let is_shown = self.finish_card(&place, message, &card, &pieces[0], is_last_try)?;
            sent = usize::from(is_shown);
        }
        for (n, piece) in pieces.iter().enumerate().skip(sent) {
            self.send_piece(&place, piece, &format!("{base}\n{n}"))?;
        }
        for (n, file) in following.into_iter().enumerate() {
            let content = Content {
                kind: file.kind,
                json: json!({"file_key": file.key}),
            };
            let key = uuid(&format!("{base}\nfile {n}"), 'f');
            match self.send(&place, &content, &key) {
                Ok(_) => {}
                Err(error) if error.kind() == Kind::Passing => {
                    return Err(PushError::Temporary(error.to_string()));
                }
                Err(error) => log::warn!("a file of an answer was not sent: {error}"),
            }
        }
        if let Some(message) = message {
            self.clean_up(message, trace.as_ref(), true);
        }
        Ok(())
    }

    /// In groups and topics an answer stands under its message, in private chats in the chat.
    fn place(
        &self,
        chat_name: &str,
        message: Option<&str>,
        trace: Option<&Trace>,
    ) -> Result<Place, PushError> {
        let (chat, thread) = parse_chat_name(chat_name);
        let under = match (message, thread) {
            (Some(message), _) => {
                let is_reply = thread.is_some() || trace.is_some_and(|trace| trace.is_group);
                is_reply.then(|| message.to_owned())
            }
            (None, Some(thread)) => self.bot.store.newest_in(chat, thread).map_err(temporary)?,
            (None, None) => None,
        };
        Ok(Place {
            target: under.map_or_else(|| Target::Chat(chat.to_owned()), Target::Reply),
            chat: chat.to_owned(),
        })
    }

    /// Sends one piece in the best form that the service takes.
    fn send_piece(&mut self, place: &Place, text: &str, base: &str) -> Result<(), PushError> {
        let mut form = Form::of(text);
        loop {
            let key = uuid(base, form.letter());
            match self.send(place, &form.content(text), &key) {
                Ok(_) => return Ok(()),
                Err(error) => match (error.kind(), form.below()) {
                    (Kind::CardRefused | Kind::FormRefused, Some(below)) => {
                        log::warn!("a message was refused and goes out in another form: {error}");
                        form = below;
                    }
                    (Kind::Passing | Kind::Permission | Kind::Credentials, _) => {
                        return Err(PushError::Temporary(error.to_string()));
                    }
                    (kind, _) => {
                        if kind != Kind::ChatClosed {
                            self.say_refused(place, base, &error);
                        }
                        return Err(PushError::Permanent(error.to_string()));
                    }
                },
            }
        }
    }

    /// Says in plain words that an answer cannot be shown, where that is about the answer and not about the chat.
    fn say_refused(&mut self, place: &Place, base: &str, refusal: &ApiError) {
        let content = Content {
            kind: "text",
            json: json!({"text": words::refused(refusal)}),
        };
        if let Err(error) = self.send(place, &content, &uuid(base, 'r')) {
            log::warn!("that an answer was refused could not be said: {error}");
        }
    }

    /// Sends a message at the pace of its chat; under a message that is gone nothing can stand, so it goes into the chat.
    fn send(&mut self, place: &Place, content: &Content, key: &str) -> Result<String, ApiError> {
        self.pace(&place.chat)?;
        match self.bot.api.send(&place.target, content, key) {
            Err(error)
                if error.kind() == Kind::TargetGone && matches!(place.target, Target::Reply(_)) =>
            {
                self.pace(&place.chat)?;
                let chat = Target::Chat(place.chat.clone());
                self.bot.api.send(&chat, content, key)
            }
            result => result,
        }
    }

    fn pace(&mut self, chat: &str) -> Result<(), ApiError> {
        let now = Instant::now();
        let wait = self
            .per_chat
            .take(chat, now)
            .max(self.per_app.take("", now));
        if wait.is_zero() {
            Ok(())
        } else {
            self.bot.api.pause(wait)
        }
    }

    /// Puts an answer into its card; false if the card cannot show it and is gone.
    fn finish_card(
        &mut self,
        place: &Place,
        message: &str,
        card: &CardTrace,
        text: &str,
        is_last_try: bool,
    ) -> Result<bool, PushError> {
        let shown = if card.message.is_empty() {
            // The process ended between making it and showing it; the key keeps it from being shown twice.
            match self.show_card(place, message, &card.card) {
                Ok(shown) => shown,
                Err(error) if error.kind() == Kind::Passing => {
                    return Err(PushError::Temporary(error.to_string()));
                }
                Err(_) => return Ok(false),
            }
        } else {
            card.message.clone()
        };
        let sequence = self.sequence(card);
        match self.bot.api.close_card(&card.card, sequence) {
            Err(error) if error.kind() == Kind::Passing && !is_last_try => {
                return Err(PushError::Temporary(error.to_string()));
            }
            // It may have closed by itself after ten minutes.
            Ok(()) | Err(_) => {}
        }
        let full = answer_card(text);
        let sequence = self.sequence(card);
        let error = match self.bot.api.replace_card(&card.card, &full, sequence) {
            Ok(()) => return Ok(true),
            Err(error) => error,
        };
        if error.kind() == Kind::Passing && !is_last_try {
            return Err(PushError::Temporary(error.to_string()));
        }
        log::warn!("an answer does not get into its card: {error}");
        match self.bot.api.patch(&shown, &full) {
            Ok(()) => return Ok(true),
            // Nothing goes through at all: sent anew, the answer could stand there twice.
            Err(error) if error.kind() == Kind::Passing => {
                return Err(PushError::Temporary(error.to_string()));
            }
            Err(_) => {}
        }
        match self.bot.api.recall(&shown) {
            Err(error) if error.kind() == Kind::Passing => {
                return Err(PushError::Temporary(error.to_string()));
            }
            Err(error) => log::warn!("a card that was given up stays: {error}"),
            Ok(()) => {}
        }
        Ok(false)
    }

    /// Numbers of a card's changes must grow, over restarts too: they count the milliseconds since it was made.
    fn sequence(&mut self, card: &CardTrace) -> i32 {
        let since = card.at.elapsed().unwrap_or_default().as_millis();
        let now = i32::try_from(since).unwrap_or(i32::MAX - 1000).max(1);
        let last = self.sequences.get(&card.card).copied().unwrap_or(0);
        let next = now.max(last.saturating_add(1));
        self.sequences.insert(card.card.clone(), next);
        next
    }

    fn take_card_back(&mut self, message: &str, trace: Option<&Trace>) {
        let card = trace.and_then(|trace| trace.card.as_ref());
        if let Some(card) = card.filter(|card| !card.message.is_empty())
            && let Err(error) = self.bot.api.recall(&card.message)
        {
            log::info!("the card of {message} stays: {error}");
        }
    }

    /// Takes the reaction away and forgets what was known of a message; one that was answered may get another reaction. The
    /// card of an answer stays noted: should the process end before the delivery is marked, the next one finds it again.
    fn clean_up(&mut self, message: &str, trace: Option<&Trace>, is_answered: bool) {
        self.bot.board.forget(message);
        if let Some(card) = self.cards.remove(message) {
            self.sequences.remove(&card.trace.card);
        }
        if let Some(card) = trace.and_then(|trace| trace.card.as_ref()) {
            self.sequences.remove(&card.card);
            if !is_answered {
                note(self.bot.store.set_card(message, None));
            }
        }
        let kept = trace.and_then(|trace| trace.reaction.clone());
        if let Some(reaction) = self.reactions.remove(message).or(kept) {
            if let Err(error) = self.bot.api.unreact(message, &reaction) {
                log::debug!("a reaction stays: {error}");
            }
            note(self.bot.store.set_reaction(message, None));
            let done = &self.bot.config.done_emoji;
            if is_answered
                && !done.is_empty()
                && let Err(error) = self.bot.api.react(message, done)
            {
                log::debug!("no closing reaction: {error}");
            }
        }
    }

    /// An input ended without an answer of its own.
    fn drop_live(&mut self, message: &str) {
        let trace = self.bot.store.trace(message).ok().flatten();
        self.take_card_back(message, trace.as_ref());
        self.clean_up(message, trace.as_ref(), false);
    }

    fn react(&mut self, message: &str) {
        if self.no_reactions || self.reactions.contains_key(message) {
            return;
        }
        match self.bot.api.react(message, &self.bot.config.reaction_emoji) {
            Ok(reaction) => {
                note(self.bot.store.set_reaction(message, Some(&reaction)));
                self.reactions.insert(message.to_owned(), reaction);
            }
            Err(error) => {
                let is_lasting = matches!(error, ApiError::Refused { code: 231_001, .. })
                    || error.kind() == Kind::Permission;
                if is_lasting {
                    log::warn!(
                        "no reactions any more: {error}; see reaction_emoji in docs/feishu.md"
                    );
                    self.no_reactions = true;
                } else {
                    log::debug!("no reaction: {error}");
                }
            }
        }
    }

    /// Shows an answer as far as it is written. A failure here costs nothing but the sight.
    fn show(&mut self, shown: &Shown) {
        let message = &shown.message;
        if self
            .no_cards_until
            .is_some_and(|until| until > Instant::now())
        {
            return self.bot.board.give_up(message);
        }
        // What does not fit into one card comes at the end.
        let text = split(&shown.text, MAX_PIECE_BYTES).swap_remove(0);
        let result = match self.cards.remove(message) {
            None => self.begin_card(message, &shown.tools, &text),
            Some(card) => self.update_card(message, card, &shown.tools, &text),
        };
        if let Err(error) = result {
            match error.kind() {
                Kind::Passing => log::debug!("an answer is not shown as it is written: {error}"),
                kind => {
                    log::warn!("answers are not shown as they are written: {error}");
                    self.bot.board.give_up(message);
                    if kind == Kind::Permission {
                        self.no_cards_until = Some(Instant::now() + CARDLESS);
                    }
                }
            }
        }
    }

    fn begin_card(&mut self, message: &str, tools: &str, text: &str) -> Result<(), ApiError> {
        let store_error = |error: StoreError| ApiError::Unreachable(error.to_string());
        let trace = self.bot.store.trace(message).map_err(store_error)?;
        let Some(trace) = trace else { return Ok(()) };
        if trace.card.is_some() {
            // Of an earlier process: the answer will go there.
            self.bot.board.give_up(message);
            return Ok(());
        }
        let chat_name = match &trace.thread {
            Some(thread) => format!("{}:{thread}", trace.chat),
            None => trace.chat.clone(),
        };
        let place = self
            .place(&chat_name, Some(message), Some(&trace))
            .map_err(|error| ApiError::Unreachable(error.to_string()))?;
        let id = self.bot.api.create_card(&streaming_card(tools, text))?;
        let mut card = CardTrace {
            card: id,
            message: String::new(),
            at: SystemTime::now(),
        };
        self.bot
            .store
            .set_card(message, Some(&card))
            .map_err(store_error)?;
        match self.show_card(&place, message, &card.card) {
            Ok(shown) => card.message = shown,
            Err(error) => {
                if error.kind() != Kind::Passing {
                    note(self.bot.store.set_card(message, None));
                }
                self.bot.board.give_up(message);
                return Err(error);
            }
        }
        self.bot
            .store
            .set_card(message, Some(&card))
            .map_err(store_error)?;
        let card = Card {
            trace: card,
            tools: tools.to_owned(),
            text: text.to_owned(),
        };
        self.cards.insert(message.to_owned(), card);
        Ok(())
    }

    fn show_card(&mut self, place: &Place, message: &str, card: &str) -> Result<String, ApiError> {
        let content = Content {
            kind: "interactive",
            json: json!({"type": "card", "data": {"card_id": card}}),
        };
        self.send(place, &content, &uuid(&format!("{message}\n{card}"), 'l'))
    }

    fn update_card(
        &mut self,
        message: &str,
        mut card: Card,
        tools: &str,
        text: &str,
    ) -> Result<(), ApiError> {
        let mut result = Ok(());
        for (element, new) in [(TOOLS, tools), (ANSWER, text)] {
            let old = if element == TOOLS {
                &mut card.tools
            } else {
                &mut card.text
            };
            if old == new {
                continue;
            }
            *old = new.to_owned();
            let sequence = self.sequence(&card.trace);
            let content = stream_markdown(new);
            result = self
                .bot
                .api
                .stream_text(&card.trace.card, element, &content, sequence);
            if result.is_err() {
                break;
            }
        }
        self.cards.insert(message.to_owned(), card);
        result
    }

    /// Says what is no answer of a turn.
    fn say(&mut self, say: Say) {
        let mut is_said = true;
        match self.try_say(&say) {
            Err(PushError::Temporary(why)) if say.tries < MAX_TRIES => {
                log::info!("a direct answer waits: {why}");
                let pause = Duration::from_secs(1 << say.tries.min(6)).min(MAX_PAUSE);
                return self.bot.board.put_say(Say {
                    tries: say.tries + 1,
                    due: Instant::now() + pause,
                    ..say
                });
            }
            Err(error) => {
                log::error!("a direct answer was not sent: {error}");
                is_said = false;
            }
            Ok(()) => {}
        }
        if say.settles {
            let trace = self.bot.store.trace(&say.message).ok().flatten();
            self.clean_up(&say.message, trace.as_ref(), is_said);
            self.bot.mailbox.put(Note::Settled(say.message));
        }
    }

    fn try_say(&mut self, say: &Say) -> Result<(), PushError> {
        if let Saying::Update(shown, card) = &say.what {
            return match self.bot.api.patch(shown, card) {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == Kind::Passing => {
                    Err(PushError::Temporary(error.to_string()))
                }
                Err(error) => Err(PushError::Permanent(error.to_string())),
            };
        }
        if let Saying::Settled(id, outcome) = &say.what {
            if let Some((shown, question)) = self.asked.remove(id)
                && let Err(error) = self
                    .bot
                    .api
                    .patch(&shown, &outcome_card(&question, *outcome))
            {
                log::info!("a settled question still shows its buttons: {error}");
            }
            return Ok(());
        }
        let trace = self.bot.store.trace(&say.message).map_err(temporary)?;
        let chat_name = match (&trace, self.bot.chat_of(&say.message)) {
            (Some(trace), _) => match &trace.thread {
                Some(thread) => format!("{}:{thread}", trace.chat),
                None => trace.chat.clone(),
            },
            (None, Some(chat)) => chat,
            (None, None) => return Err(PushError::Permanent("its chat is not known".to_owned())),
        };
        let place = self.place(&chat_name, Some(&say.message), trace.as_ref())?;
        match &say.what {
            Saying::Text(text) => self.say_text(&place, &say.message, text),
            Saying::Card(card, text) => {
                let content = Content {
                    kind: "interactive",
                    json: card.clone(),
                };
                let key = uuid(&format!("{}\ncard", say.message), 's');
                match self.send(&place, &content, &key) {
                    Ok(_) => Ok(()),
                    Err(error) if error.kind() == Kind::Passing => {
                        Err(PushError::Temporary(error.to_string()))
                    }
                    Err(error) => {
                        log::warn!("a card was refused, its text is sent: {error}");
                        self.say_text(&place, &say.message, text)
                    }
                }
            }
            Saying::Ask(question) => self.ask(&place, &say.message, question),
            Saying::Update(..) | Saying::Settled(..) => Ok(()),
        }
    }

    /// Asks about a tool call; without a card there is nothing to press, and the terminal client is named.
    fn ask(
        &mut self,
        place: &Place,
        message: &str,
        question: &Arc<ApprovalRequest>,
    ) -> Result<(), PushError> {
        let content = Content {
            kind: "interactive",
            json: approval_card(question),
        };
        let key = uuid(&format!("{message}\nask\n{}", question.id), 'q');
        match self.send(place, &content, &key) {
            Ok(shown) => {
                self.asked
                    .insert(question.id.clone(), (shown, question.clone()));
                Ok(())
            }
            Err(error) if error.kind() == Kind::Passing => {
                Err(PushError::Temporary(error.to_string()))
            }
            Err(error) => {
                log::warn!("a question's card was refused: {error}");
                let text = format!("{}\n\n{}", approval_text(question), words::NO_CARD);
                self.say_text(place, &format!("{message}\nask\n{}", question.id), &text)
            }
        }
    }

    fn say_text(&mut self, place: &Place, message: &str, text: &str) -> Result<(), PushError> {
        for (n, piece) in split(text, MAX_PIECE_BYTES).iter().enumerate() {
            self.send_piece(place, piece, &format!("{message}\nsay\n{n}"))?;
        }
        Ok(())
    }
}

/// The message that a delivery answers.
fn answered(pending: &Pending) -> Option<&str> {
    let id = pending.answers.as_deref();
    id.filter(|id| id.starts_with("om_"))
}

fn temporary(error: StoreError) -> PushError {
    PushError::Temporary(error.to_string())
}

fn note(result: Result<(), StoreError>) {
    if let Err(error) = result {
        log::warn!("not noted: {error}");
    }
}

/// The idempotency key of a message, at most 50 characters for the service.
fn uuid(base: &str, form: char) -> String {
    let digest = Sha256::digest(base);
    let hex: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{hex}{form}")
}

/// Makes the state of a card that only shows a text.
pub(super) fn text_card(text: &str) -> Value {
    answer_card(text)
}
