//! One WebSocket client: frames in and out, its rate, its liveness. Runs on `gateway-io`; never blocks.
//!
//! The codec writes into a queue of ours that always takes, and the event loop writes that queue to the socket; so the
//! codec never holds output back and the bound on output is ours. What messages mean is not decided here.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use mio::net::TcpStream;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Message, Utf8Bytes};

use crate::bus::ClientId;

use super::closing::Closing;
use super::fragments::Fragments;
use super::limits::{MESSAGE_BYTES, RATE_MESSAGES, RATE_WINDOW, READ_BUFFER, TURN_BYTES, Times};
use super::queue::OutQueue;

/// Why we end a connection, as told to the client (RFC 6455, section 7.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Goodbye {
    /// Nothing to tell: the client said goodbye first, or its socket is gone.
    None,
    /// The gateway is stopping.
    Stopping,
    /// The frames are not valid.
    Protocol,
    /// A text is not UTF-8.
    NotUtf8,
    /// A message has too many bytes or fragments.
    TooBig,
    /// The client does not read what it is sent.
    TooSlow,
}

impl Goodbye {
    fn frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::None => return None,
            Self::Stopping => (CloseCode::Away, "the gateway is stopping"),
            Self::Protocol => (CloseCode::Protocol, "not a valid frame"),
            Self::NotUtf8 => (CloseCode::Invalid, "not valid UTF-8"),
            Self::TooBig => (CloseCode::Size, "the message is too big"),
            Self::TooSlow => (CloseCode::Policy, "too slow"),
        };
        Some(CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        })
    }
}

/// What reading a client brought.
#[derive(PartialEq, Debug)]
pub(super) enum Incoming {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message; its content is of no interest.
    Binary,
    /// A ping or pong; answered already.
    Control,
    /// Nothing more for now; an event will tell.
    Nothing,
    /// It has had its turn; there may be more.
    TurnOver,
    /// It is over.
    End(Goodbye),
}

/// A connected client.
pub(super) struct Client {
    pub(super) id: ClientId,
    stream_end: Pipe,
    codec: WebSocketContext,
    rate: Rate,
    /// For peers on other machines only: a peer on this one cannot vanish unnoticed, and idle means no timers.
    liveness: Option<Liveness>,
    /// A message of it waits for the handler; it must not be read.
    pub(super) is_waiting: bool,
    /// The codec's read buffer has grown beyond what an idle client may keep.
    has_grown: bool,
}

impl Client {
    /// Makes a client of a connection whose head asked for it; `rest` are bytes read behind the head.
    pub(super) fn new(
        id: ClientId,
        stream: TcpStream,
        rest: Vec<u8>,
        key: &str,
        is_remote: bool,
        now: Instant,
    ) -> Self {
        let mut pipe = Pipe::new(stream);
        pipe.out.push(switching_protocols(key));
        let rest = pipe.watch(rest);
        Self {
            id,
            stream_end: pipe,
            codec: WebSocketContext::from_partially_read(rest, Role::Server, Some(config())),
            rate: Rate::new(now),
            liveness: is_remote.then(|| Liveness::new(now)),
            is_waiting: false,
            has_grown: false,
        }
    }

    /// Begins a turn at reading.
    pub(super) fn begin_turn(&mut self) {
        self.stream_end.turn_bytes = TURN_BYTES;
    }

