//! The request body of chat completions: fields, messages and tools, in a fixed order.
//!
//! Pure; runs on the turn that asks. Field rules: public API reference of OpenAI and of the compatible vendors. What a
//! service or model wants differently comes from `quirks`. Histories arrive legal; nothing is repaired here but texts
//! and names that no service takes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::history::{NO_OUTPUT, NO_TEXT, is_object, legal_name, native_fits, or_else};
use super::super::quirks::{Echo, Quirks, TokenField};
use super::super::room::Room;
use super::super::{ModelSpec, Request};
use crate::chat::{Image, Message, Part, Role, ToolCall};

/// How many tokens a request leaves for the answer; `None` leaves that to the service.
pub(super) fn limit(model: &ModelSpec, quirks: &Quirks, room: Room) -> Option<u32> {
    let limit = model.max_tokens.filter(|_| quirks.token_limit)?;
    Some(room.bound(quirks.token_cap.map_or(limit, |cap| limit.min(cap))))
}

/// Writes the body of one request with this [`limit`].
pub(super) fn encode(
    request: &Request<'_>,
    quirks: &Quirks,
    provider: &str,
    stream: bool,
    limit: Option<u32>,
) -> Vec<u8> {
    let body = Body {
        request,
        quirks,
        provider,
        stream,
        limit,
    };
    serde_json::to_vec(&body).expect("a request holds nothing that JSON cannot express")
}

struct Body<'a> {
    request: &'a Request<'a>,
    quirks: &'a Quirks,
    provider: &'a str,
    stream: bool,
    limit: Option<u32>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (model, tools) = (self.request.model, self.request.tools);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", &model.model_id)?;
        map.serialize_entry("messages", &self.lines())?;
        if !tools.is_empty() {
            let tools: Vec<ToolLine<'_>> = tools.iter().map(ToolLine::from).collect();
            map.serialize_entry("tools", &tools)?;
            if self.quirks.effort_none {
                map.serialize_entry("reasoning_effort", "none")?;
            }
        }
        map.serialize_entry("stream", &self.stream)?;
        if self.stream && self.quirks.stream_options {
            let options = StreamOptions {
                include_usage: true,
            };
            map.serialize_entry("stream_options", &options)?;
        }
        if let Some(limit) = self.limit {
            map.serialize_entry(self.token_field(), &limit)?;
        }
        let temperature = model.temperature.filter(|t| t.is_finite());
        if let Some(temperature) = temperature.filter(|_| self.quirks.temperature) {
            map.serialize_entry("temperature", &temperature)?;
        }
        map.end()
    }
}

impl<'a> Body<'a> {
    fn token_field(&self) -> &'static str {
        match self.quirks.token_field {
            TokenField::MaxTokens => "max_tokens",
            TokenField::MaxCompletionTokens => "max_completion_tokens",
        }
    }

    fn lines(&self) -> Vec<Line<'a>> {
        let mut lines = Vec::with_capacity(self.request.messages.len() + 1);
        if !self.request.system.trim().is_empty() {
            lines.push(Line::text("system", Cow::Borrowed(self.request.system)));
        }
        for message in self.request.messages {
            match message.role {
                Role::User => lines.push(Line {
                    content: Some(user_content(message)),
                    ..Line::empty("user")
                }),
                Role::Assistant => lines.push(self.assistant(message)),
                Role::Tool => lines.extend(message.tool_results().map(|result| Line {
                    tool_call_id: Some(&result.call_id),
                    ..Line::text("tool", or_else(Cow::Borrowed(&result.content), NO_OUTPUT))
                })),
            }
        }
        lines
    }

    fn assistant(&self, message: &'a Message) -> Line<'a> {
        let native = self.native(message);
        let calls: Vec<CallLine<'a>> = message
            .tool_calls()
            .map(|call| CallLine::new(call, &native))
            .collect();
        let text = assistant_text(message);
        let content = match (text.trim().is_empty(), calls.is_empty()) {
            (false, _) => Some(Content::Text(text)),
            (true, true) => Some(Content::Text(Cow::Borrowed(NO_TEXT))),
            // With calls the field is left out: some services refuse null here, others the empty text.
            (true, false) => None,
        };
        let mut line = Line {
            content,
            ..Line::empty("assistant")
        };
        if !calls.is_empty() {
            self.echo_reasoning(&mut line, &native);
        }
        line.tool_calls = calls;
        line
    }

    /// The adapter's own data of a message, if this provider and model family made it.
    fn native(&self, message: &'a Message) -> NativeData<'a> {
        message
            .native
            .as_ref()
            .filter(|native| native_fits(native, self.provider, &self.request.model.model_id))
            .and_then(|native| serde_json::from_str(&native.data).ok())
            .unwrap_or_default()
    }

    fn echo_reasoning(&self, line: &mut Line<'a>, native: &NativeData<'a>) {
        if self.quirks.echo == Echo::Never {
            return;
        }
        line.reasoning_content = native.reasoning_content;
        line.reasoning = native.reasoning;
        line.reasoning_details = native.reasoning_details;
        if self.quirks.echo == Echo::Required && line.reasoning_content.is_none() {
            line.reasoning_content = serde_json::from_str(r#""""#).ok();
        }
    }
}

/// What a message's native form holds.
#[derive(Default, serde::Deserialize)]
struct NativeData<'a> {
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_details: Option<&'a RawValue>,
    /// Opaque data of calls, by call id (thought signatures of Gemini's compatible endpoint).
    #[serde(borrow, default)]
    extra_content: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

#[derive(serde::Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(serde::Serialize)]
struct Line<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_details: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn empty(role: &'static str) -> Self {
        Self {
            role,
            content: None,
            reasoning_content: None,
            reasoning: None,
            reasoning_details: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }

    fn text(role: &'static str, text: Cow<'a, str>) -> Self {
        Self {
            content: Some(Content::Text(text)),
            ..Self::empty(role)
        }
    }
}

/// What a message says: parts only where there are images, because a plain text is understood everywhere.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<PartLine<'a>>),
}

#[derive(serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PartLine<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(serde::Serialize)]
struct ImageUrl<'a> {
    #[serde(serialize_with = "data_url")]
    url: &'a Image,
}

