//! Assembles one response from its events: blocks, usage, and why it ended.
//!
//! Pure but for what it passes on through the `Feed`; runs on the turn that asks. One model call may take several
//! responses (`call`).

use serde_json::Value;
use serde_json::value::RawValue;

use super::super::fault::{Fault, Hints, printable};
use super::super::feed::Feed;
use super::super::leaf::words;
use super::super::read::{
    Assemble, Ending, MAX_TEXT_BYTES, conclude, fitting, salvage, undecodable,
};
use super::super::retry::Failure;
use super::blocks::{Block, Kind, inside};
use super::decode::{Counts, Delta, Event, Fields};
use crate::chat::{StopReason, Usage};
use crate::config::Secret;

/// More blocks in one response are not taken.
const MAX_BLOCKS: usize = 512;

/// Why a response ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// For good; calls are not considered.
    Ended(StopReason),
    /// The service wants to go on and must be given back what it sent.
    Paused,
}

/// A finished response.
pub(super) struct Segment {
    pub(super) blocks: Vec<Block>,
    pub(super) stop: Stop,
    pub(super) usage: Usage,
    /// Why the service refused, as a sentence for people.
    pub(super) detail: Option<String>,
}

/// A response while it arrives.
pub(super) struct Assembler<'a> {
    secrets: &'a [&'a Secret],
    blocks: Vec<Block>,
    text_bytes: usize,
    counts: Counts,
    stop_reason: Option<String>,
    detail: Option<String>,
    begun: bool,
    ended: bool,
    too_long: bool,
}

impl<'a> Assembler<'a> {
    /// Starts a response; `text_bytes` came in earlier responses of the same call, `secrets` must not appear in errors.
    pub(super) fn new(secrets: &'a [&'a Secret], text_bytes: usize) -> Self {
        Self {
            secrets,
            blocks: Vec::new(),
            text_bytes,
            counts: Counts::default(),
            stop_reason: None,
            detail: None,
            begun: false,
            ended: false,
            too_long: false,
        }
    }

    fn take(&mut self, event: &Event<'_>, feed: &mut Feed<'_>) {
        match event.kind().as_ref() {
            "message_start" => {
                self.begun = true;
                self.count(event.message().and_then(|message| message.usage));
            }
            "content_block_start" => {
                if let Some(fields) = event.content_block() {
                    self.begin(event.index(), &fields, feed);
                }
            }
            "content_block_delta" => {
                if let Some(delta) = event.delta() {
                    self.piece(event.index(), &delta, feed);
                }
            }
            "message_delta" => {
                self.count(event.usage);
                if let Some(delta) = event.delta() {
                    self.stop(delta.stop_reason, delta.stop_details);
                }
            }
            "message_stop" => self.ended = true,
            "message" | "" => self.whole(event, feed),
            // Pings, ends of blocks, and what is not invented yet.
            _ => {}
        }
    }

    /// Takes a plain response.
    fn whole(&mut self, event: &Event<'_>, feed: &mut Feed<'_>) {
        let content = event.content();
        self.begun |= content.is_some() || !event.kind().is_empty();
        for fields in content.iter().flatten() {
            self.begin(None, fields, feed);
        }
        self.count(event.usage);
        self.stop(event.stop_reason, event.stop_details);
    }

    fn begin(&mut self, index: Option<u64>, fields: &Fields<'_>, feed: &mut Feed<'_>) {
        self.begun = true;
        feed.piece_arrived();
        let mut block = Block::begin(index, fields);
        match block.kind() {
            Kind::Text => {
                let shown = self.show(block.text(), feed);
                block.cut(shown);
            }
            Kind::Thinking => {
                feed.reasoning(&fields.get("thinking").map(words).unwrap_or_default());
            }
            Kind::ToolUse | Kind::Other => {}
        }
        self.add(block);
    }

    fn add(&mut self, block: Block) {
        if self.blocks.len() == MAX_BLOCKS {
            self.too_long = true;
        } else {
            self.blocks.push(block);
        }
    }

    /// Takes a piece of a block; which kind of piece it is, its field says.
    fn piece(&mut self, index: Option<u64>, delta: &Delta<'_>, feed: &mut Feed<'_>) {
        if let Some(text) = delta.text.map(words) {
            let shown = self.show(&text, feed);
            self.grow(index, &[Kind::Text], &text[..shown]);
        }
        if let Some(thinking) = delta.thinking {
            feed.reasoning(&words(thinking));
            self.grow(index, &[Kind::Thinking], inside(thinking));
        }
        if let Some(signature) = delta.signature
            && let Some(block) = self.block(index, &[Kind::Thinking])
        {
            block.sign(signature);
        }
        if let Some(input) = delta.partial_json.map(words) {
            feed.piece_arrived();
            self.grow(index, &[Kind::ToolUse, Kind::Other], &input);
        }
    }

    fn grow(&mut self, index: Option<u64>, kinds: &[Kind], piece: &str) {
        self.begun = true;
        if let Some(block) = self.block(index, kinds) {
            block.grow(piece);
        }
    }

    /// Finds the block a piece belongs to; one that was not announced is made. The last one counts: some services number
    /// all blocks alike.
    fn block(&mut self, index: Option<u64>, kinds: &[Kind]) -> Option<&mut Block> {
        let last = self.blocks.iter().rposition(|block| block.is_at(index));
        let found = last.filter(|at| kinds.contains(&self.blocks[*at].kind()));
        if let Some(at) = found {
            return self.blocks.get_mut(at);
        }
        self.add(Block::implied(index, kinds[0]));
        self.blocks.last_mut().filter(|_| !self.too_long)
    }

    /// Passes text on, up to the limit; returns how many bytes of it are within.
    fn show(&mut self, text: &str, feed: &mut Feed<'_>) -> usize {
        let shown = fitting(text, MAX_TEXT_BYTES.saturating_sub(self.text_bytes));
        self.too_long |= shown.len() < text.len();
        self.text_bytes += shown.len();
        feed.text(shown);
        shown.len()
    }

    fn count(&mut self, usage: Option<&RawValue>) {
        if let Some(usage) = usage {
            self.counts.take(usage.get());
        }
    }

    fn stop(&mut self, reason: Option<&RawValue>, details: Option<&RawValue>) {
        if let Some(reason) = reason.map(words).filter(|reason| !reason.is_empty()) {
            self.stop_reason = Some(reason.into_owned());
        }
        let detail = details.and_then(|details| refusal_words(details, self.secrets));
        self.detail = detail.or(self.detail.take());
    }

    /// Ends the response; a failure if there is nothing worth keeping.
    pub(super) fn finish(self, ending: Ending, feed: &Feed<'_>) -> Result<Segment, Failure> {
        Ok(Segment {
            stop: self.ending(ending, feed)?,
            blocks: self.blocks,
            usage: self.counts.usage(),
            detail: self.detail,
        })
    }

    fn ending(&self, ending: Ending, feed: &Feed<'_>) -> Result<Stop, Failure> {
        if self.too_long {
            return Ok(Stop::Ended(StopReason::Truncated));
        }
        match conclude(ending, self.stop_reason.as_deref(), self.begun) {
            Ok(reason) => Ok(stop_of(reason.unwrap_or("end_turn"))),
            Err(broken) => salvage(broken, feed).map(Stop::Ended),
        }
    }
}

