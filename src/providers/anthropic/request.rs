//! The request body of the Messages API: fields, messages and tools, in a fixed order.
//!
//! Pure; runs on the turn that asks. Field rules: the vendor's public API reference. Histories arrive legal; what this
//! format wants beyond that is done here: results before anything else in their message, neighbours of one role joined,
//! no blank text, legal ids.
//!
//! A history with tool calls may only be sent together with tools. A request without tools therefore shows calls and
//! results as plain text: that is accepted everywhere, and needs neither made-up definitions nor a `tool_choice` that
//! some models refuse. Thinking is left out of such a request, since it belongs to the calls behind it.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::history::{
    NO_OUTPUT, NO_TEXT, is_object, legal_id, legal_name, native_fits, or_else,
};
use super::super::quirks::Quirks;
use super::super::room::Room;
use super::super::{Request, ToolSpec};
use crate::chat::{Image, Message, Part, Role, ToolCall, ToolResult};

/// An answer that every model may make.
const SAFE_TOKENS: u32 = 4096;

/// How much of what the service sent goes back as it came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) enum Replay {
    /// All of it.
    #[default]
    Whole,
    /// Everything but thinking.
    WithoutThinking,
    /// Nothing: messages are made from their parts.
    FromParts,
}

/// What a request is made of.
pub(super) struct Ask<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) quirks: &'a Quirks,
    /// The configured name of the service.
    pub(super) provider: &'a str,
    pub(super) stream: bool,
    pub(super) replay: Replay,
    /// How many tokens fit behind the prompt, if the service said so.
    pub(super) room: Room,
    /// The blocks of a paused answer; they become the last message.
    pub(super) paused: &'a [String],
}

/// Writes the body of one request.
pub(super) fn encode(ask: &Ask<'_>) -> Vec<u8> {
    serde_json::to_vec(&ask.body()).expect("a request holds nothing that JSON cannot express")
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolLine<'a>>,
    messages: Vec<Line<'a>>,
    stream: bool,
}

#[derive(Serialize)]
struct ToolLine<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheMark>,
}

#[derive(Serialize)]
struct Line<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

/// A block that goes out.
#[derive(Serialize)]
#[serde(untagged)]
enum Block<'a> {
    Made(Made<'a>),
    /// As it came from this service.
    Raw(&'a RawValue),
}

/// A block made from parts.
#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    what: What<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheMark>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum What<'a> {
    Text {
        text: Cow<'a, str>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: &'a RawValue,
    },
    Image {
        source: Source<'a>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: ResultContent<'a>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

/// An image's bytes; the media type must be the true one.
#[derive(Serialize)]
struct Source<'a> {
    r#type: &'static str,
    media_type: &'static str,
    #[serde(serialize_with = "base64_text")]
    data: &'a [u8],
}

fn base64_text<S: Serializer>(data: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(data, &STANDARD))
}

