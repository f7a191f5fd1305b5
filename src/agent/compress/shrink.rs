//! Shortening what old tool calls said and gave back. Pure, and the same for the same message: a shortened history is the
//! same at every later turn and after every restart.
//!
//! Only what is sent gets shorter; the stored message stays whole.

use std::borrow::Cow;

use serde_json::Value;

use crate::chat::{Message, Part, Role};

/// Results of fewer characters stay as they are.
const MAX_RESULT_CHARS: usize = 700;
/// Texts of fewer characters in the arguments of a call stay as they are.
const MAX_ARGUMENT_CHARS: usize = 700;

/// Shortens a message's tool results and the long texts in the arguments of its calls.
pub(super) fn shrink(message: &mut Message) {
    let mut changed = false;
    for part in &mut message.parts {
        match part {
            Part::ToolResult(result) => {
                for image in std::mem::take(&mut result.images) {
                    result.content.push('\n');
                    result.content.push_str(&image.note());
                }
                if let Cow::Owned(short) = shorten(&result.content, MAX_RESULT_CHARS) {
                    result.content = short;
                }
            }
            Part::ToolCall(call) => {
                if let Some(short) = shorten_arguments(&call.arguments) {
                    call.arguments = short;
                    changed = true;
                }
            }
            _ => {}
        }
    }
    if changed && message.role == Role::Assistant {
        // The provider's own form still holds the long arguments.
        message.native = None;
    }
}

/// Cuts the middle out of a text of more than `max` characters: half of `max` stays of its beginning, three tenths of its
/// end. Says how much is missing and that it is stored.
pub(super) fn shorten(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return text.into();
    }
    let n_chars = text.chars().count();
    if n_chars <= max {
        return text.into();
    }
    let byte_at = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    let (head, tail) = (max / 2, max * 3 / 10);
    format!(
        "{}\n[… {} characters left out to save room; the whole text stays stored …]\n{}",
        &text[..byte_at(head)],
        n_chars - head - tail,
        &text[byte_at(n_chars - tail)..]
    )
    .into()
}

/// Shortens the texts at the top of a JSON object; `None` if none is long or it is no object.
fn shorten_arguments(arguments: &str) -> Option<String> {
    if arguments.len() <= MAX_ARGUMENT_CHARS {
        return None;
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_str(arguments) else {
        return None;
    };
    let mut changed = false;
    for value in fields.values_mut() {
        let short = match value {
            Value::String(text) => match shorten(text, MAX_ARGUMENT_CHARS) {
                Cow::Owned(short) => short,
                Cow::Borrowed(_) => continue,
            },
            Value::Array(_) | Value::Object(_) => {
                let text = value.to_string();
                match shorten(&text, MAX_ARGUMENT_CHARS) {
                    Cow::Owned(short) => short,
                    Cow::Borrowed(_) => continue,
                }
            }
            _ => continue,
        };
        *value = Value::String(short);
        changed = true;
    }
    changed.then(|| Value::Object(fields).to_string())
}
