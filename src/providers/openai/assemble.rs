//! Assembles an answer from its chunks: text, reasoning, calls, usage, and why it ended.
//!
//! Pure but for what it passes on through the `Feed`; runs on the turn that asks. What an ending means is decided here:
//! by the presence of calls first, by the finish reason second.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::fault::{Fault, Hints};
use super::super::feed::Feed;
use super::super::leaf::words;
use super::super::read::{
    Assemble, Ending, MAX_REASONING_BYTES, MAX_TEXT_BYTES, conclude, fitting, salvage, undecodable,
};
use super::super::retry::Failure;
use super::super::{ProviderError, Reply};
use super::calls::{Built, CallBuilder};
use super::decode::{self, Choice, Chunk, Piece};
use super::think::{Found, ThinkFilter};
use crate::chat::{Message, Native, Part, Role, StopReason};
use crate::config::Secret;

/// More items of `reasoning_details` are not kept; services send a few.
const MAX_DETAILS: usize = 64;

/// Who makes an answer.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) provider: &'a str,
    pub(super) model: &'a str,
    /// What must not appear in error texts.
    pub(super) secrets: &'a [&'a Secret],
}

/// An answer while it arrives.
pub(super) struct Assembler<'a> {
    origin: Origin<'a>,
    text: String,
    filter: ThinkFilter,
    /// Reasoning found in the text; not sent back, but text after all if no closing tag comes.
    thought: String,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    details: Details,
    calls: CallBuilder,
    usage: String,
    finish: Option<String>,
    refused: bool,
    too_long: bool,
    missing_open_tag: bool,
    seen_choice: bool,
}

impl<'a> Assembler<'a> {
    /// Starts an answer; see [`ThinkFilter::new`] for `inside_think`.
    pub(super) fn new(origin: Origin<'a>, inside_think: bool) -> Self {
        Self {
            origin,
            text: String::new(),
            filter: ThinkFilter::new(inside_think),
            thought: String::new(),
            reasoning_content: None,
            reasoning: None,
            details: Details::default(),
            calls: CallBuilder::default(),
            usage: String::new(),
            finish: None,
            refused: false,
            too_long: false,
            missing_open_tag: false,
            seen_choice: false,
        }
    }

    /// Whether a thinking block without opening tag was found.
    pub(super) fn missing_open_tag(&self) -> bool {
        self.missing_open_tag
    }

    fn keep_usage(&mut self, usage: Option<&RawValue>) {
        // Some services send growing counts with every chunk: the last one is the total.
        if let Some(usage) = usage {
            usage.get().clone_into(&mut self.usage);
        }
    }