/// A result is a plain text unless it shows something.
#[derive(Serialize)]
#[serde(untagged)]
enum ResultContent<'a> {
    Text(Cow<'a, str>),
    Blocks(Vec<What<'a>>),
}

/// Ends a prefix that the service may keep.
#[derive(Clone, Copy, Serialize)]
struct CacheMark {
    r#type: &'static str,
}

const CACHE_MARK: CacheMark = CacheMark {
    r#type: "ephemeral",
};

impl<'a> Block<'a> {
    fn made(what: What<'a>) -> Self {
        Self::Made(Made {
            what,
            cache_control: None,
        })
    }

    fn text(text: impl Into<Cow<'a, str>>) -> Self {
        let text = text.into();
        Self::made(What::Text { text })
    }

    fn image(image: &'a Image) -> Self {
        Self::made(What::image(image))
    }

    fn is_result(&self) -> bool {
        matches!(
            self,
            Self::Made(Made {
                what: What::ToolResult { .. },
                ..
            })
        )
    }

    fn mark(&mut self) {
        if let Self::Made(made) = self {
            made.cache_control = Some(CACHE_MARK);
        }
    }
}

impl<'a> What<'a> {
    fn image(image: &'a Image) -> Self {
        Self::Image {
            source: Source {
                r#type: "base64",
                media_type: image.media_type.as_str(),
                data: &image.data,
            },
        }
    }
}

impl<'a> Ask<'a> {
    fn body(&self) -> Body<'a> {
        let mut body = Body {
            model: &self.request.model.model_id,
            max_tokens: self.max_tokens(),
            temperature: self.temperature(),
            system: self.system(),
            tools: self.request.tools.iter().map(ToolLine::from).collect(),
            messages: self.lines(),
            stream: self.stream,
        };
        if self.quirks.cache_marks {
            mark_prefixes(&mut body);
        }
        body
    }

    /// How many tokens the request leaves for the answer.
    pub(super) fn max_tokens(&self) -> u32 {
        let (model, quirks) = (self.request.model, self.quirks);
        let wanted = model.max_tokens.unwrap_or(quirks.output_tokens);
        let wanted = quirks.token_cap.map_or(wanted, |cap| wanted.min(cap));
        // The format demands the field: what every model takes stands in for leaving it out.
        let wanted = if quirks.token_limit {
            wanted
        } else {
            wanted.min(SAFE_TOKENS)
        };
        self.room.bound(wanted).max(1)
    }

    /// The format knows 0 to 1; other services go up to 2.
    fn temperature(&self) -> Option<f64> {
        let configured = self.request.model.temperature;
        let finite = configured.filter(|t| t.is_finite() && self.quirks.temperature);
        finite.map(|t| t.clamp(0.0, 1.0))
    }

    fn system(&self) -> Vec<Block<'a>> {
        let system = self.request.system;
        if system.trim().is_empty() {
            Vec::new()
        } else {
            vec![Block::text(system)]
        }
    }

    fn lines(&self) -> Vec<Line<'a>> {
        let told = self.told_calls();
        let mut lines: Vec<Line<'a>> = Vec::with_capacity(self.request.messages.len() + 1);
        for message in self.request.messages {
            let (role, blocks) = match message.role {
                Role::User => ("user", user_blocks(message)),
                Role::Tool => ("user", result_blocks(message, told.as_ref())),
                Role::Assistant => ("assistant", self.assistant_blocks(message, told.is_some())),
            };
            add(&mut lines, role, blocks);
        }
        // Results stand first, whatever they were joined with.
        for line in &mut lines {
            line.content.sort_by_key(|block| !block.is_result());
        }
        let paused = self.paused.iter().filter_map(|json| raw(json));
        let paused: Vec<Block<'a>> = paused
            .filter(|block| self.replay == Replay::Whole || !is_thinking(block))
            .map(Block::Raw)
            .collect();
        if !paused.is_empty() {
            add(&mut lines, "assistant", paused);
        }
        lines
    }

    /// If the history's calls must be told as text: the names of the calls by id.
    fn told_calls(&self) -> Option<HashMap<&'a str, &'a str>> {
        if !self.request.tools.is_empty() {
            return None;
        }
        let calls = self.request.messages.iter().flat_map(Message::tool_calls);
        let names: HashMap<&str, &str> = calls
            .map(|call| (call.id.as_str(), call.name.as_str()))
            .collect();
        (!names.is_empty()).then_some(names)
    }

    fn assistant_blocks(&self, message: &'a Message, told: bool) -> Vec<Block<'a>> {
        let native = if told { None } else { self.native(message) };
        let blocks = native.unwrap_or_else(|| {
            let parts = message.parts.iter();
            parts
                .filter_map(|part| assistant_block(part, told))
                .collect()
        });
        or_no_text(blocks)
    }

    /// The message's own blocks, if this provider and model family made it and they still fit its calls.
    fn native(&self, message: &'a Message) -> Option<Vec<Block<'a>>> {
        let model = &self.request.model.model_id;
        let native = message.native.as_ref()?;
        if self.replay == Replay::FromParts || !native_fits(native, self.provider, model) {
            return None;
        }
        let NativeData { content } = serde_json::from_str(&native.data).ok()?;
        let heads: Vec<Head<'a>> = content.iter().filter_map(head).collect();
        let ids = heads.iter().filter(|head| head.kind == "tool_use");
        let same = ids
            .map(|head| head.id.as_deref().unwrap_or_default())
            .eq(message.tool_calls().map(|call| call.id.as_str()));
        if !same || heads.len() < content.len() {
            return None;
        }
        let kept = content
            .into_iter()
            .filter(|block| self.replay == Replay::Whole || !is_thinking(block));
        Some(kept.map(Block::Raw).collect())
    }
}

/// What a message's native form holds.
#[derive(serde::Deserialize)]
struct NativeData<'a> {
    #[serde(borrow)]
    content: Vec<&'a RawValue>,
}

/// What must be known of a raw block.
#[derive(serde::Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
}

fn head<'a>(block: &&'a RawValue) -> Option<Head<'a>> {
    serde_json::from_str(block.get()).ok()
}