/// The service's explanation of a refusal, or its category.
fn refusal_words(details: &RawValue, secrets: &[&Secret]) -> Option<String> {
    let details: Value = serde_json::from_str(details.get()).ok()?;
    let words = |name: &str| {
        let words = details.get(name)?.as_str()?;
        Some(printable(words, secrets)).filter(|words| !words.is_empty())
    };
    let category = || {
        Some(format!(
            "The service names a category: {}.",
            words("category")?
        ))
    };
    words("explanation").or_else(category)
}

fn stop_of(reason: &str) -> Stop {
    match reason {
        "max_tokens" | "model_context_window_exceeded" => Stop::Ended(StopReason::Length),
        "refusal" => Stop::Ended(StopReason::Refused),
        "pause_turn" => Stop::Paused,
        _ => Stop::Ended(StopReason::Complete),
    }
}

impl Assemble for Assembler<'_> {
    fn accept(&mut self, data: &str, feed: &mut Feed<'_>) -> Result<(), Failure> {
        let event = Event::parse(data).ok_or_else(|| undecodable("it is not the expected JSON"))?;
        if event.is_error() {
            let value = serde_json::from_str(data).unwrap_or_default();
            let fault = Fault::inside_answer(&value);
            return Err(fault.failure(Hints::default(), self.secrets));
        }
        self.take(&event, feed);
        Ok(())
    }

    fn finished(&self) -> bool {
        self.stop_reason.is_some()
    }

    fn ended(&self) -> bool {
        self.ended
    }

    fn too_long(&self) -> bool {
        self.too_long
    }
}
