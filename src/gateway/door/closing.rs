//! A connection's last word: writes what is left, closes our half, and reads on for a moment.
//!
//! Closing a socket with unread input resets it, and the reset can overtake our answer; so the input is read and thrown
//! away, bounded in bytes and time. Runs on `gateway-io`.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::time::Instant;

use mio::net::TcpStream;

use super::limits::{LINGER_BYTES, Times};
use super::queue::OutQueue;

/// A connection that is ending.
pub(super) struct Closing {
    stream: TcpStream,
    out: OutQueue,
    until: Instant,
    half_closed: bool,
    /// Bytes still read before giving up on the peer.
    patience: usize,
}

/// How far an ending connection is.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Something is left to do.
    Pending,
    /// The socket can be dropped.
    Over,
}

impl Closing {
    /// Begins the end of a connection; call [`Closing::advance`] next.
    pub(super) fn new(stream: TcpStream, out: OutQueue, now: Instant, times: &Times) -> Self {
        Self {
            stream,
            out,
            until: now + times.answer,
            half_closed: false,
            patience: LINGER_BYTES,
        }
    }

    /// Returns when it ends whatever the peer does.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Does what can be done without waiting.
    pub(super) fn advance(&mut self, now: Instant, times: &Times) -> End {
        if now >= self.until {
            return End::Over;
        }
        if !self.half_closed {
            if self.out.write_to(&mut self.stream).is_err() {
                return End::Over;
            }
            if !self.out.is_empty() {
                return End::Pending;
            }
            if self.stream.shutdown(Shutdown::Write).is_err() {
                return End::Over;
            }
            self.half_closed = true;
            self.until = now + times.linger;
        }
        self.discard()
    }

    fn discard(&mut self) -> End {
        let mut scratch = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut scratch) {
                Ok(0) => return End::Over,
                Ok(read) if read > self.patience => return End::Over,
                Ok(read) => self.patience -= read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return End::Pending,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return End::Over,
            }
        }
    }
}
