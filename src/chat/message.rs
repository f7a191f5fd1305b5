//! Messages as the model and the database see them. Pure data; no thread.

use super::Image;

/// Who said a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The person, or a job that speaks in a person's place.
    User,
    /// The model.
    Assistant,
    /// The results of the tool calls of the assistant message before it.
    Tool,
}

/// A model's request to run one tool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToolCall {
    /// Pairs the call with its result; unique in a dialog.
    pub id: String,
    /// The tool's registered name.
    pub name: String,
    /// The arguments as JSON text. Not checked: a model may have produced anything.
    pub arguments: String,
}

impl ToolCall {
    /// Stands for arguments that were longer than is taken. No JSON: such a call is never run.
    pub const TOO_LONG: &'static str = "[left out: longer than 256 KiB]";
    /// Stands for arguments that the model's output limit cut off. No JSON: such a call is never run.
    pub const CUT_OFF: &'static str = "[cut off at the model's output limit]";
}

/// What a tool call gave back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToolResult {
    /// The id of the call this answers.
    pub call_id: String,
    /// Text for the model; never empty once stored.
    pub content: String,
    /// Whether the call failed.
    pub is_error: bool,
    /// What the call shows besides the text.
    pub images: Vec<Image>,
}

/// A piece of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// Plain text.
    Text(String),
    /// The volatile block of a user message (time, recalled memories, channel facts). Stored and replayed word for
    /// word, never shown to people as part of what they said.
    Context(String),
    /// A remark of PicoBot's own ("stopped", "the service failed"). Shown to people, never sent to a model.
    Note(String),
    /// An image; only in user messages.
    Image(Image),
    /// A tool call; only in assistant messages.
    ToolCall(ToolCall),
    /// A tool result; only in tool messages.
    ToolResult(ToolResult),
}

/// What a provider needs to replay an assistant message exactly (reasoning fields, signed blocks).
///
/// Sent back only to the provider and model family it came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Native {
    /// The provider's configured name.
    pub provider: String,
    /// The model id that produced the message.
    pub model: String,
    /// JSON text whose shape only that provider's adapter knows.
    pub data: String,
}

/// One entry of a dialog's history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// Its pieces, in order.
    pub parts: Vec<Part>,
    /// For assistant messages: the provider's own form.
    pub native: Option<Native>,
}

impl Message {
    /// Makes a message of one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            parts: vec![Part::Text(text.into())],
            native: None,
        }
    }

    /// Makes a tool message of results.
    pub fn results(results: impl IntoIterator<Item = ToolResult>) -> Self {
        Self {
            role: Role::Tool,
            parts: results.into_iter().map(Part::ToolResult).collect(),
            native: None,
        }
    }

    /// Lists the images in order, those of tool results included.
    pub fn images(&self) -> impl DoubleEndedIterator<Item = &Image> {
        self.parts.iter().flat_map(|part| match part {
            Part::Image(image) => std::slice::from_ref(image),
            Part::ToolResult(result) => &result.images,
            _ => &[],
        })
    }

    /// Lists the images in order, those of tool results included.
    pub fn images_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Image> {
        self.parts.iter_mut().flat_map(|part| match part {
            Part::Image(image) => std::slice::from_mut(image),
            Part::ToolResult(result) => &mut result.images,
            _ => &mut [],
        })
    }

    /// Puts a text in the place of every image; that of a tool's image joins the result's text.
    pub fn replace_images(&mut self, text: impl Fn(&Image) -> String) {
        for part in &mut self.parts {
            match part {
                Part::Image(image) => *part = Part::Text(text(image)),
                Part::ToolResult(result) => {
                    for image in std::mem::take(&mut result.images) {
                        result.content.push('\n');
                        result.content.push_str(&text(&image));
                    }
                }
                _ => {}
            }
        }
    }

    /// Joins the text parts, without context blocks: pieces of an answer directly, texts of a person by blank lines.
    pub fn visible_text(&self) -> String {
        let between = if self.role == Role::User { "\n\n" } else { "" };
        let mut out = String::new();
        for part in &self.parts {
            if let Part::Text(text) = part {
                if !out.is_empty() {
                    out.push_str(between);
                }
                out.push_str(text);
            }
        }
        out
    }

    /// Returns what people see: the text, and behind a blank line each what stands for an image and each remark of
    /// PicoBot's own.
    pub fn shown_text(&self) -> String {
        let mut out = self.visible_text();
        for part in &self.parts {
            let line = match part {
                Part::Note(note) => note.clone(),
                Part::Image(image) => image.note(),
                _ => continue,
            };
            out.truncate(out.trim_end().len());
            if !out.is_empty() {
                out.push_str("\n\n");
            }
            out.push_str(&line);
        }
        out
    }

    /// Lists the tool calls in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// Lists the tool results in order.
    pub fn tool_results(&self) -> impl Iterator<Item = &ToolResult> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolResult(result) => Some(result),
            _ => None,
        })
    }
}

/// Why a model stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// The answer is complete.
    Complete,
    /// The model asks for tools.
    ToolCalls,
    /// The output limit was reached; the last call may be half built.
    Length,
    /// The provider's filter or the model refused.
    Refused,
    /// The stream ended without a reason: the text is not complete.
    Truncated,
}

impl StopReason {
    /// Returns the word used on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ToolCalls => "tool_calls",
            Self::Length => "length",
            Self::Refused => "refused",
            Self::Truncated => "truncated",
        }
    }
}

/// Token counts of one or more model calls. `None` is unknown, not zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub input: Option<u64>,
    /// Generated tokens, reasoning included.
    pub output: Option<u64>,
    /// Prompt tokens read from the provider's cache.
    pub cached: Option<u64>,
    /// Generated tokens spent on reasoning.
    pub reasoning: Option<u64>,
}

impl Usage {
    /// Returns the tokens of prompt and answer together, if both are known.
    pub fn total(&self) -> Option<u64> {
        Some(self.input?.saturating_add(self.output?))
    }

    /// Adds another call's counts; a count stays unknown only while every part is unknown.
    pub fn add(&mut self, other: Usage) {
        fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
            match (a, b) {
                (None, None) => None,
                (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
            }
        }
        self.input = sum(self.input, other.input);
        self.output = sum(self.output, other.output);
        self.cached = sum(self.cached, other.cached);
        self.reasoning = sum(self.reasoning, other.reasoning);
    }
}
