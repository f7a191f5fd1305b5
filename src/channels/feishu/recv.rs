//! The `feishu-recv` thread: keeps the long connection up, answers its events, and runs the intake.
//!
//! It waits in `poll` on the socket and its mailbox until something comes or is due: the next ping, the watchdog, files
//! that wait for their text, the next attempt to connect. In webhook mode it has no socket.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;
use url::Url;

use super::api::ApiError;
use super::codes::Kind;
use super::frame::{Frame, Meaning, Pieces, Settings};
use super::intake::Intake;
use super::link::{Broken, ConnectError, Link, Received};
use super::{Bot, Note};
use crate::observability::LinkState;

/// Longest pause before the next attempt.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Pause after a refusal that somebody must mend.
const REFUSED_PAUSE: Duration = Duration::from_secs(300);
/// Events that are kept and answered together.
const MAX_TOGETHER: usize = 64;
/// The watchdog's patience beyond two pings.
const WATCHDOG_EXTRA: Duration = Duration::from_secs(10);

enum Connection {
    /// Events come as requests.
    Webhook,
    Down {
        /// The next attempt.
        at: Instant,
    },
    Up(Box<Up>),
}

struct Up {
    link: Link,
    service: i32,
    ping_at: Instant,
    /// When something came in last.
    heard_at: Instant,
}

/// An event that came in, and the frame that is its answer.
struct Taken {
    frame: Frame,
    event: Vec<u8>,
    at: Instant,
}

/// The receiver of one bot.
pub(super) struct Receiver {
    bot: Arc<Bot>,
    intake: Intake,
    connection: Connection,
    settings: Settings,
    pieces: Pieces,
    /// Attempts since the last frame.
    attempts: u32,
    /// The connection may hold more that came in, even if its socket shows nothing.
    has_more: bool,
}

impl Receiver {
    pub(super) fn new(bot: Arc<Bot>, intake: Intake, is_webhook: bool) -> Self {
        let connection = if is_webhook {
            bot.health.set_state(LinkState::Webhook);
            Connection::Webhook
        } else {
            Connection::Down { at: Instant::now() }
        };
        Self {
            bot,
            intake,
            connection,
            settings: Settings::default(),
            pieces: Pieces::default(),
            attempts: 0,
            has_more: false,
        }
    }

    /// Works until told to stop.
    pub(super) fn run(mut self) {
        self.intake.recover();
        if let Connection::Webhook = self.connection {
            self.bot.board.ask_identity();
        }
        loop {
            for note in self.bot.mailbox.take() {
                match note {
                    Note::Stop => return,
                    Note::Settled(request) => self.intake.settled(&request),
                    Note::NotStored(request) => self.intake.not_stored(&request),
                    Note::Decided(question) => self.intake.decided(&question),
                    Note::Loaded(loaded) => self.intake.loaded(*loaded),
                    Note::Room => self.intake.room(),
                    Note::Posted(json, answer) => {
                        for reply in self.intake.take(&[json]) {
                            // Who asked may have stopped waiting.
                            let _ = answer.try_send(reply);
                        }
                        self.intake.go_on();
                        self.bot.health.heard();
                    }
                }
            }
            let now = Instant::now();
            if self.intake.due().is_some_and(|due| due <= now) {
                self.intake.tick(now);
            }
            self.keep_up(now);
            if self.wait() {
                self.read();
            }
        }
    }

    /// Connects, pings, and gives a silent connection up.
    fn keep_up(&mut self, now: Instant) {
        match &mut self.connection {
            Connection::Webhook => {}
            Connection::Down { at } => {
                if *at <= now {
                    self.connect();
                }
            }
            Connection::Up(up) => {
                if now >= up.heard_at + watchdog(&self.settings) {
                    self.lost("nothing was heard for too long");
                } else if now >= up.ping_at {
                    up.ping_at = now + self.settings.ping;
                    let ping = Frame::ping(up.service).bytes();
                    let sent = up.link.send(ping);
                    self.check(sent);
                }
            }
        }
    }

