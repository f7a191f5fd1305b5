//! Reads the body of an answer, an event stream or plain JSON, whichever it turns out to be, into an [`Assemble`].
//!
//! Runs and blocks on the turn that asks. The content type is not trusted: servers ignore `stream`, and proxies invent
//! types. One buffer serves the whole stream. What the JSON means is the assembler's business; the limits that hold for
//! answers of every format are here.

use std::borrow::Cow;

use super::ProviderError;
use super::fault::printable;
use super::feed::Feed;
use super::retry::Failure;
use super::sse::{Event, Parser, TooLong};
use crate::chat::StopReason;
use crate::net::{Answer, HttpError};

/// Longest text of one answer; what follows is cut off.
pub(crate) const MAX_TEXT_BYTES: usize = 1024 * 1024;
/// Longest reasoning that is kept for sending back.
pub(crate) const MAX_REASONING_BYTES: usize = 1024 * 1024;
/// More calls in one message are not taken.
pub(crate) const MAX_CALLS: usize = 64;
/// Longest arguments of one call.
pub(crate) const MAX_ARGUMENT_BYTES: usize = 256 * 1024;

/// One read takes at most this much.
const BUFFER_BYTES: usize = 16 * 1024;
/// How much of a body that nobody understands is shown.
const SHOWN_BYTES: usize = 100;

/// How the reading of an answer ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// By its own end mark, or as one complete JSON text.
    Whole,
    /// By the end of the body, without a mark.
    Unmarked,
    /// By a failure in the middle.
    Broken(Failure),
}

/// What puts an answer together while it is read.
pub(crate) trait Assemble {
    /// Takes the data of one event, or a whole plain response. An error object inside a good answer is a fault.
    fn accept(&mut self, data: &str, feed: &mut Feed<'_>) -> Result<(), Failure>;

    /// Whether the service said that the answer is complete; only usage and the end mark may follow.
    fn finished(&self) -> bool;

    /// Whether the end mark was in what was accepted.
    fn ended(&self) -> bool;

    /// Whether the answer grew over its limit.
    fn too_long(&self) -> bool;
}

/// Makes a failure of an answer that cannot be understood.
pub(crate) fn undecodable(detail: &str) -> Failure {
    Failure::final_(ProviderError::Undecodable(detail.to_owned()))
}

/// How an answer ended: with the service's own reason, complete without one, or broken. `begun` tells whether anything of
/// an answer came.
pub(crate) fn conclude<R>(
    ending: Ending,
    said: Option<R>,
    begun: bool,
) -> Result<Option<R>, Failure> {
    match (ending, said) {
        (Ending::Broken(failure), _) if failure.error == ProviderError::Cancelled => Err(failure),
        (_, Some(reason)) => Ok(Some(reason)),
        (Ending::Whole, None) if begun => Ok(None),
        (Ending::Whole, None) => Err(undecodable("it holds no answer")),
        (Ending::Unmarked, None) => {
            let detail = "the answer broke off".to_owned();
            Err(Failure::passing(ProviderError::Network(detail)))
        }
        (Ending::Broken(failure), None) => Err(failure),
    }
}

/// What a broken answer is worth: text that was passed on is kept, marked as cut off; without any, the failure counts.
pub(crate) fn salvage(broken: Failure, feed: &Feed<'_>) -> Result<StopReason, Failure> {
    if broken.error == ProviderError::Cancelled || !feed.text_passed() {
        return Err(broken);
    }
    log::warn!("an answer broke off after text was shown: {}", broken.error);
    Ok(StopReason::Truncated)
}

/// The longest start of a text that is at most `room` bytes.
pub(crate) fn fitting(text: &str, room: usize) -> &str {
    if text.len() <= room {
        return text;
    }
    let whole_chars = (0..=room).rev().find(|at| text.is_char_boundary(*at));
    &text[..whole_chars.unwrap_or(0)]
}

/// What the first bytes say about the body.
enum Kind {
    Events,
    Json,
    Other,
}

/// Reads the whole body into the assembler and says how it ended.
pub(crate) fn read(
    mut answer: Answer,
    assembler: &mut impl Assemble,
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
    assembler: &mut impl Assemble,
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
        assembler: &mut impl Assemble,
        feed: &mut Feed<'_>,
    ) -> Ending {
        self.parser.push(&start);
        loop {
            match self.take_events(assembler, feed) {
                Step::On => {}
                Step::End(Ending::Whole) => {
                    feed.flush();
                    self.answer.finish(feed);
                    return Ending::Whole;
                }
                Step::End(ending) => return ending,
            }
            feed.flush();
            match self.answer.read(&mut self.buffer, feed) {
                Ok(0) => return self.last_event(assembler, feed),
                Ok(count) => self.parser.push(&self.buffer[..count]),
                Err(error) => return Ending::Broken(error.into()),
            }
        }
    }

    fn take_events(&mut self, assembler: &mut impl Assemble, feed: &mut Feed<'_>) -> Step {
        let mut any = false;
        loop {
            match self.parser.next() {
                Ok(Some(event)) => {
                    // Once for all that one read brought: asking for the time is a good part of an event's cost.
                    if !std::mem::replace(&mut any, true) {
                        self.answer.data_received();
                    }
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
    fn last_event(mut self, assembler: &mut impl Assemble, feed: &mut Feed<'_>) -> Ending {
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

fn take_event(event: Event<'_>, assembler: &mut impl Assemble, feed: &mut Feed<'_>) -> Step {
    // Bytes that are no UTF-8 become replacement characters; the rest of the answer is still good.
    let data = text_of(event.data);
    match data.trim() {
        "" => Step::On,
        "[DONE]" => Step::End(Ending::Whole),
        data => match assembler.accept(data, feed) {
            Ok(()) if assembler.too_long() => Step::End(Ending::Unmarked),
            Ok(()) if assembler.ended() => Step::End(Ending::Whole),
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
