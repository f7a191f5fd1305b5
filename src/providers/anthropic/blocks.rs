//! Content blocks: put together from their pieces, and kept in the form in which they must go back.
//!
//! Pure; runs on the turn that asks. A block's fields stay JSON text as received; only what arrives in pieces is joined,
//! and thinking stays escaped all the way, so that a signature still fits what it signs.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::value::RawValue;

use super::super::history::{NO_NAME, is_object, legal_id};
use super::super::leaf::words;
use super::super::read::{MAX_ARGUMENT_BYTES, MAX_CALLS, MAX_REASONING_BYTES};
use super::decode::Fields;
use crate::chat::{Part, StopReason, ToolCall};

/// What a block is, as far as this adapter cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    Thinking,
    ToolUse,
    /// Redacted thinking, and tools that the service runs itself.
    Other,
}

/// One block.
pub(super) struct Block {
    kind: Kind,
    index: Option<u64>,
    /// Names and JSON values in the order they came.
    fields: Vec<(String, String)>,
    /// The text; the thinking as the inside of a JSON string; the JSON text of a call's input.
    grown: String,
    too_long: bool,
}

impl Block {
    /// Begins a block that the service announced.
    pub(super) fn begin(index: Option<u64>, fields: &Fields<'_>) -> Self {
        let kind = fields.get("type").map(words).unwrap_or_default();
        let mut block = Self {
            kind: match kind.as_ref() {
                "text" => Kind::Text,
                "thinking" => Kind::Thinking,
                "tool_use" => Kind::ToolUse,
                _ => Kind::Other,
            },
            index,
            fields: fields
                .0
                .iter()
                .map(|(name, value)| (name.clone(), value.get().to_owned()))
                .collect(),
            grown: String::new(),
            too_long: false,
        };
        // A call's first input is a placeholder: it counts only if no pieces follow.
        match block.kind {
            Kind::Text => block.grow(&fields.get("text").map(words).unwrap_or_default()),
            Kind::Thinking => block.grow(fields.get("thinking").map(inside).unwrap_or_default()),
            Kind::ToolUse | Kind::Other => {}
        }
        block
    }

    /// Begins a block of which only a piece came.
    pub(super) fn implied(index: Option<u64>, kind: Kind) -> Self {
        let name = match kind {
            Kind::Text => "text",
            Kind::Thinking => "thinking",
            Kind::ToolUse | Kind::Other => "tool_use",
        };
        Self {
            kind,
            index,
            fields: vec![("type".to_owned(), format!("\"{name}\""))],
            grown: String::new(),
            too_long: false,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a piece with this index, if it has one, may belong here.
    pub(super) fn is_at(&self, index: Option<u64>) -> bool {
        index.is_none() || self.index == index
    }

    /// The text so far.
    pub(super) fn text(&self) -> &str {
        match self.kind {
            Kind::Text => &self.grown,
            _ => "",
        }
    }

    /// Keeps only the first bytes of the text.
    pub(super) fn cut(&mut self, bytes: usize) {
        self.grown.truncate(bytes);
    }

    /// Adds a piece: text, the inside of a JSON string, or JSON text, as fits the kind.
    pub(super) fn grow(&mut self, piece: &str) {
        let most = match self.kind {
            // Whoever shows the text limits it.
            Kind::Text => usize::MAX,
            Kind::Thinking => MAX_REASONING_BYTES,
            Kind::ToolUse | Kind::Other => MAX_ARGUMENT_BYTES,
        };
        if self.grown.len() + piece.len() > most {
            self.too_long = true;
        } else {
            self.grown.push_str(piece);
        }
    }

    /// Takes the signature, which comes whole.
    pub(super) fn sign(&mut self, signature: &RawValue) {
        self.set("signature", signature.get().to_owned());
    }

    fn set(&mut self, name: &str, json: String) {
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => *value = json,
            None => self.fields.push((name.to_owned(), json)),
        }
    }

    fn field(&self, name: &str) -> Option<&RawValue> {
        let (_, value) = self.fields.iter().find(|(known, _)| known == name)?;
        serde_json::from_str(value).ok()
    }

    fn words(&self, name: &str) -> Cow<'_, str> {
        self.field(name).map(words).unwrap_or_default()
    }

    /// The input of a call as JSON text; whether it is an object is not checked.
    fn arguments(&self) -> String {
        if !self.is_blank() {
            return self.grown.clone();
        }
        let given = match self.field("input") {
            Some(raw) if raw.get().starts_with('[') => raw.get().to_owned(),
            Some(raw) => words(raw).into_owned(),
            None => String::new(),
        };
        if given.trim().is_empty() {
            "{}".to_owned()
        } else {
            given
        }
    }