    /// Reads one message. Frames are checked, pings answered, close frames returned.
    pub(super) fn read(&mut self, now: Instant) -> Incoming {
        let read = self.codec.read(&mut self.stream_end);
        if self.stream_end.is_fresh
            && let Some(liveness) = &mut self.liveness
        {
            liveness.seen = now;
        }
        self.stream_end.is_fresh = false;
        match read {
            Ok(message) => self.take(message),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                if self.stream_end.turn_bytes == 0 {
                    return Incoming::TurnOver;
                }
                self.shrink();
                Incoming::Nothing
            }
            Err(error) => Incoming::End(self.goodbye_for(&error)),
        }
    }

    fn take(&mut self, message: Message) -> Incoming {
        self.rate.count();
        self.has_grown |= message.len() > READ_BUFFER;
        match message {
            Message::Text(text) => Incoming::Text(text),
            Message::Binary(_) => Incoming::Binary,
            Message::Close(_) => {
                // Queues the reply; its result is the end we are about to tell.
                let _ = self.codec.flush(&mut self.stream_end);
                Incoming::End(Goodbye::None)
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Incoming::Control,
        }
    }

    fn goodbye_for(&self, error: &Error) -> Goodbye {
        match error {
            Error::Io(_) if self.stream_end.has_overflown => Goodbye::TooBig,
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Goodbye::None,
            Error::Protocol(_) => Goodbye::Protocol,
            Error::Utf8(_) => Goodbye::NotUtf8,
            Error::Capacity(_) => Goodbye::TooBig,
            _ => Goodbye::None,
        }
    }

    /// Gives a long message's buffer back once the codec holds no part of another one.
    fn shrink(&mut self) {
        if self.has_grown && self.stream_end.fragments.between_messages() {
            self.codec = WebSocketContext::new(Role::Server, Some(config()));
            self.has_grown = false;
        }
    }

    /// Tells until when the client must not be read because it sent too much.
    pub(super) fn throttled_until(&mut self, now: Instant) -> Option<Instant> {
        self.rate.blocked_until(now)
    }

    /// Queues a text frame. `Err` if the client is too slow for it.
    pub(super) fn send(&mut self, text: String) -> Result<(), Goodbye> {
        if self.is_over() {
            self.flush();
            if self.is_over() {
                return Err(Goodbye::TooSlow);
            }
        }
        let frame = Frame::message(text, OpCode::Data(Data::Text), true);
        let mut bytes = Vec::with_capacity(frame.len());
        frame
            .format(&mut bytes)
            .expect("writing to a vector cannot fail");
        self.stream_end.out.push(bytes);
        Ok(())
    }

    /// Tells whether more output waits than a client may have.
    pub(super) fn is_over(&self) -> bool {
        self.stream_end.out.is_over()
    }

    /// Writes what the socket takes. A broken socket is found by reading, after what it still holds.
    pub(super) fn flush(&mut self) {
        let pipe = &mut self.stream_end;
        if pipe.out.write_to(&mut pipe.stream).is_err() {
            pipe.out = OutQueue::default();
            pipe.is_broken = true;
        }
    }

    /// Pings a remote peer that is due; `Err` if it was silent for too long.
    pub(super) fn keep_alive(&mut self, now: Instant, times: &Times) -> Result<(), Goodbye> {
        let Some(liveness) = &mut self.liveness else {
            return Ok(());
        };
        if self.is_waiting {
            // We do not read it, so its silence is ours.
            liveness.seen = now;
        }
        match liveness.check(now, times) {
            Beat::Fine => Ok(()),
            Beat::Ping => {
                let ping = Message::Ping(Bytes::new());
                // The queue always takes; an error means the connection is ending and reading will tell.
                let _ = self.codec.write(&mut self.stream_end, ping);
                Ok(())
            }
            Beat::Gone => Err(Goodbye::None),
        }
    }

    /// Returns when the client wants attention without an event.
    pub(super) fn due(&self, times: &Times) -> Option<Instant> {
        let throttled = self.rate.ends_at().filter(|_| !self.is_waiting);
        let liveness = self.liveness.as_ref().map(|liveness| liveness.due(times));
        throttled.into_iter().chain(liveness).min()
    }

    /// Ends the client: queues the close frame, if one is due, behind what still waits.
    pub(super) fn close(mut self, goodbye: Goodbye, now: Instant, times: &Times) -> Closing {
        if let Some(frame) = goodbye.frame() {
            // The queue always takes; an error means a close frame is queued already.
            let _ = self.codec.close(&mut self.stream_end, Some(frame));
        }
        Closing::new(self.stream_end.stream, self.stream_end.out, now, times)
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES))
}

fn switching_protocols(key: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )
    .into_bytes()
}