    fn take_choice(&mut self, choice: &Choice<'_>, feed: &mut Feed<'_>) {
        if let Some(delta) = &choice.delta {
            for call in delta.calls() {
                feed.piece_arrived();
                self.calls.piece(&call);
            }
            self.take_piece(delta, feed);
        }
        if let Some(message) = &choice.message {
            for call in message.calls() {
                feed.piece_arrived();
                self.calls.whole(&call);
            }
            self.take_piece(message, feed);
        }
        let reason = choice.finish_reason.map(words);
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            self.finish = Some(reason.into_owned());
        }
    }

    fn take_piece(&mut self, piece: &Piece<'_>, feed: &mut Feed<'_>) {
        self.take_reasoning(piece, feed);
        if let Some(content) = piece.content {
            self.take_text(&words(content), feed);
        }
        let refusal = piece.refusal.map(words).unwrap_or_default();
        if !refusal.is_empty() {
            self.refused = true;
            self.show(&refusal, feed);
        }
    }

    fn take_reasoning(&mut self, piece: &Piece<'_>, feed: &mut Feed<'_>) {
        let content = keep(&mut self.reasoning_content, piece.reasoning_content);
        let plain = keep(&mut self.reasoning, piece.reasoning);
        // Services that send both send the same twice.
        let shown = content.filter(|text| !text.is_empty()).or(plain);
        if let Some(text) = shown.filter(|text| !text.is_empty()) {
            self.filter.reasoning_is_apart();
            feed.reasoning(&text);
        }
        if let Some(details) = piece.reasoning_details {
            let items: Vec<Value> = serde_json::from_str(details.get()).unwrap_or_default();
            items.into_iter().for_each(|item| self.details.add(item));
        }
    }

    fn take_text(&mut self, text: &str, feed: &mut Feed<'_>) {
        // The filter is moved out because it reports to the rest of `self`.
        let mut filter = std::mem::replace(&mut self.filter, ThinkFilter::new(false));
        filter.push(text, &mut |found| self.found(found, feed));
        self.filter = filter;
    }

    fn found(&mut self, found: Found<'_>, feed: &mut Feed<'_>) {
        match found {
            Found::Text(text) => self.show(text, feed),
            Found::Reasoning(text) => {
                if self.thought.len() + text.len() <= MAX_TEXT_BYTES {
                    self.thought.push_str(text);
                }
                feed.reasoning(text);
            }
            Found::TextWasReasoning => {
                self.missing_open_tag = true;
                self.text.clear();
            }
            Found::ReasoningWasText => {
                let text = std::mem::take(&mut self.thought);
                self.show(text.trim_start(), feed);
            }
        }
    }

    /// Adds text to the answer and passes it on, up to the limit.
    fn show(&mut self, text: &str, feed: &mut Feed<'_>) {
        let room = MAX_TEXT_BYTES.saturating_sub(self.text.len());
        let shown = fitting(text, room);
        self.too_long |= shown.len() < text.len();
        self.text.push_str(shown);
        feed.text(shown);
    }

    /// Ends the answer and decides what it is worth.
    pub(super) fn finish(mut self, ending: Ending, feed: &mut Feed<'_>) -> Result<Reply, Failure> {
        let mut filter = std::mem::replace(&mut self.filter, ThinkFilter::new(false));
        filter.finish(&mut |found| self.found(found, feed));
        let stop = self.stop_reason(ending, feed)?;
        let cut_off = matches!(stop, StopReason::Length | StopReason::Truncated);
        let calls = std::mem::take(&mut self.calls).build(cut_off);
        Ok(self.reply(stop, calls, feed))
    }

    /// Why the answer ended, calls not considered; a failure if there is nothing worth keeping.
    fn stop_reason(&self, ending: Ending, feed: &Feed<'_>) -> Result<StopReason, Failure> {
        if self.too_long {
            return Ok(StopReason::Truncated);
        }
        let broken = match conclude(ending, self.finish.as_deref(), self.seen_choice) {
            Ok(Some("network_error" | "insufficient_system_resource" | "error")) => {
                let detail = "it gave up in the middle of the answer".to_owned();
                Failure::passing(ProviderError::Overloaded(detail))
            }
            Ok(reason) => return Ok(self.stop_of(reason.unwrap_or("stop"))),
            Err(failure) => failure,
        };
        salvage(broken, feed)
    }

    fn stop_of(&self, reason: &str) -> StopReason {
        match reason {
            "length" | "max_tokens" | "model_context_window_exceeded" => StopReason::Length,
            "content_filter" | "sensitive" | "refusal" => StopReason::Refused,
            _ if self.refused => StopReason::Refused,
            _ => StopReason::Complete,
        }
    }

    fn reply(self, stop: StopReason, calls: Vec<Built>, feed: &Feed<'_>) -> Reply {
        // A broken stream runs nothing; otherwise whole calls are run, whatever the reason says.
        let calls = match stop {
            StopReason::Truncated | StopReason::Refused => Vec::new(),
            _ => calls,
        };
        let stop = if calls.is_empty() {
            stop
        } else {
            StopReason::ToolCalls
        };
        let native = self.native(&calls);
        let mut parts = Vec::with_capacity(calls.len() + 1);
        if !self.text.is_empty() {
            parts.push(Part::Text(self.text));
        }
        parts.extend(calls.into_iter().map(|built| Part::ToolCall(built.call)));
        Reply {
            message: Message {
                role: Role::Assistant,
                parts,
                native,
            },
            stop,
            usage: decode::usage(&self.usage),
            first_token: feed.first_piece(),
            attempts: 1,
        }
    }

    /// What must go back with this message, under the names it came with, and what was reasoned in its text: that goes
    /// back to nobody, but people may read it.
    fn native(&self, calls: &[Built]) -> Option<Native> {
        let mut data = Map::new();
        for (name, text) in [
            ("reasoning_content", &self.reasoning_content),
            ("reasoning", &self.reasoning),
        ] {
            if let Some(text) = text {
                data.insert(name.to_owned(), Value::String(text.clone()));
            }
        }
        if !self.thought.trim().is_empty() {
            data.insert("thought".to_owned(), Value::String(self.thought.clone()));
        }
        if !self.details.items.is_empty() {
            let details = Value::Array(self.details.items.clone());
            data.insert("reasoning_details".to_owned(), details);
        }
        let extra: Map<String, Value> = calls
            .iter()
            .filter_map(|built| {
                let extra = serde_json::from_str(built.extra.as_deref()?.get()).ok()?;
                Some((built.call.id.clone(), extra))
            })
            .collect();
        if !extra.is_empty() {
            data.insert("extra_content".to_owned(), Value::Object(extra));
        }
        (!data.is_empty()).then(|| Native {
            provider: self.origin.provider.to_owned(),
            model: self.origin.model.to_owned(),
            data: Value::Object(data).to_string(),
        })
    }
}