/// Writes an image as a data URL, base64 without line breaks.
fn data_url<S: Serializer>(image: &&Image, serializer: S) -> Result<S::Ok, S::Error> {
    let base64 = Base64Display::new(&image.data, &STANDARD);
    let media_type = image.media_type.as_str();
    serializer.collect_str(&format_args!("data:{media_type};base64,{base64}"))
}

#[derive(serde::Serialize)]
struct CallLine<'a> {
    id: &'a str,
    r#type: &'static str,
    function: FunctionLine<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<&'a RawValue>,
}

#[derive(serde::Serialize)]
struct FunctionLine<'a> {
    name: Cow<'a, str>,
    arguments: &'a str,
}

impl<'a> CallLine<'a> {
    fn new(call: &'a ToolCall, native: &NativeData<'a>) -> Self {
        Self {
            id: &call.id,
            r#type: "function",
            function: FunctionLine {
                name: legal_name(&call.name),
                arguments: if is_object(&call.arguments) {
                    &call.arguments
                } else {
                    "{}"
                },
            },
            extra_content: native.extra_content.get(call.id.as_str()).copied(),
        }
    }
}

#[derive(serde::Serialize)]
struct ToolLine<'a> {
    r#type: &'static str,
    function: ToolFunction<'a>,
}

#[derive(serde::Serialize)]
struct ToolFunction<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

impl<'a> From<&'a super::super::ToolSpec> for ToolLine<'a> {
    fn from(tool: &'a super::super::ToolSpec) -> Self {
        Self {
            r#type: "function",
            function: ToolFunction {
                name: &tool.name,
                description: &tool.description,
                parameters: &tool.parameters,
            },
        }
    }
}

/// Joins what the person said and the context blocks by blank lines, in their order; images stand between them.
fn user_content(message: &Message) -> Content<'_> {
    let mut parts: Vec<PartLine<'_>> = Vec::new();
    for stretch in message
        .parts
        .split_inclusive(|part| matches!(part, Part::Image(_)))
    {
        let text = user_text(stretch);
        if !text.is_empty() {
            parts.push(PartLine::Text { text });
        }
        if let Some(Part::Image(image)) = stretch.last() {
            let image_url = ImageUrl { url: image };
            parts.push(PartLine::ImageUrl { image_url });
        }
    }
    match parts.pop() {
        None => Content::Text(Cow::Borrowed(NO_TEXT)),
        Some(PartLine::Text { text }) if parts.is_empty() => Content::Text(text),
        Some(last) => {
            parts.push(last);
            Content::Parts(parts)
        }
    }
}

fn user_text(parts: &[Part]) -> Cow<'_, str> {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text(text) | Part::Context(text) => Some(text.as_str()),
        _ => None,
    });
    join(texts.filter(|text| !text.trim().is_empty()), "\n\n")
}

fn assistant_text(message: &Message) -> Cow<'_, str> {
    let texts = message.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        _ => None,
    });
    join(texts, "")
}

/// Joins texts; a single one is borrowed.
fn join<'a>(mut texts: impl Iterator<Item = &'a str>, between: &str) -> Cow<'a, str> {
    let mut joined = Cow::Borrowed(texts.next().unwrap_or_default());
    for text in texts {
        let joined = joined.to_mut();
        joined.push_str(between);
        joined.push_str(text);
    }
    joined
}

#[cfg(test)]
mod tests;
