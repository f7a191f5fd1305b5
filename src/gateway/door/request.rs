//! A connection whose request head is still coming in. Runs on `gateway-io`; never blocks.

use std::io::{ErrorKind, Read};
use std::time::Instant;

use mio::net::TcpStream;

use super::head::{self, Decision, Step};
use super::limits::HEAD_BYTES;
use super::page::Answer;
use super::rules::Rules;

/// Collects one request head.
pub(super) struct HeadReader {
    pub(super) stream: TcpStream,
    pub(super) bytes: Vec<u8>,
    /// When the whole head must be here, however busily it trickles.
    pub(super) until: Instant,
}

/// What reading brought.
pub(super) enum Progress {
    /// The head goes on.
    More,
    /// The peer has gone.
    Gone,
    /// The head is here.
    Done(Decision),
}

impl HeadReader {
    /// Begins to read a head.
    pub(super) fn new(stream: TcpStream, until: Instant) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
            until,
        }
    }

    /// Reads until the head is complete or the socket has no more for now.
    pub(super) fn read(&mut self, rules: &Rules) -> Progress {
        let mut chunk = [0; 2048];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Progress::Gone,
                Ok(read) => {
                    if let Step::Ready(decision) = self.take(&chunk[..read], rules) {
                        return Progress::Done(decision);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::More,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Progress::Gone,
            }
        }
    }

    /// Parses only when it can matter: parsing at every byte of a trickling head would cost the square of its length.
    fn take(&mut self, chunk: &[u8], rules: &Rules) -> Step {
        let is_first = self.bytes.is_empty();
        let seen = self.bytes.len().saturating_sub(2);
        self.bytes.extend_from_slice(chunk);
        if is_first || self.bytes.len() >= HEAD_BYTES || head::has_end(&self.bytes[seen..]) {
            head::read(&self.bytes, rules)
        } else {
            Step::More
        }
    }

    /// The answer to a head that did not come in time; a peer that sent nothing gets none.
    pub(super) fn too_late(&self) -> Option<Answer> {
        (!self.bytes.is_empty()).then(|| Answer::text(408, "The request took too long"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_head_is_found_however_it_is_cut() {
        let rules = Rules::new(1, &[], &[]).unwrap();
        let head = b"GET /health HTTP/1.1\r\nHost: localhost:1\r\n\r\n";
        for step in 1..=head.len() {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let mut reader = HeadReader::new(stream, Instant::now() + Duration::from_secs(5));
            let mut steps: Vec<Step> = head
                .chunks(step)
                .map(|chunk| reader.take(chunk, &rules))
                .collect();
            let health = Step::Ready(Decision::Health { head_only: false });
            assert_eq!(steps.pop(), Some(health), "step {step}");
            assert!(steps.iter().all(|step| *step == Step::More));
        }
    }
}