impl Assemble for Assembler<'_> {
    fn accept(&mut self, data: &str, feed: &mut Feed<'_>) -> Result<(), Failure> {
        let chunk = Chunk::parse(data).ok_or_else(|| undecodable("it is not the expected JSON"))?;
        if chunk.is_error() {
            let value = serde_json::from_str(data).unwrap_or_default();
            let fault = Fault::inside_answer(&value);
            return Err(fault.failure(Hints::default(), self.origin.secrets));
        }
        self.keep_usage(chunk.usage);
        let Some(choice) = chunk.choices.first else {
            return Ok(());
        };
        self.seen_choice = true;
        self.keep_usage(choice.usage);
        self.take_choice(&choice, feed);
        Ok(())
    }

    fn finished(&self) -> bool {
        self.finish.is_some()
    }

    /// The end mark is no JSON and never comes here.
    fn ended(&self) -> bool {
        false
    }

    fn too_long(&self) -> bool {
        self.too_long
    }
}

/// Appends a piece of reasoning; the field counts as received even if it is empty. Returns the piece.
fn keep<'a>(field: &mut Option<String>, piece: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    let text = words(piece?);
    let kept = field.get_or_insert_default();
    kept.push_str(fitting(
        &text,
        MAX_REASONING_BYTES.saturating_sub(kept.len()),
    ));
    Some(text)
}

/// The items of `reasoning_details`.
#[derive(Default)]
struct Details {
    items: Vec<Value>,
    /// Their size when they came, without what was merged into them.
    bytes: usize,
}

impl Details {
    /// Adds an item: items of equal index and type are pieces of one (OpenRouter's documentation).
    fn add(&mut self, item: Value) {
        let same = |other: &&mut Value| {
            item.get("index").is_some_and(|index| !index.is_null())
                && other.get("index") == item.get("index")
                && other.get("type") == item.get("type")
        };
        match (self.items.iter_mut().find(same), item) {
            (Some(Value::Object(known)), Value::Object(item)) => {
                for (key, value) in item {
                    merge_field(known, key, value);
                }
            }
            (_, item) => {
                self.bytes += item.to_string().len();
                if self.items.len() < MAX_DETAILS && self.bytes <= MAX_REASONING_BYTES {
                    self.items.push(item);
                }
            }
        }
    }
}

fn merge_field(known: &mut Map<String, Value>, key: String, value: Value) {
    let grows = matches!(key.as_str(), "text" | "summary");
    match (known.get_mut(&key), value) {
        (_, Value::Null) => {}
        (Some(Value::String(text)), Value::String(more)) if grows => {
            if text.len() + more.len() <= MAX_REASONING_BYTES {
                text.push_str(&more);
            }
        }
        (_, value) => {
            known.insert(key, value);
        }
    }
}
