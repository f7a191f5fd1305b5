//! What people may read of a message's reasoning, out of the native form that its adapter kept. Pure.
//!
//! Knows the shapes of all adapters, because a stored message says who was asked but not through which API. What is sent
//! back to a service is not decided here (`history` and the adapters).

use std::borrow::Cow;

use serde::Deserialize;

use crate::chat::Native;

/// The fields of all native forms in which reasoning stands in the open.
#[derive(Default, Deserialize)]
struct Open<'a> {
    #[serde(borrow, default)]
    reasoning_content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning: Option<Cow<'a, str>>,
    /// Reasoning that came inside the text.
    #[serde(borrow, default)]
    thought: Option<Cow<'a, str>>,
    /// Blocks of Anthropic Messages.
    #[serde(borrow, default)]
    content: Vec<Block<'a>>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, default)]
    thinking: Option<Cow<'a, str>>,
}

/// Returns the reasoning of a stored message; `None` if there was none, or the service kept it to itself.
pub fn reasoning_of(native: &Native) -> Option<String> {
    let open: Open<'_> = serde_json::from_str(&native.data).ok()?;
    let blocks: Vec<Cow<'_, str>> = open
        .content
        .into_iter()
        .filter_map(|block| block.thinking)
        .collect();
    let text = [open.reasoning_content, open.reasoning, open.thought]
        .into_iter()
        .flatten()
        .find(|text| !text.trim().is_empty())
        .map_or_else(|| blocks.join("\n\n"), Cow::into_owned);
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_is_found_in_every_form() {
        let check = |data: &str, wanted: Option<&str>| {
            let native = Native {
                provider: "p".to_owned(),
                model: "m".to_owned(),
                data: data.to_owned(),
            };
            assert_eq!(reasoning_of(&native).as_deref(), wanted, "{data}");
        };
        check(r#"{"reasoning_content":"先想\n再说"}"#, Some("先想\n再说"));
        check(r#"{"reasoning_content":"","reasoning":"b"}"#, Some("b"));
        check(r#"{"reasoning_content":"a","reasoning":"a"}"#, Some("a"));
        check(r#"{"thought":"t","extra_content":{"c1":{}}}"#, Some("t"));
        check(
            r#"{"content":[{"type":"thinking","thinking":"x","signature":"s"},{"type":"text","text":"hi"},{"type":"thinking","thinking":"y"}]}"#,
            Some("x\n\ny"),
        );
        check(
            r#"{"content":[{"type":"redacted_thinking","data":"AAAA"}]}"#,
            None,
        );
        check(r#"{"reasoning_content":"  "}"#, None);
        check(
            r#"{"reasoning_details":[{"type":"reasoning.encrypted"}]}"#,
            None,
        );
        check("[1]", None);
        check("{", None);
    }
}