    /// Makes the call of a block, with an id that no other call of the answer has; `half` if the output limit cut it off.
    fn call(&mut self, half: bool, ids: &mut BTreeSet<String>) -> ToolCall {
        let given = self.words("id");
        let id = if given.is_empty() || ids.contains(legal_id(&given).as_ref()) {
            format!("toolu_{}", uuid::Uuid::now_v7().simple())
        } else {
            legal_id(&given).into_owned()
        };
        ids.insert(id.clone());
        let name = match self.words("name") {
            name if name.is_empty() => NO_NAME.to_owned(),
            name => name.into_owned(),
        };
        let given = self.arguments();
        let arguments = if self.too_long || given.len() > MAX_ARGUMENT_BYTES {
            ToolCall::TOO_LONG.to_owned()
        } else if half {
            ToolCall::CUT_OFF.to_owned()
        } else {
            given
        };
        let input = if is_object(&arguments) {
            arguments.clone()
        } else {
            "{}".to_owned()
        };
        self.set("id", quoted(&id));
        self.set("name", quoted(&name));
        self.set("input", input);
        ToolCall {
            id,
            name,
            arguments,
        }
    }

    /// Whether nothing that can be read has come.
    pub(super) fn is_blank(&self) -> bool {
        self.grown.trim().is_empty()
    }

    /// Writes the block as it goes back.
    pub(super) fn json(&mut self) -> String {
        match self.kind {
            Kind::Text => self.set("text", quoted(&self.grown)),
            Kind::Thinking => self.set("thinking", format!("\"{}\"", self.grown)),
            Kind::Other if is_object(&self.grown) => self.set("input", self.grown.clone()),
            Kind::ToolUse | Kind::Other => {}
        }
        let mut out = String::from("{");
        for (name, value) in &self.fields {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&quoted(name));
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        out
    }

    /// Whether a message's parts say all that the block says.
    fn is_plain(&self) -> bool {
        let known: &[&str] = match self.kind {
            Kind::Text => &["type", "text"],
            Kind::ToolUse => &["type", "id", "name", "input"],
            Kind::Thinking | Kind::Other => return false,
        };
        let mut names = self.fields.iter().map(|(name, _)| name.as_str());
        names.all(|name| known.contains(&name))
    }
}

/// The blocks of a finished answer in both forms.
#[derive(Default)]
pub(super) struct Built {
    /// The text and the calls, in order.
    pub(super) parts: Vec<Part>,
    /// All blocks as JSON texts, unless the parts say the same or a block is not whole.
    pub(super) native: Option<Vec<String>>,
}

/// Ends an answer. What ended too early runs no calls and has no native form; at the output limit the last block is not
/// whole, and is left out unless it is text or a call that the model can be told about.
pub(super) fn build(mut blocks: Vec<Block>, stop: StopReason) -> Built {
    let broken = matches!(stop, StopReason::Truncated | StopReason::Refused);
    let mut built = Built::default();
    let at_limit = stop == StopReason::Length;
    if at_limit {
        blocks.pop_if(|block| matches!(block.kind, Kind::Thinking | Kind::Other));
    }
    let last = blocks.len().saturating_sub(1);
    let mut content = Vec::with_capacity(blocks.len());
    let (mut plain, mut exact, mut n_calls) = (true, !broken, 0);
    let mut ids = BTreeSet::new();
    for (at, mut block) in blocks.into_iter().enumerate() {
        match block.kind {
            // Services send empty texts and refuse them.
            Kind::Text if block.is_blank() => continue,
            Kind::ToolUse if broken => continue,
            Kind::ToolUse if n_calls == MAX_CALLS => {
                log::warn!(
                    "the model asked for more than {MAX_CALLS} calls at once; the rest is left out"
                );
                continue;
            }
            Kind::ToolUse => {
                n_calls += 1;
                let half = at_limit && at == last;
                built.parts.push(Part::ToolCall(block.call(half, &mut ids)));
            }
            Kind::Text => built.parts.push(Part::Text(block.grown.clone())),
            Kind::Thinking | Kind::Other => exact &= !block.too_long,
        }
        plain &= block.is_plain();
        content.push(block.json());
    }
    // Half a surrogate pair passes as JSON until somebody reads it as text: the service would refuse the whole request.
    exact = exact
        && content
            .iter()
            .all(|json| serde_json::from_str::<Value>(json).is_ok());
    built.native = (exact && !plain).then_some(content);
    built
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The inside of a JSON string, still escaped; nothing for anything else.
pub(super) fn inside(raw: &RawValue) -> &str {
    let json = raw.get();
    let inside = json
        .strip_prefix('"')
        .and_then(|json| json.strip_suffix('"'));
    inside.unwrap_or_default()
}