fn is_thinking(block: &RawValue) -> bool {
    head(&block).is_some_and(|head| matches!(head.kind.as_ref(), "thinking" | "redacted_thinking"))
}

fn raw(json: &str) -> Option<&RawValue> {
    serde_json::from_str(json).ok()
}

/// Adds blocks to the last message if it has the same role, else in a new one.
fn add<'a>(lines: &mut Vec<Line<'a>>, role: &'static str, blocks: Vec<Block<'a>>) {
    match lines.last_mut() {
        Some(last) if last.role == role => last.content.extend(blocks),
        _ => lines.push(Line {
            role,
            content: blocks,
        }),
    }
}

fn or_no_text(blocks: Vec<Block<'_>>) -> Vec<Block<'_>> {
    if blocks.is_empty() {
        vec![Block::text(NO_TEXT)]
    } else {
        blocks
    }
}

fn user_blocks(message: &Message) -> Vec<Block<'_>> {
    let blocks = message.parts.iter().filter_map(|part| match part {
        Part::Text(text) | Part::Context(text) if !text.trim().is_empty() => {
            Some(Block::text(text))
        }
        Part::Image(image) => Some(Block::image(image)),
        _ => None,
    });
    or_no_text(blocks.collect())
}

fn result_blocks<'a>(
    message: &'a Message,
    told: Option<&HashMap<&'a str, &'a str>>,
) -> Vec<Block<'a>> {
    let results = message.tool_results();
    match told {
        Some(names) => results
            .flat_map(|result| {
                let images = result.images.iter().map(Block::image);
                std::iter::once(told_result(result, names)).chain(images)
            })
            .collect(),
        None => results
            .map(|result| {
                Block::made(What::ToolResult {
                    tool_use_id: legal_id(&result.call_id),
                    content: result_content(result),
                    is_error: result.is_error,
                })
            })
            .collect(),
    }
}

fn result_content(result: &ToolResult) -> ResultContent<'_> {
    let text = or_else(Cow::Borrowed(&result.content), NO_OUTPUT);
    // A failed call may only say something.
    if result.images.is_empty() || result.is_error {
        return ResultContent::Text(text);
    }
    let images = result.images.iter().map(What::image);
    ResultContent::Blocks(std::iter::once(What::Text { text }).chain(images).collect())
}

fn told_result<'a>(result: &'a ToolResult, names: &HashMap<&str, &str>) -> Block<'a> {
    let name = names.get(result.call_id.as_str()).unwrap_or(&"a tool");
    let kind = if result.is_error { "Error" } else { "Result" };
    let content = or_else(Cow::Borrowed(&result.content), NO_OUTPUT);
    Block::text(format!("[{kind} of {name}]\n{content}"))
}

fn assistant_block(part: &Part, told: bool) -> Option<Block<'_>> {
    match part {
        Part::Text(text) if !text.trim().is_empty() => Some(Block::text(text)),
        Part::ToolCall(call) if told => Some(Block::text(format!(
            "[Called {} with {}]",
            call.name, call.arguments
        ))),
        Part::ToolCall(call) => Some(Block::made(What::ToolUse {
            id: legal_id(&call.id),
            name: legal_name(&call.name),
            input: input(call),
        })),
        _ => None,
    }
}

fn input(call: &ToolCall) -> &RawValue {
    let object = if is_object(&call.arguments) {
        raw(&call.arguments)
    } else {
        None
    };
    object.unwrap_or_else(|| raw("{}").expect("two braces are JSON"))
}

impl<'a> From<&'a ToolSpec> for ToolLine<'a> {
    fn from(tool: &'a ToolSpec) -> Self {
        Self {
            name: &tool.name,
            description: &tool.description,
            input_schema: &tool.parameters,
            cache_control: None,
        }
    }
}

/// Marks what the next request will begin with, in four places, which is the most that is allowed: the tools, the system
/// prompt, and the newest two user messages. The older of these finds what the last request stored.
fn mark_prefixes(body: &mut Body<'_>) {
    if let Some(tool) = body.tools.last_mut() {
        tool.cache_control = Some(CACHE_MARK);
    }
    if let Some(block) = body.system.last_mut() {
        block.mark();
    }
    let users = body.messages.iter_mut().rev();
    for line in users.filter(|line| line.role == "user").take(2) {
        if let Some(block) = line.content.last_mut() {
            block.mark();
        }
    }
}

#[cfg(test)]
mod tests;
