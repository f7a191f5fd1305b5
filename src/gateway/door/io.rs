//! The event loop of `gateway-io`: accepts, moves connections from state to state, hands out turns and deadlines.
//!
//! Owns the listener and every socket; reads the outbound queue; writes to the session only through the handler, which
//! does not block. No SQL, no waiting but in `poll`, and no timer unless some connection needs one. Events are
//! edge-triggered: a connection is served until its socket has no more or its turn is over, and then queued again.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::bus::{ClientId, Outbound};
use crate::observability::Health;

use super::auth::{Guard, Verdict, is_loopback};
use super::closing::{Closing, End};
use super::head::{Decision, Upgrade};
use super::intake::{Freed, Intake};
use super::limits::{OUTBOUND, TURN_ACCEPTS, TURN_MESSAGES, TURN_OUTBOUND, Times, UNFINISHED};
use super::page::Answer;
use super::post::{Body, BodyReader, Posted};
use super::queue::OutQueue;
use super::request::{HeadReader, Progress};
use super::rules::Rules;
use super::ws::{Client, Goodbye, Incoming};
use super::{Flow, Handler, Shared};

pub(super) const LISTENER: Token = Token(0);
pub(super) const WAKER: Token = Token(1);
const FIRST_CONNECTION: usize = 2;
const EVENTS: usize = 256;

/// What the loop is made of; see [`Io::new`].
pub(super) struct Parts<H> {
    pub(super) poll: Poll,
    pub(super) listener: TcpListener,
    pub(super) local: SocketAddr,
    pub(super) rules: Rules,
    pub(super) guard: Guard,
    pub(super) max_clients: usize,
    pub(super) times: Times,
    pub(super) health: Arc<Health>,
    pub(super) shared: Arc<Shared>,
    pub(super) outbound: Receiver<Outbound>,
    pub(super) handler: H,
    /// Takes posted requests.
    pub(super) posts: Option<Sender<Posted>>,
}

/// The loop's state. Connections are known by their token, which is never reused.
pub(super) struct Io<H> {
    poll: Poll,
    /// `None` once stopping.
    listener: Option<TcpListener>,
    local: SocketAddr,
    rules: Rules,
    guard: Guard,
    max_clients: usize,
    times: Times,
    health: Arc<Health>,
    shared: Arc<Shared>,
    outbound: Receiver<Outbound>,
    intake: Intake<H>,
    posts: Option<Sender<Posted>>,
    now: Instant,
    next_key: usize,
    slots: HashMap<usize, Slot>,
    /// Connections that never became clients, oldest first.
    unfinished: BTreeSet<usize>,
    /// WebSocket clients, those that are closing included.
    clients: BTreeSet<usize>,
    /// Connections to serve without waiting for an event.
    ready: BTreeSet<usize>,
    deadlines: BTreeSet<(Instant, usize)>,
    /// When to accept again: now after a full turn, later after a failure. Until then the listener's events wait.
    accept_at: Option<Instant>,
    /// The last try to accept failed; said once.
    accept_fails: bool,
    /// Set once stopping.
    stop_by: Option<Instant>,
}

struct Slot {
    state: State,
    peer: SocketAddr,
    /// The entry in `deadlines`.
    due: Option<Instant>,
}

enum State {
    Head(HeadReader),
    Body(BodyReader),
    /// A refusal that is held back.
    Late {
        stream: TcpStream,
        answer: Answer,
        until: Instant,
    },
    Client(Box<Client>),
    Closing(Closing),
}

impl<H: Handler> Io<H> {
    pub(super) fn new(parts: Parts<H>) -> Self {
        let gate = parts.shared.gate.clone();
        Self {
            poll: parts.poll,
            listener: Some(parts.listener),
            local: parts.local,
            rules: parts.rules,
            guard: parts.guard,
            max_clients: parts.max_clients,
            times: parts.times,
            health: parts.health,
            shared: parts.shared,
            outbound: parts.outbound,
            intake: Intake::new(parts.handler, gate),
            posts: parts.posts,
            now: Instant::now(),
            next_key: FIRST_CONNECTION,
            slots: HashMap::new(),
            unfinished: BTreeSet::new(),
            clients: BTreeSet::new(),
            ready: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            accept_at: None,
            accept_fails: false,
            stop_by: None,
        }
    }