/// The codec's view of the socket: reads are counted and bounded, writes are queued.
struct Pipe {
    stream: TcpStream,
    out: OutQueue,
    fragments: Fragments,
    /// Bytes that may still be read in this turn.
    turn_bytes: usize,
    /// Something was read since the flag was cleared.
    is_fresh: bool,
    /// A message has too many fragments; nothing more is read.
    has_overflown: bool,
    /// Writing has failed; what is written from now on is dropped.
    is_broken: bool,
}

impl Pipe {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            out: OutQueue::default(),
            fragments: Fragments::default(),
            turn_bytes: TURN_BYTES,
            is_fresh: false,
            has_overflown: false,
            is_broken: false,
        }
    }

    /// Passes bytes by the fragment counter; returns those that may be used.
    fn watch(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if let Err(good) = self.fragments.feed(&bytes) {
            self.has_overflown = true;
            bytes.truncate(good);
        }
        bytes
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.has_overflown {
            return Err(ErrorKind::InvalidData.into());
        }
        if self.turn_bytes == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let room = buffer.len().min(self.turn_bytes);
        let read = loop {
            match self.stream.read(&mut buffer[..room]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.turn_bytes -= read;
        self.is_fresh |= read > 0;
        match self.fragments.feed(&buffer[..read]) {
            Ok(()) => Ok(read),
            Err(good) => {
                self.has_overflown = true;
                if good == 0 {
                    return Err(ErrorKind::InvalidData.into());
                }
                Ok(good)
            }
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_broken {
            self.out.push(bytes.to_vec());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many messages came in the current window.
struct Rate {
    window_ends: Instant,
    n_messages: u32,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self {
            window_ends: now + RATE_WINDOW,
            n_messages: 0,
        }
    }

    fn count(&mut self) {
        self.n_messages += 1;
    }

    fn blocked_until(&mut self, now: Instant) -> Option<Instant> {
        if now >= self.window_ends {
            *self = Self::new(now);
        }
        self.ends_at()
    }

    fn ends_at(&self) -> Option<Instant> {
        (self.n_messages >= RATE_MESSAGES).then_some(self.window_ends)
    }
}

/// When a remote peer was last heard and pinged.
struct Liveness {
    seen: Instant,
    pinged: Instant,
}

#[derive(PartialEq, Eq, Debug)]
enum Beat {
    Fine,
    Ping,
    Gone,
}

impl Liveness {
    fn new(now: Instant) -> Self {
        Self {
            seen: now,
            pinged: now,
        }
    }

    fn due(&self, times: &Times) -> Instant {
        (self.pinged + times.ping).min(self.seen + times.silence)
    }

    fn check(&mut self, now: Instant, times: &Times) -> Beat {
        if now >= self.seen + times.silence {
            return Beat::Gone;
        }
        if now >= self.pinged + times.ping {
            self.pinged = now;
            return Beat::Ping;
        }
        Beat::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_is_held_until_its_window_ends() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        for _ in 0..RATE_MESSAGES {
            assert_eq!(rate.blocked_until(start), None);
            rate.count();
        }
        assert_eq!(rate.blocked_until(start), Some(start + RATE_WINDOW));
        assert_eq!(rate.blocked_until(start + RATE_WINDOW), None);
        assert_eq!(rate.ends_at(), None);
    }

    #[test]
    fn a_silent_remote_peer_is_pinged_twice_and_given_up() {
        let times = Times::default();
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut liveness = Liveness::new(start);
        assert_eq!(liveness.due(&times), at(30));
        assert_eq!(liveness.check(at(29), &times), Beat::Fine);
        assert_eq!(liveness.check(at(30), &times), Beat::Ping);
        assert_eq!(liveness.check(at(31), &times), Beat::Fine);
        assert_eq!(liveness.check(at(60), &times), Beat::Ping);
        assert_eq!(liveness.due(&times), at(75));
        assert_eq!(liveness.check(at(75), &times), Beat::Gone);

        liveness.seen = at(70);
        assert_eq!(liveness.check(at(90), &times), Beat::Ping);
        assert_eq!(liveness.check(at(145), &times), Beat::Gone);
    }
}
