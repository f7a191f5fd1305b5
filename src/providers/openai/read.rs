//! Reads the body of an answer, an event stream or plain JSON, whichever it turns out to be.
//!
//! Runs and blocks on the turn that asks. The content type is not trusted: servers ignore `stream`, and proxies invent
//! types. One buffer serves the whole stream.

use std::borrow::Cow;

use super::super::ProviderError;
use super::super::fault::printable;
use super::super::feed::Feed;
use super::super::http::{Answer, HttpError};
use super::super::retry::Failure;
use super::super::sse::{Event, Parser, TooLong};
use super::assemble::{Assembler, Ending, undecodable};

/// One read takes at most this much.
const BUFFER_BYTES: usize = 16 * 1024;
/// How much of a body that nobody understands is shown.
const SHOWN_BYTES: usize = 100;

/// What the first bytes say about the body.
enum Kind {
    Events,
    Json,
    Other,
}

/// Reads the whole body into the assembler and says how it ended.
pub(super) fn read(
    mut answer: Answer,
    assembler: &mut Assembler<'_>,
    feed: &mut Feed<'_>,
) -> Ending {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (kind, start) = match read_start(&mut answer, &mut buffer, feed) {
        Ok(Some(found)) => found,
        Ok(None) => return Ending::Unmarked,
        Err(error) => return Ending::Broken(error.into()),
    };
    match kind {
        Kind::Events => Events::new(answer, buffer).read(start, assembler, feed),
        Kind::Json => read_json(answer, buffer, start, assembler, feed),
        Kind::Other => Ending::Broken(unreadable(&start)),
    }
}

/// Reads until the first byte that is no blank; some services send blank lines to show that they live.
fn read_start(
    answer: &mut Answer,
    buffer: &mut [u8],
    feed: &mut Feed<'_>,
) -> Result<Option<(Kind, Vec<u8>)>, HttpError> {
    let mut start = Vec::new();
    loop {
        let count = answer.read(buffer, feed)?;
        if count == 0 {
            return Ok(None);
        }
        start.extend_from_slice(&buffer[..count]);
        let text = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&start);
        let kind = match text.trim_ascii_start().first() {
            None => {
                start.clear();
                continue;
            }
            Some(b'{' | b'[') => Kind::Json,
            // Comments, and the field names of events.
            Some(b':' | b'd' | b'e' | b'i' | b'r' | b'\xEF') => Kind::Events,
            Some(_) => Kind::Other,
        };
        return Ok(Some((kind, start)));
    }
}

fn read_json(
    mut answer: Answer,
    mut buffer: Vec<u8>,
    mut body: Vec<u8>,
    assembler: &mut Assembler<'_>,
    feed: &mut Feed<'_>,
) -> Ending {
    loop {
        match answer.read(&mut buffer, feed) {
            Ok(0) => break,
            Ok(count) => body.extend_from_slice(&buffer[..count]),
            Err(error) => return Ending::Broken(error.into()),
        }
    }
    let text = text_of(&body);
    match assembler.accept(text.trim_start_matches('\u{feff}'), feed) {
        Ok(()) => Ending::Whole,
        Err(failure) => Ending::Broken(failure),
    }
}

/// An event stream while it is read.
struct Events {
    answer: Answer,
    buffer: Vec<u8>,
    parser: Parser,
}

/// What an event does to the stream.
enum Step {
    On,
    End(Ending),
}

impl Events {
    fn new(answer: Answer, buffer: Vec<u8>) -> Self {
        Self {
            answer,
            buffer,
            parser: Parser::default(),
        }
    }

    fn read(
        mut self,
        start: Vec<u8>,
        assembler: &mut Assembler<'_>,
        feed: &mut Feed<'_>,
    ) -> Ending {
        self.parser.push(&start);
        loop {
            match self.take_events(assembler, feed) {
                Step::On => {}
                Step::End(Ending::Whole) => {
                    self.answer.finish(feed);
                    return Ending::Whole;
                }
                Step::End(ending) => return ending,
            }
            match self.answer.read(&mut self.buffer, feed) {
                Ok(0) => return self.last_event(assembler, feed),
                Ok(count) => self.parser.push(&self.buffer[..count]),
                Err(error) => return Ending::Broken(error.into()),
            }
        }
    }

    fn take_events(&mut self, assembler: &mut Assembler<'_>, feed: &mut Feed<'_>) -> Step {
        loop {
            match self.parser.next() {
                Ok(Some(event)) => {
                    self.answer.data_received();
                    if let Step::End(ending) = take_event(event, assembler, feed) {
                        return Step::End(ending);
                    }
                    if assembler.finished() {
                        self.answer.answer_received();
                    }
                }
                Ok(None) => return Step::On,
                Err(TooLong) => {
                    return Step::End(Ending::Broken(undecodable("a line of it is too long")));
                }
            }
        }
    }

    /// The stream ended; an event may lack its blank line, or its second half.
    fn last_event(mut self, assembler: &mut Assembler<'_>, feed: &mut Feed<'_>) -> Ending {
        let Ok(Some(event)) = self.parser.finish() else {
            return Ending::Unmarked;
        };
        match take_event(event, assembler, feed) {
            Step::End(Ending::Broken(failure)) if is_undecodable(&failure) => Ending::Unmarked,
            Step::End(ending) => ending,
            Step::On => Ending::Unmarked,
        }
    }
}

fn take_event(event: Event<'_>, assembler: &mut Assembler<'_>, feed: &mut Feed<'_>) -> Step {
    // Bytes that are no UTF-8 become replacement characters; the rest of the answer is still good.
    let data = text_of(event.data);
    match data.trim() {
        "" => Step::On,
        "[DONE]" => Step::End(Ending::Whole),
        data => match assembler.accept(data, feed) {
            Ok(()) if assembler.too_long() => Step::End(Ending::Unmarked),
            Ok(()) => Step::On,
            Err(failure) => Step::End(Ending::Broken(failure)),
        },
    }
}

/// Reads bytes as text; the check of good UTF-8 is much faster than the replacing of bad one.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

fn is_undecodable(failure: &Failure) -> bool {
    matches!(failure.error, ProviderError::Undecodable(_))
}

/// Describes a body that is neither JSON nor an event stream.
fn unreadable(start: &[u8]) -> Failure {
    if start.trim_ascii_start().starts_with(b"<") {
        return undecodable("it is a web page; check base_url");
    }
    let shown = String::from_utf8_lossy(&start[..start.len().min(SHOWN_BYTES)]);
    undecodable(&format!(
        "it is neither JSON nor an event stream: {}",
        printable(&shown, &[])
    ))
}
