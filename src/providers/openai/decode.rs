//! The response JSON of chat completions, plain or one stream chunk, read without copying and without trust in types.
//!
//! Pure; runs on the turn that asks. Leaves stay raw until somebody needs them, so that a field of a surprising type
//! never spoils the rest. Putting pieces together is `assemble`'s work.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::leaf::{tokens, words};
use crate::chat::Usage;

/// A plain response or one chunk of a stream.
#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(super) choices: Choices<'a>,
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    /// Errors of some servers lie at the top of the object.
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    detail: Option<&'a RawValue>,
}

impl<'a> Chunk<'a> {
    /// Reads a chunk; `None` if it is no JSON object.
    pub(super) fn parse(data: &'a str) -> Option<Self> {
        // Derived readers take a list for an object.
        let object = data.trim_start().starts_with('{');
        object.then(|| serde_json::from_str(data).ok())?
    }

    /// Whether this is an error object, which may come with HTTP 200.
    pub(super) fn is_error(&self) -> bool {
        self.error.is_some()
            || !self.choices.present && (self.message.is_some() || self.detail.is_some())
    }
}

/// The first choice; others are not asked for and ignored.
#[derive(Default)]
pub(super) struct Choices<'a> {
    /// Whether the field is a list, even an empty one.
    pub(super) present: bool,
    pub(super) first: Option<Choice<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    /// In a stream.
    #[serde(borrow, default)]
    pub(super) delta: Option<Piece<'a>>,
    /// In a plain response.
    #[serde(borrow, default)]
    pub(super) message: Option<Piece<'a>>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Option<&'a RawValue>,
    /// Moonshot's place for it.
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
}

/// A message or a piece of one.
#[derive(Deserialize, Default)]
pub(super) struct Piece<'a> {
    #[serde(borrow, default)]
    pub(super) content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) reasoning_details: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
}

impl<'a> Piece<'a> {
    /// Reads the calls; one that stands without its list is taken too.
    pub(super) fn calls(&self) -> Vec<CallPiece<'a>> {
        let Some(raw) = self.tool_calls else {
            return Vec::new();
        };
        serde_json::from_str(raw.get())
            .or_else(|_| serde_json::from_str(raw.get()).map(|call| vec![call]))
            .unwrap_or_default()
    }
}

#[derive(Deserialize)]
pub(super) struct CallPiece<'a> {
    #[serde(borrow, default)]
    index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function: Option<FunctionPiece<'a>>,
    #[serde(borrow, default)]
    pub(super) extra_content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct FunctionPiece<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl<'a> CallPiece<'a> {
    pub(super) fn index(&self) -> Option<u64> {
        words(self.index?).parse().ok()
    }

    pub(super) fn id(&self) -> Cow<'a, str> {
        self.id.map(words).unwrap_or_default()
    }

    pub(super) fn name(&self) -> Cow<'a, str> {
        let name = self.function.as_ref().and_then(|function| function.name);
        name.map(words).unwrap_or_default()
    }

    /// The arguments' JSON text; an object that came without quotes is its own text.
    pub(super) fn arguments(&self) -> Cow<'a, str> {
        let function = self.function.as_ref();
        match function.and_then(|function| function.arguments) {
            Some(raw) if raw.get().starts_with('[') => Cow::Borrowed(raw.get()),
            Some(raw) => words(raw),
            None => Cow::Borrowed(""),
        }
    }
}

/// Reads token counts in every known spelling; counts of a surprising type stay unknown.
pub(super) fn usage(json: &str) -> Usage {
    let usage: Value = serde_json::from_str(json).unwrap_or_default();
    let count = |pointer: &str| tokens(&usage, pointer);
    let hits = count("/prompt_cache_hit_tokens");
    let misses = count("/prompt_cache_miss_tokens");
    Usage {
        input: count("/prompt_tokens").or_else(|| Some(hits?.saturating_add(misses?))),
        output: count("/completion_tokens"),
        cached: count("/prompt_tokens_details/cached_tokens")
            .or(hits)
            .or_else(|| count("/cached_tokens")),
        reasoning: count("/completion_tokens_details/reasoning_tokens"),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FirstOfList)
    }
}

struct FirstOfList;

impl<'de> Visitor<'de> for FirstOfList {
    type Value = Choices<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of choices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Choices<'de>, A::Error> {
        let first = list.next_element::<Option<Choice<'de>>>()?.flatten();
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Choices {
            present: true,
            first,
        })
    }

    fn visit_unit<E>(self) -> Result<Choices<'de>, E> {
        Ok(Choices::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_variants() {
        let counts = |input, output, cached, reasoning| Usage {
            input,
            output,
            cached,
            reasoning,
        };
        let rows = [
            (
                r#"{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}"#,
                counts(Some(9), Some(3), Some(4), Some(2)),
            ),
            (
                r#"{"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":5,"completion_tokens":3}"#,
                counts(Some(9), Some(3), Some(4), None),
            ),
            (
                r#"{"prompt_tokens":9,"cached_tokens":4}"#,
                counts(Some(9), None, Some(4), None),
            ),
            (
                r#"{"prompt_tokens":"9","completion_tokens":-1,"prompt_tokens_details":null}"#,
                counts(None, None, None, None),
            ),
            (
                r#"{"prompt_tokens":18446744073709551615,"completion_tokens":3}"#,
                counts(None, Some(3), None, None),
            ),
            ("7", counts(None, None, None, None)),
        ];
        for (json, expected) in rows {
            assert_eq!(usage(json), expected, "{json}");
        }
    }

    #[test]
    fn errors_are_recognised_wherever_they_lie() {
        let rows = [
            (r#"{"error":{"message":"x"}}"#, true),
            (r#"{"error":"x","choices":[]}"#, true),
            (r#"{"object":"error","message":"x","code":400}"#, true),
            (r#"{"detail":"Not Found"}"#, true),
            (r#"{"error":null,"choices":[]}"#, false),
            (r#"{"choices":[],"message":"hello"}"#, false),
            (r#"{"choices":null,"usage":{}}"#, false),
        ];
        for (json, expected) in rows {
            assert_eq!(Chunk::parse(json).unwrap().is_error(), expected, "{json}");
        }
        assert!(Chunk::parse("<html>").is_none());
        assert!(Chunk::parse("[]").is_none());
    }

    #[test]
    fn calls_of_odd_types_are_read() {
        let piece: Piece<'_> = serde_json::from_str(
            r#"{"tool_calls":[{"index":"1","id":7,"function":{"name":"f","arguments":{"a":1}}},{"id":null}]}"#,
        )
        .unwrap();
        let calls = piece.calls();
        assert_eq!(calls[0].index(), Some(1));
        assert_eq!(calls[0].id(), "7");
        assert_eq!(calls[0].name(), "f");
        assert_eq!(calls[0].arguments(), r#"{"a":1}"#);
        assert_eq!((calls[1].index(), calls[1].id()), (None, "".into()));
        let lone: Piece<'_> = serde_json::from_str(
            r#"{"tool_calls":{"id":"a","function":{"name":"f","arguments":"{}"}}}"#,
        )
        .unwrap();
        assert_eq!(lone.calls()[0].id(), "a");
    }
}
