//! The response JSON of the Messages API, plain or one stream event, read without copying and without trust in types.
//!
//! Pure; runs on the turn that asks. Leaves stay raw until somebody needs them, so that a field of a surprising type
//! never spoils the rest. Putting pieces together is `blocks` and `assemble`'s work.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::leaf::{tokens, words};
use crate::chat::Usage;

/// An event of a stream, or a plain response: which one, `kind` says.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    index: Option<&'a RawValue>,
    /// In `message_start`; elsewhere the words of an error.
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
    /// In a plain response.
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) stop_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) stop_details: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    detail: Option<&'a RawValue>,
}

impl<'a> Event<'a> {
    /// Reads an event; `None` if it is no JSON object.
    pub(super) fn parse(data: &'a str) -> Option<Self> {
        // Derived readers take a list for an object.
        let object = data.trim_start().starts_with('{');
        object.then(|| serde_json::from_str(data).ok())?
    }

    pub(super) fn kind(&self) -> Cow<'a, str> {
        self.kind.map(words).unwrap_or_default()
    }

    /// Whether this is an error object, which may come after HTTP 200.
    pub(super) fn is_error(&self) -> bool {
        let bare = self.kind.is_none() && self.content.is_none();
        let named = self.kind() == "error";
        named || self.error.is_some() || bare && (self.message.is_some() || self.detail.is_some())
    }

    pub(super) fn index(&self) -> Option<u64> {
        words(self.index?).parse().ok()
    }

    /// The message in `message_start`.
    pub(super) fn message(&self) -> Option<Event<'a>> {
        Event::parse(self.message?.get())
    }

    /// The beginning of a block in `content_block_start`.
    pub(super) fn content_block(&self) -> Option<Fields<'a>> {
        serde_json::from_str(self.content_block?.get()).ok()
    }

    /// The change in `content_block_delta` and `message_delta`.
    pub(super) fn delta(&self) -> Option<Delta<'a>> {
        serde_json::from_str(self.delta?.get()).ok()
    }

    /// The blocks of a plain response; what is no object is left out. `None` if there is no list.
    pub(super) fn content(&self) -> Option<Vec<Fields<'a>>> {
        let raw: Vec<&'a RawValue> = serde_json::from_str(self.content?.get()).ok()?;
        let blocks = raw.into_iter();
        let fields = blocks.filter_map(|block| serde_json::from_str(block.get()).ok());
        Some(fields.collect())
    }
}

/// A change of a block or of the message.
#[derive(Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow, default)]
    pub(super) text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) thinking: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) signature: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) partial_json: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) stop_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) stop_details: Option<&'a RawValue>,
}

/// More fields of one block are not kept; known blocks have five at most.
const MAX_FIELDS: usize = 64;

/// The fields of a block in the order they came; nulls and repeated names are left out.
#[derive(Default)]
pub(super) struct Fields<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| *value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a content block")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
            let known = |fields: &[(String, _)]| fields.iter().any(|(name, _)| *name == key);
            if value.get() != "null" && fields.len() < MAX_FIELDS && !known(&fields) {
                fields.push((key, value));
            }
        }
        Ok(Fields(fields))
    }
}

/// Token counts while they arrive: those of the prompt first, those of the answer growing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    fresh: Option<u64>,
    written: Option<u64>,
    read: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
}

impl Counts {
    /// Takes a usage object. Counts only grow: some services send zeros first, some send them last.
    pub(super) fn take(&mut self, json: &str) {
        let usage: Value = serde_json::from_str(json).unwrap_or_default();
        for (known, pointer) in [
            (&mut self.fresh, "/input_tokens"),
            (&mut self.written, "/cache_creation_input_tokens"),
            (&mut self.read, "/cache_read_input_tokens"),
            (&mut self.output, "/output_tokens"),
            (&mut self.thinking, "/output_tokens_details/thinking_tokens"),
        ] {
            *known = (*known).max(tokens(&usage, pointer));
        }
    }

    /// Returns the counts; `input_tokens` leaves out what the cache served or took in.
    pub(super) fn usage(&self) -> Usage {
        let parts = [self.fresh, self.written, self.read];
        let known = parts.iter().any(Option::is_some);
        let sum = || {
            parts
                .iter()
                .flatten()
                .fold(0, |sum: u64, n| sum.saturating_add(*n))
        };
        Usage {
            input: known.then(sum),
            output: self.output,
            cached: self.read,
            reasoning: self.thinking,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_recognised_wherever_they_lie() {
        let rows = [
            (
                r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
                true,
            ),
            (r#"{"error":"x"}"#, true),
            (r#"{"message":"x","code":400}"#, true),
            (r#"{"detail":"Not Found"}"#, true),
            (r#"{"type":"message_start","message":{}}"#, false),
            (r#"{"type":"message","content":[],"error":null}"#, false),
            (r#"{"content":[],"message":"hello"}"#, false),
            (r#"{"type":"ping"}"#, false),
        ];
        for (json, expected) in rows {
            assert_eq!(Event::parse(json).unwrap().is_error(), expected, "{json}");
        }
        assert!(Event::parse("[]").is_none());
        assert!(Event::parse("<html>").is_none());
    }

    #[test]
    fn fields_keep_their_order_and_their_bytes() {
        let json = r#"{"type":"x","b":1.0,"a":{"z": "\u0041"},"n":null,"b":2}"#;
        let fields: Fields<'_> = serde_json::from_str(json).unwrap();
        let pairs: Vec<(&str, &str)> = fields
            .0
            .iter()
            .map(|(key, value)| (key.as_str(), value.get()))
            .collect();
        assert_eq!(
            pairs,
            [("type", "\"x\""), ("b", "1.0"), ("a", r#"{"z": "\u0041"}"#)]
        );
        assert!(serde_json::from_str::<Fields<'_>>("[1]").is_err());
    }

    #[test]
    fn counts_are_summed_and_grow() {
        let rows: &[(&[&str], [Option<u64>; 4])] = &[
            (&[], [None; 4]),
            (
                &[
                    r#"{"input_tokens":5,"output_tokens":1}"#,
                    r#"{"output_tokens":9}"#,
                ],
                [Some(5), Some(9), None, None],
            ),
            (
                &[
                    r#"{"input_tokens":5,"cache_creation_input_tokens":20,"cache_read_input_tokens":300,"output_tokens":1}"#,
                    r#"{"input_tokens":0,"output_tokens":9,"output_tokens_details":{"thinking_tokens":4}}"#,
                ],
                [Some(325), Some(9), Some(300), Some(4)],
            ),
            (
                &[
                    r#"{"input_tokens":0,"output_tokens":0}"#,
                    r#"{"input_tokens":7,"output_tokens":3}"#,
                ],
                [Some(7), Some(3), None, None],
            ),
            (&[r#"{"input_tokens":"5"}"#, "7", "null"], [None; 4]),
        ];
        for (pieces, [input, output, cached, reasoning]) in rows {
            let mut counts = Counts::default();
            pieces.iter().for_each(|piece| counts.take(piece));
            let expected = Usage {
                input: *input,
                output: *output,
                cached: *cached,
                reasoning: *reasoning,
            };
            assert_eq!(counts.usage(), expected, "{pieces:?}");
        }
    }
}
