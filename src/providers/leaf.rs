//! Leaves of JSON answers as text and counts, read without trust in their types. Pure; runs on the turn that asks.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

/// More tokens than any call has; a service that counts more counts something else.
const MAX_TOKENS: u64 = 1_000_000_000;

/// Reads a token count of a usage object; one of a surprising type or size is unknown.
pub(crate) fn tokens(usage: &Value, pointer: &str) -> Option<u64> {
    let count = usage.pointer(pointer)?.as_u64()?;
    (count <= MAX_TOKENS).then_some(count)
}

/// Turns a leaf into text: a string is unescaped, a list of text parts joined, anything else keeps its JSON text.
pub(crate) fn words(raw: &RawValue) -> Cow<'_, str> {
    let json = raw.get();
    if json.starts_with('[') {
        return part_texts(json).into();
    }
    let Some(inside) = json.strip_prefix('"').and_then(|j| j.strip_suffix('"')) else {
        return Cow::Borrowed(if json == "null" { "" } else { json });
    };
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    // Half a surrogate pair is legal JSON but no text.
    let unescaped: Result<String, _> = serde_json::from_str(json);
    Cow::Owned(unescaped.unwrap_or_else(|_| char::REPLACEMENT_CHARACTER.into()))
}

fn part_texts(json: &str) -> String {
    let parts: Vec<Value> = serde_json::from_str(json).unwrap_or_default();
    let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn leaves_become_text() {
        let rows = [
            (r#""plain""#, "plain"),
            (r#""a\n\"b\" \u597d""#, "a\n\"b\" 好"),
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""""#, ""),
            ("null", ""),
            ("7", "7"),
            ("true", "true"),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (
                r#"[{"type":"text","text":"a"},{"type":"x"},{"text":"b"}]"#,
                "ab",
            ),
            ("[]", ""),
        ];
        for (json, text) in rows {
            assert_eq!(words(raw(json)), text, "{json}");
        }
    }
}
