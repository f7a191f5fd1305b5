//! The demo's summary of a conversation that is compressed, and what it finds in one. Pure.

use super::words::{Language, marked};

/// What people said that a summary quotes, at its end.
const QUOTED: usize = 12;
/// Of each, in characters.
const QUOTED_CHARS: usize = 80;

/// Summarises the conversation in a request: how long it is and how each of the person's last messages begins.
pub(super) fn summary(text: &str) -> String {
    let conversation = text
        .split_once("<conversation>")
        .map_or(text, |(_, conversation)| conversation);
    let language = Language::of(conversation);
    let said: Vec<String> = conversation
        .lines()
        .filter_map(|line| line.strip_prefix("Person: "))
        .map(|said| said.chars().take(QUOTED_CHARS).collect())
        .collect();
    let n_calls = conversation
        .lines()
        .filter(|line| line.starts_with("Call "))
        .count();
    let head = match language {
        Language::English => format!(
            "So far the person said {} things and {n_calls} tools were called. Among what was said:",
            said.len()
        ),
        Language::Chinese => format!(
            "到目前为止用户说了 {} 句话，调用了 {n_calls} 次工具。其中说过：",
            said.len()
        ),
    };
    let newest = &said[said.len().saturating_sub(QUOTED)..];
    let lines: Vec<String> = std::iter::once(head)
        .chain(newest.iter().map(|said| format!("- {said}")))
        .collect();
    marked(language, &lines.join("\n"))
}

/// Finds the first request of a dialog in the summary that stands before it.
pub(super) fn first_request(block: &str) -> Option<String> {
    let summary = block.strip_prefix("<summary>")?;
    let line = summary
        .lines()
        .find_map(|line| line.strip_prefix("First request: "))?;
    Some(line.to_owned())
}
