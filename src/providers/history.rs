//! What replayed history must look like in every wire format: names, arguments, placeholders, whose native form it is.
//!
//! Pure; runs on the turn that asks. Histories arrive legal; here are only the texts and names that no service takes.

use std::borrow::Cow;

use sha2::Digest;

use crate::chat::Native;

/// Stands for a text that would be empty; several services refuse empty ones.
pub(crate) const NO_TEXT: &str = "(no text)";
/// The same for a tool's result.
pub(crate) const NO_OUTPUT: &str = "(no output)";
/// Stands for a call's name of which nothing is left.
pub(crate) const NO_NAME: &str = "unknown";
/// Levels of lists and objects in arguments.
const MAX_DEPTH: usize = 64;
/// Longest function name.
const MAX_NAME_BYTES: usize = 64;

/// Returns the text, or the placeholder if it is blank.
pub(crate) fn or_else<'a>(text: Cow<'a, str>, placeholder: &'static str) -> Cow<'a, str> {
    if text.trim().is_empty() {
        Cow::Borrowed(placeholder)
    } else {
        text
    }
}

/// Whether a text is one complete JSON object that every service can read: no deeper than 64 levels.
///
/// Deeper ones are refused by the parsers of most services, and would be at every later turn.
pub fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
        && depth(text) <= MAX_DEPTH
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// How deep the lists and objects of a JSON text go into each other.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Makes a name that every service takes back: `^[a-zA-Z0-9_-]{1,64}$`.
pub(crate) fn legal_name(name: &str) -> Cow<'_, str> {
    if name.is_empty() {
        return Cow::Borrowed(NO_NAME);
    }
    if name.len() <= MAX_NAME_BYTES && name.chars().all(is_legal) {
        return Cow::Borrowed(name);
    }
    let legal_or_underscore = |c: char| if is_legal(c) { c } else { '_' };
    name.chars()
        .take(MAX_NAME_BYTES)
        .map(legal_or_underscore)
        .collect::<String>()
        .into()
}

/// Makes a call id that every service takes back, `^[a-zA-Z0-9_-]+$`; different ids stay different.
pub(crate) fn legal_id(id: &str) -> Cow<'_, str> {
    if !id.is_empty() && id.chars().all(is_legal) {
        return Cow::Borrowed(id);
    }
    let kept: String = id.chars().filter(|c| is_legal(*c)).take(32).collect();
    let digest = sha2::Sha256::digest(id.as_bytes());
    let number = digest
        .iter()
        .take(8)
        .fold(0, |n: u64, byte| n << 8 | u64::from(*byte));
    Cow::Owned(format!("{kept}_{number:016x}"))
}

fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Whether a message's native form may go back to this provider and model: it must come from there.
pub(crate) fn native_fits(native: &Native, provider: &str, model: &str) -> bool {
    native.provider == provider && family(&native.model) == family(model)
}

/// The family of a model id: the vendor's path and the letters the name begins with, as `deepseek` in `deepseek-v4`.
fn family(model: &str) -> &str {
    let name_at = model.rfind('/').map_or(0, |slash| slash + 1);
    let letters = model[name_at..]
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(model.len() - name_at);
    &model[..name_at + letters]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_whole_and_not_too_deep() {
        let deep = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        let brackets = format!(r#"{{"a":"{}\"[["}}"#, "[".repeat(100));
        let rows = [
            ("{}", true),
            (" {\"a\": [1]} ", true),
            ("", false),
            ("[1]", false),
            ("7", false),
            ("{\"a\":", false),
            ("{} {}", false),
            (&deep(64), true),
            (&deep(65), false),
            (&deep(100_000), false),
            (&brackets, true),
        ];
        for (json, expected) in rows {
            assert_eq!(is_object(json), expected, "{}", &json[..json.len().min(80)]);
        }
    }

    #[test]
    fn names_are_made_legal() {
        assert_eq!(legal_name("get_weather-2"), "get_weather-2");
        assert_eq!(legal_name(""), "unknown");
        assert_eq!(legal_name("天气"), "__");
        assert_eq!(legal_name(&"x".repeat(200)).len(), 64);
    }

    #[test]
    fn ids_are_made_legal_and_stay_apart() {
        assert_eq!(legal_id("toolu_01-a"), "toolu_01-a");
        let odd = ["", "functions.bash:0", "functions.bash;0", "调用", "\0"];
        let made: std::collections::BTreeSet<String> =
            odd.iter().map(|id| legal_id(id).into_owned()).collect();
        assert_eq!(made.len(), odd.len());
        assert!(made.iter().all(|id| id.chars().all(is_legal)), "{made:?}");
        assert!(legal_id(odd[1]).starts_with("functionsbash0_"));
    }

    #[test]
    fn families() {
        assert_eq!(family("deepseek-v4-pro"), "deepseek");
        assert_eq!(family("qwen3-max"), "qwen");
        assert_eq!(family("anthropic/claude-5"), "anthropic/claude");
        assert_eq!(family(""), "");
        assert_ne!(family("openai/gpt-6"), family("gpt-6"));
    }
}