    /// Waits until something is to be done; returns whether the connection has something.
    fn wait(&mut self) -> bool {
        if self.has_more {
            return true;
        }
        let own = match &self.connection {
            Connection::Webhook => None,
            Connection::Down { at } => Some(*at),
            Connection::Up(up) => Some(up.ping_at.min(up.heard_at + watchdog(&self.settings))),
        };
        let due = own.into_iter().chain(self.intake.due()).min();
        let limit = due.map(|due| {
            let left = due.saturating_duration_since(Instant::now());
            // Rounded up: waking a moment early would mean waking twice.
            let left = left + Duration::from_millis(1);
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let bell = PollFd::from_borrowed_fd(self.bot.mailbox.bell(), PollFlags::IN);
        let polled = match &self.connection {
            Connection::Up(up) => {
                let mut flags = PollFlags::IN;
                if up.link.wants_write() {
                    flags |= PollFlags::OUT;
                }
                let socket = PollFd::from_borrowed_fd(up.link.fd(), flags);
                let mut fds = [bell, socket];
                poll(&mut fds, limit.as_ref()).map(|_| !fds[1].revents().is_empty())
            }
            _ => poll(&mut [bell], limit.as_ref()).map(|_| false),
        };
        match polled {
            Ok(is_ready) => is_ready,
            Err(rustix::io::Errno::INTR) => false,
            Err(error) => {
                log::error!("{}: cannot wait: {error}", self.bot.config.name);
                false
            }
        }
    }

    fn connect(&mut self) {
        self.bot.health.set_state(LinkState::Connecting);
        // Known before the first message, or groups could not be told from each other's talk.
        self.bot.open_id();
        match self.try_connect() {
            Ok(up) => {
                self.connection = Connection::Up(Box::new(up));
                self.bot.health.set_state(LinkState::Connected);
                self.bot.health.heard();
                log::info!("{}: connected", self.bot.config.name);
                // The server waits for the first ping before it says how often it wants them.
                self.keep_up(Instant::now());
                self.read();
            }
            Err(error) => {
                let pause = match &error {
                    ConnectError::Retry(_) => self.pause(),
                    ConnectError::Refused(_) => {
                        self.bot.health.set_state(LinkState::Refused);
                        REFUSED_PAUSE.mul_f64(0.8 + 0.4 * random())
                    }
                };
                let (name, secs) = (&self.bot.config.name, pause.as_secs_f64());
                match error {
                    ConnectError::Retry(why) => {
                        log::info!("{name}: no connection: {why}; trying again in {secs:.0} s");
                    }
                    ConnectError::Refused(why) => log::error!(
                        "{name}: the service refuses this app: {why}; mend app_id, app_secret, domain or the \
                         app's settings (docs/feishu.md); trying again in {secs:.0} s"
                    ),
                }
                self.attempts = self.attempts.saturating_add(1);
                self.connection = Connection::Down {
                    at: Instant::now() + pause,
                };
            }
        }
    }

    /// Makes a connection to a fresh address; an address is good once.
    fn try_connect(&mut self) -> Result<Up, ConnectError> {
        let answer = self.bot.api.endpoint().map_err(explain)?;
        let data = &answer["data"];
        if data["ClientConfig"].is_object() {
            self.settings = Settings::read(&data["ClientConfig"], &self.settings);
        }
        let url = data["URL"].as_str().unwrap_or_default();
        let service = service_of(url);
        let link = Link::connect(url, &self.bot.trust)?;
        let now = Instant::now();
        Ok(Up {
            link,
            service,
            ping_at: now,
            heard_at: now,
        })
    }

    fn lost(&mut self, why: &str) {
        if let Connection::Up(_) = self.connection {
            let pause = self.pause();
            let secs = pause.as_secs_f64();
            log::info!(
                "{}: connection lost: {why}; trying again in {secs:.1} s",
                self.bot.config.name
            );
            self.attempts = self.attempts.saturating_add(1);
            self.has_more = false;
            self.bot.health.reconnects.fetch_add(1, Ordering::Relaxed);
            self.bot.health.set_state(LinkState::Connecting);
            // Dropping it closes the socket for good.
            self.connection = Connection::Down {
                at: Instant::now() + pause,
            };
        }
    }

    /// Between 1 and 60 seconds, longer with each attempt, never the same for two clients.
    fn pause(&self) -> Duration {
        let longest = Duration::from_secs(1 << self.attempts.min(6)).min(MAX_PAUSE);
        let longest = longest.max(Duration::from_millis(1500));
        let extra = longest - Duration::from_secs(1);
        Duration::from_secs(1) + extra.mul_f64(random())
    }

    fn check(&mut self, result: Result<(), Broken>) {
        if let Err(error) = result {
            self.lost(&error.to_string());
        }
    }

    /// Reads some events at a time: between, what other threads say is heard, or a flood of events would keep them out and
    /// nothing would ever be done about it.
    fn read(&mut self) {
        let mut events = Vec::new();
        let end = self.gather(&mut events);
        self.take(events);
        self.has_more = matches!(end, Ok(true));
        if !self.has_more || self.intake.has_much() {
            self.intake.go_on();
        }
        if let Err(why) = end {
            self.lost(&why);
        }
    }

    /// Reads frames until there are enough events or nothing is left; returns whether there may be more. An error says
    /// why the connection is lost.
    fn gather(&mut self, events: &mut Vec<Taken>) -> Result<bool, String> {
        while let Connection::Up(up) = &mut self.connection {
            let received = up.link.read().map_err(|error| error.to_string())?;
            let frame = match received {
                Received::Nothing => {
                    let flushed = up.link.flush();
                    return flushed.map(|()| false).map_err(|error| error.to_string());
                }
                Received::Life => None,
                Received::Frame(bytes) => Some(bytes),
            };
            up.heard_at = Instant::now();
            self.attempts = 0;
            self.bot.health.heard();
            events.extend(frame.and_then(|bytes| self.frame(&bytes)));
            if events.len() >= MAX_TOGETHER {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Keeps events and answers them.
    fn take(&mut self, events: Vec<Taken>) {
        if events.is_empty() {
            return;
        }
        let (frames, events): (Vec<_>, Vec<_>) = events
            .into_iter()
            .map(|taken| ((taken.frame, taken.at), taken.event))
            .unzip();
        let replies = self.intake.take(&events);
        for ((frame, at), reply) in frames.into_iter().zip(replies) {
            let answer = frame.answer(reply.code, reply.data.as_ref(), at.elapsed());
            if let Connection::Up(up) = &mut self.connection {
                let sent = up.link.send(answer.bytes());
                self.check(sent);
            }
        }
    }

    /// Handles a frame; returns the event that it completes.
    fn frame(&mut self, bytes: &[u8]) -> Option<Taken> {
        let at = Instant::now();
        let frame = match Frame::read(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                log::warn!("{}: a malformed frame: {error}", self.bot.config.name);
                return None;
            }
        };
        match frame.meaning(&self.settings) {
            Meaning::Other | Meaning::Pong(None) => None,
            Meaning::Pong(Some(settings)) => {
                if settings != self.settings {
                    self.settings = settings;
                    if let Connection::Up(up) = &mut self.connection {
                        up.ping_at = Instant::now() + self.settings.ping;
                    }
                }
                None
            }
            Meaning::Event(mut frame) => match self.pieces.take(&mut frame, at) {
                Ok(event) => event.map(|event| Taken { frame, event, at }),
                Err(why) => {
                    log::warn!("{}: a piece of an event: {why}", self.bot.config.name);
                    None
                }
            },
        }
    }
}

fn watchdog(settings: &Settings) -> Duration {
    settings.ping * 2 + WATCHDOG_EXTRA
}

/// Codes of the endpoint call: 1 and 1000040343 pass, the others are about the app.
fn explain(error: ApiError) -> ConnectError {
    match &error {
        ApiError::Refused { code, .. } => match code {
            1 | 1_000_040_343 => ConnectError::Retry(error.to_string()),
            _ if error.kind() == Kind::Passing => ConnectError::Retry(error.to_string()),
            _ => ConnectError::Refused(error.to_string()),
        },
        _ => ConnectError::Retry(error.to_string()),
    }
}

fn service_of(url: &str) -> i32 {
    let url = Url::parse(url).ok();
    let pairs = url.as_ref().map(Url::query_pairs).into_iter().flatten();
    let mut found = pairs.filter(|(key, _)| key == "service_id");
    found
        .next()
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0)
}

/// A number from 0 to 1.
fn random() -> f64 {
    let mut bytes = [0; 4];
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {
        return 0.5;
    }
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}

/// A callback's answer as JSON for the webhook.
pub(super) fn reply_json(reply: &super::intake::Reply) -> Value {
    reply.data.clone().unwrap_or_else(|| serde_json::json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_number_is_in_the_address() {
        assert_eq!(
            service_of("wss://x.example/ws/v2?aid=1&service_id=33&ticket=t"),
            33
        );
        assert_eq!(service_of("ws://127.0.0.1:1/?service_id=-5"), -5);
        for url in ["", "ws://x/?service_id=", "ws://x/?service_id=99999999999"] {
            assert_eq!(service_of(url), 0, "{url}");
        }
    }

    #[test]
    fn refusals_of_the_endpoint_call() {
        let explained = |code| {
            explain(ApiError::Refused {
                code,
                message: String::new(),
            })
        };
        for code in [1, 1_000_040_343] {
            assert!(matches!(explained(code), ConnectError::Retry(_)), "{code}");
        }
        for code in [403, 514, 1_000_040_344, 1_000_040_350, 1_000_040_351, 5] {
            assert!(
                matches!(explained(code), ConnectError::Refused(_)),
                "{code}"
            );
        }
    }

    #[test]
    fn a_flood_of_events_leaves_room_for_other_news() {
        use super::super::frame::tests::piece;
        use super::super::intake::tests::{Memory, bot};
        use crate::bus::session_queue;

        const EVENTS: usize = 3 * MAX_TOGETHER;
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let (sent, all_sent) = crossbeam_channel::bounded(1);
        let (counted, count) = crossbeam_channel::bounded(1);
        let _service = crate::threads::spawn("peer", 256 * 1024, move || {
            let (tcp, _) = listener.accept().unwrap();
            let mut socket = tungstenite::accept(tcp).unwrap();
            for n in 0..EVENTS {
                let frame = piece(&format!("m{n}"), 1, 0, b"{}").bytes();
                socket
                    .send(tungstenite::Message::Binary(frame.into()))
                    .unwrap();
            }
            sent.send(()).unwrap();
            let answers = std::iter::from_fn(|| socket.read().ok());
            let answers = answers.take(EVENTS).filter(tungstenite::Message::is_binary);
            counted.send(answers.count()).unwrap();
        });
        let (bot, _stop) = bot(std::sync::Arc::new(Memory::default()));
        let (queue, _inbox) = session_queue();
        let intake = Intake::new(bot.clone(), queue);
        let mut receiver = Receiver::new(bot.clone(), intake, false);
        let now = Instant::now();
        receiver.connection = Connection::Up(Box::new(Up {
            link: Link::connect(&url, &bot.trust).unwrap(),
            service: 1,
            ping_at: now + Duration::from_secs(60),
            heard_at: now,
        }));
        all_sent.recv().unwrap();
        for _ in 0..EVENTS / MAX_TOGETHER {
            receiver.read();
            assert!(
                receiver.has_more && receiver.wait(),
                "the socket is not waited for"
            );
        }
        receiver.read();
        assert!(!receiver.has_more);
        assert_eq!(count.recv().unwrap(), EVENTS);
    }
}
