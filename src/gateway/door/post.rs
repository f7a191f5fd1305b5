//! A posted request for one of the configured paths: its body is read here, the rest happens elsewhere. Runs on
//! `gateway-io`; never blocks.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::page::Answer;

/// Largest body; events are a few kilobytes.
pub(super) const BODY_BYTES: usize = 1 << 20;
/// To write an answer that fits into any socket's buffer.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// The head of a posted request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PostHead {
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) head_bytes: usize,
    pub(super) body_bytes: usize,
}

/// A posted request whose body is coming in.
pub(super) struct BodyReader {
    pub(super) stream: TcpStream,
    /// When all of it must be here.
    pub(super) until: Instant,
    head: PostHead,
    body: Vec<u8>,
}

/// What reading brought.
pub(super) enum Body {
    More(BodyReader),
    /// The peer has gone.
    Gone,
    Whole(TcpStream, PostHead, Vec<u8>),
}

impl BodyReader {
    /// Begins with what came behind the head.
    pub(super) fn new(stream: TcpStream, until: Instant, head: PostHead, rest: &[u8]) -> Self {
        let body = rest[..rest.len().min(head.body_bytes)].to_vec();
        Self {
            stream,
            until,
            head,
            body,
        }
    }

    /// Reads until the body is complete or the socket has no more for now.
    pub(super) fn read(mut self) -> Body {
        let mut chunk = [0; 4096];
        while self.body.len() < self.head.body_bytes {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Body::Gone,
                Ok(read) => {
                    let room = self.head.body_bytes - self.body.len();
                    self.body.extend_from_slice(&chunk[..read.min(room)]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Body::More(self),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Body::Gone,
            }
        }
        Body::Whole(self.stream, self.head, self.body)
    }
}

/// A posted request and the way to answer it.
#[derive(Debug)]
pub struct Posted {
    /// The path.
    pub path: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    stream: std::net::TcpStream,
}

impl Posted {
    pub(super) fn new(stream: TcpStream, head: PostHead, body: Vec<u8>) -> std::io::Result<Self> {
        let stream = std::net::TcpStream::from(stream);
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(WRITE_LIMIT))?;
        Ok(Self {
            path: head.path,
            headers: head.headers,
            body,
            stream,
        })
    }

    /// Answers with JSON and closes; blocks while the answer is written. A peer that has gone is no error.
    pub fn answer(mut self, status: u16, json: &str) {
        let bytes = Answer::json(status, json).render();
        if let Err(error) = self.stream.write_all(&bytes) {
            log::debug!("an answer to a posted request was not sent: {error}");
        }
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}