    /// Serves until stopped.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.has_ended() {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled.expect("our own descriptors can be polled"),
            }
            self.now = Instant::now();
            for event in &events {
                match event.token() {
                    LISTENER if self.accept_at.is_some() => {}
                    LISTENER => self.accept(),
                    WAKER => self.shared.clear_signal(),
                    Token(key) => self.advance(key),
                }
            }
            self.handle_signals();
            self.serve_ready();
            self.serve_due();
        }
    }

    fn has_ended(&self) -> bool {
        self.stop_by
            .is_some_and(|stop_by| self.slots.is_empty() || self.now >= stop_by)
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() || !self.outbound.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.deadlines.first().map(|(due, _)| *due);
        let first = next
            .into_iter()
            .chain(self.accept_at)
            .chain(self.stop_by)
            .min();
        first.map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Looks at everything a waker may have meant; cheap when it meant nothing.
    fn handle_signals(&mut self) {
        if self.stop_by.is_none()
            && let Some(stop_by) = self.shared.stop_by()
        {
            self.begin_stop(stop_by);
        }
        if self.intake.may_retry() {
            for freed in self.intake.retry() {
                self.free(freed);
            }
        }
        self.send_outbound(TURN_OUTBOUND);
    }

    fn serve_ready(&mut self) {
        for key in std::mem::take(&mut self.ready) {
            self.advance(key);
        }
    }

    fn serve_due(&mut self) {
        if self.accept_at.is_some_and(|at| self.now >= at) {
            self.accept();
        }
        while let Some(&(due, key)) = self.deadlines.first()
            && self.now >= due
        {
            self.deadlines.pop_first();
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.due = None;
            }
            self.advance(key);
        }
    }

    // Accepting.

    fn accept(&mut self) {
        self.accept_at = None;
        for _ in 0..TURN_ACCEPTS {
            let Some(listener) = &self.listener else {
                return;
            };
            match listener.accept() {
                Ok((stream, peer)) => {
                    self.accept_fails = false;
                    self.admit(stream, peer);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if is_one_connections_fault(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.accept_fails, true) {
                        log::warn!("cannot accept connections for the moment: {error}");
                    }
                    self.accept_at = Some(self.now + self.times.accept_pause);
                    return;
                }
            }
        }
        self.accept_at = Some(self.now);
    }

    fn admit(&mut self, mut stream: TcpStream, peer: SocketAddr) {
        let key = self.next_key;
        self.next_key += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self
            .poll
            .registry()
            .register(&mut stream, Token(key), interest);
        if let Err(error) = registered.and_then(|()| stream.set_nodelay(true)) {
            log::debug!("lost a connection while accepting it: {error}");
            return;
        }
        if self.unfinished.len() >= UNFINISHED
            && let Some(oldest) = self.unfinished.first().copied()
        {
            self.remove(oldest);
        }
        self.unfinished.insert(key);
        self.slots.insert(
            key,
            Slot {
                state: State::Head(HeadReader::new(stream, self.now + self.times.head)),
                peer,
                due: None,
            },
        );
        self.advance(key);
    }

    // Connections, from state to state.

    /// Does for a connection all that can be done now. Unknown keys belong to connections that have ended.
    fn advance(&mut self, key: usize) {
        self.step(key, |io, state, peer| match state {
            State::Head(reader) => io.read_head(key, reader, peer),
            State::Body(reader) => io.read_body(reader),
            State::Late {
                stream,
                answer,
                until,
            } if io.now >= until => io.answer(stream, answer),
            State::Late { .. } => Some(state),
            State::Client(client) => io.serve(key, client),
            State::Closing(closing) => io.close_on(closing),
        });
    }

    /// Moves a connection to its next state; `None` ends it.
    fn step(
        &mut self,
        key: usize,
        next: impl FnOnce(&mut Self, State, SocketAddr) -> Option<State>,
    ) {
        let Some(Slot { state, peer, due }) = self.slots.remove(&key) else {
            return;
        };
        match next(self, state, peer) {
            Some(state) => self.put_back(key, Slot { state, peer, due }),
            None => self.forget(key, due),
        }
    }

    fn read_head(&mut self, key: usize, mut reader: HeadReader, peer: SocketAddr) -> Option<State> {
        match reader.read(&self.rules) {
            Progress::Gone => None,
            Progress::Done(Decision::Answer(answer)) => self.answer(reader.stream, answer),
            Progress::Done(Decision::Health { head_only }) => {
                let page = Answer::health(&self.health).without_body(head_only);
                self.answer(reader.stream, page)
            }
            Progress::Done(Decision::Upgrade(upgrade)) => {
                self.decide_entry(key, reader, peer, &upgrade)
            }
            Progress::Done(Decision::Post(head)) => {
                let rest = &reader.bytes[head.head_bytes..];
                self.read_body(BodyReader::new(reader.stream, reader.until, head, rest))
            }
            Progress::More if self.now >= reader.until => {
                let answer = reader.too_late()?;
                self.answer(reader.stream, answer)
            }
            Progress::More => Some(State::Head(reader)),
        }
    }

    fn read_body(&mut self, reader: BodyReader) -> Option<State> {
        match reader.read() {
            Body::Gone => None,
            Body::More(reader) if self.now >= reader.until => self.answer(
                reader.stream,
                Answer::text(408, "The request took too long"),
            ),
            Body::More(reader) => Some(State::Body(reader)),
            Body::Whole(mut stream, head, body) => {
                let posts = self.posts.as_ref().filter(|posts| !posts.is_full());
                let Some(posts) = posts else {
                    return self.answer(stream, Answer::text(503, "Too many requests wait"));
                };
                let handed = self.poll.registry().deregister(&mut stream);
                match handed.and_then(|()| Posted::new(stream, head, body)) {
                    // Only this thread puts requests in, and there was room.
                    Ok(posted) => drop(posts.try_send(posted)),
                    Err(error) => log::debug!("lost a posted request: {error}"),
                }
                None
            }
        }
    }

    fn decide_entry(
        &mut self,
        key: usize,
        reader: HeadReader,
        peer: SocketAddr,
        upgrade: &Upgrade,
    ) -> Option<State> {
        let stream = reader.stream;
        // A listener on all addresses does not know which one the client sees.
        let local = stream.local_addr().unwrap_or(self.local);
        match self.guard.judge(&upgrade.credentials, peer, local) {
            Verdict::Welcome { .. } if self.clients.len() >= self.max_clients => {
                self.answer(stream, Answer::text(503, "Too many clients are connected"))
            }
            Verdict::Welcome { trusted } => {
                let rest = reader.bytes[upgrade.head_bytes..].to_vec();
                let id = ClientId(key as u64);
                let is_remote = !is_loopback(peer);
                let client = Client::new(id, stream, rest, &upgrade.key, is_remote, self.now);
                self.welcome(key, client, trusted)
            }
            Verdict::TokenNeeded => self.answer(
                stream,
                Answer::unauthorized("This needs the gateway's token as a bearer token"),
            ),
            Verdict::WrongToken { late } => {
                let answer = Answer::unauthorized("The token is wrong");
                if !late {
                    return self.answer(stream, answer);
                }
                Some(State::Late {
                    stream,
                    answer,
                    until: self.now + self.times.wrong_token,
                })
            }
        }
    }

    fn answer(&mut self, stream: TcpStream, answer: Answer) -> Option<State> {
        let mut out = OutQueue::default();
        out.push(answer.render());
        self.close_on(Closing::new(stream, out, self.now, &self.times))
    }

    fn close_on(&mut self, mut closing: Closing) -> Option<State> {
        match closing.advance(self.now, &self.times) {
            End::Pending => Some(State::Closing(closing)),
            End::Over => None,
        }
    }

    // Clients.

    fn welcome(&mut self, key: usize, mut client: Client, trusted: bool) -> Option<State> {
        self.unfinished.remove(&key);
        self.clients.insert(key);
        self.health.clients.fetch_add(1, Ordering::Relaxed);
        client.is_waiting = self.intake.connected(client.id, trusted) == Flow::Full;
        self.serve(key, Box::new(client))
    }

    /// Gives a client its turn.
    fn serve(&mut self, key: usize, mut client: Box<Client>) -> Option<State> {
        match self.read_turn(key, &mut client) {
            Ok(()) => {
                client.flush();
                Some(State::Client(client))
            }
            Err(goodbye) => self.end(*client, goodbye),
        }
    }

    fn read_turn(&mut self, key: usize, client: &mut Client) -> Result<(), Goodbye> {
        client.flush();
        client.keep_alive(self.now, &self.times)?;
        client.begin_turn();
        for _ in 0..TURN_MESSAGES {
            if client.is_waiting || client.throttled_until(self.now).is_some() {
                return Ok(());
            }
            match client.read(self.now) {
                Incoming::Text(text) => {
                    let mut replies = Vec::new();
                    client.is_waiting =
                        self.intake.text(client.id, text, &mut replies) == Flow::Full;
                    send_all(client, replies)?;
                }
                Incoming::Binary => send_all(client, self.intake.binary(client.id))?,
                Incoming::Control => {}
                Incoming::Nothing => return Ok(()),
                Incoming::TurnOver => break,
                Incoming::End(goodbye) => return Err(goodbye),
            }
            // Pongs go out without passing the check in `send`.
            if client.is_over() {
                client.flush();
                if client.is_over() {
                    return Err(Goodbye::TooSlow);
                }
            }
        }
        self.ready.insert(key);
        Ok(())
    }

    fn free(&mut self, freed: Freed) {
        let key = freed.client.0 as usize;
        let Some(Slot {
            state: State::Client(client),
            ..
        }) = self.slots.get_mut(&key)
        else {
            return;
        };
        client.is_waiting = false;
        let sent = send_all(client, freed.replies);
        self.ready.insert(key);
        if let Err(goodbye) = sent {
            self.dismiss(key, goodbye);
        }
    }

    fn send_outbound(&mut self, limit: usize) {
        let mut written = BTreeSet::new();
        let mut slow = BTreeSet::new();
        for outbound in self.outbound.try_iter().take(limit) {
            let key = outbound.client.0 as usize;
            let Some(Slot {
                state: State::Client(client),
                ..
            }) = self.slots.get_mut(&key)
            else {
                continue;
            };
            if let Some(text) = self.intake.encode(&outbound) {
                written.insert(key);
                if client.send(text).is_err() {
                    slow.insert(key);
                }
            }
        }
        for key in slow {
            self.dismiss(key, Goodbye::TooSlow);
        }
        for key in written {
            if let Some(Slot {
                state: State::Client(client),
                ..
            }) = self.slots.get_mut(&key)
            {
                client.flush();
            }
        }
    }

    /// Ends a client that is not having its turn.
    fn dismiss(&mut self, key: usize, goodbye: Goodbye) {
        self.step(key, |io, state, _| match state {
            State::Client(client) => io.end(*client, goodbye),
            other => Some(other),
        });
    }

    fn end(&mut self, client: Client, goodbye: Goodbye) -> Option<State> {
        self.health.clients.fetch_sub(1, Ordering::Relaxed);
        if self.stop_by.is_none() {
            self.intake.closed(client.id);
        }
        let closing = client.close(goodbye, self.now, &self.times);
        self.close_on(closing)
    }

    // Stopping.

    fn begin_stop(&mut self, stop_by: Instant) {
        self.listener = None;
        self.accept_at = None;
        // What was said before the stop goes out before the goodbye.
        self.send_outbound(OUTBOUND);
        self.stop_by = Some(stop_by);
        self.times.linger = self.times.stop_linger;
        let keys: Vec<usize> = self.slots.keys().copied().collect();
        for key in keys {
            match self.slots[&key].state {
                State::Client(_) => self.dismiss(key, Goodbye::Stopping),
                State::Head(_) | State::Body(_) | State::Late { .. } => self.remove(key),
                State::Closing(_) => {}
            }
        }
    }

    // Bookkeeping.

    fn put_back(&mut self, key: usize, mut slot: Slot) {
        let due = match &slot.state {
            State::Head(reader) => Some(reader.until),
            State::Body(reader) => Some(reader.until),
            State::Late { until, .. } => Some(*until),
            State::Client(client) => client.due(&self.times),
            State::Closing(closing) => Some(closing.until()),
        };
        if slot.due != due {
            self.deadlines.extend(due.map(|due| (due, key)));
            if let Some(old) = slot.due {
                self.deadlines.remove(&(old, key));
            }
            slot.due = due;
        }
        self.slots.insert(key, slot);
    }

    fn remove(&mut self, key: usize) {
        self.step(key, |_, _, _| None);
    }

    /// Forgets a connection that is not in `slots`; its socket closed with its state.
    fn forget(&mut self, key: usize, due: Option<Instant>) {
        if let Some(due) = due {
            self.deadlines.remove(&(due, key));
        }
        self.unfinished.remove(&key);
        self.clients.remove(&key);
        self.ready.remove(&key);
    }
}

fn send_all(client: &mut Client, texts: impl IntoIterator<Item = String>) -> Result<(), Goodbye> {
    texts.into_iter().try_for_each(|text| client.send(text))
}

/// The connection was gone before it was accepted; the next one may be fine.
fn is_one_connections_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}
