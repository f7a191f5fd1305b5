//! A dialog as text: Markdown for people, or a JSON object a line for programs. Read in pages; secrets are masked.
//!
//! Pure but for the reads. Runs on the `query` thread, and in `picobot sessions export` where no gateway runs.

use std::time::SystemTime;

use serde_json::json;

use super::times::minute;
use crate::bus::TextForm;
use crate::chat::{Message, Part, Role, ToolCall, ToolResult};
use crate::observability::Redactor;
use crate::storage::{Db, DialogKey, DialogRow, StorageError, StoredMessage};
use crate::wire::rfc3339;

/// Messages read at once.
const PAGE: usize = 200;
/// Text of one piece; a frame may hold four times as much once it is escaped.
const PIECE_BYTES: usize = 192 * 1024;
/// Text of a whole dump; older messages are left out.
const DUMP_BYTES: usize = 384 * 1024;
/// Longest tool result in a dump, in characters.
const FOLDED_CHARS: usize = 2_000;

/// A piece of a dialog as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The text.
    pub content: String,
    /// Where the next piece begins, if there is more.
    pub next: Option<i64>,
}

/// Returns the text of a dialog's messages behind `after` (0 for the beginning), or `None` if there is no such dialog.
pub fn export(
    db: &Db,
    dialog: DialogKey,
    after: i64,
    form: TextForm,
    redactor: &Redactor,
) -> Result<Option<Piece>, StorageError> {
    let Some(row) = db.read(|tx| tx.dialog(dialog))? else {
        return Ok(None);
    };
    let mut content = String::new();
    if after == 0 && form == TextForm::Markdown {
        content = head(&row, redactor);
    }
    let mut writer = Writer::new(usize::MAX, redactor);
    let mut at = after;
    loop {
        let page = db.read(|tx| tx.messages_after(dialog, at, PAGE))?;
        for stored in &page {
            // Calls and their results stay in one piece.
            if content.len() > PIECE_BYTES && stored.message.role != Role::Tool {
                return Ok(Some(Piece {
                    content,
                    next: Some(at),
                }));
            }
            match form {
                TextForm::Markdown => content.push_str(&writer.section(stored)),
                TextForm::Json => content.push_str(&line(stored, redactor)),
            }
            at = stored.id;
        }
        if page.len() < PAGE {
            content.push_str(&writer.open_calls());
            return Ok(Some(Piece {
                content,
                next: None,
            }));
        }
    }
}

/// Returns a dialog as Markdown, long tool results cut; of a very long one the newest part.
pub(super) fn dump(
    db: &Db,
    dialog: DialogKey,
    redactor: &Redactor,
) -> Result<Option<String>, StorageError> {
    let Some(row) = db.read(|tx| tx.dialog(dialog))? else {
        return Ok(None);
    };
    let mut writer = Writer::new(FOLDED_CHARS, redactor);
    let mut sections = std::collections::VecDeque::new();
    let (mut bytes, mut n_left_out, mut at) = (0, 0, 0);
    loop {
        let page = db.read(|tx| tx.messages_after(dialog, at, PAGE))?;
        for stored in &page {
            let section = writer.section(stored);
            bytes += section.len();
            sections.push_back(section);
            at = stored.id;
            while bytes > DUMP_BYTES && sections.len() > 1 {
                bytes -= sections.pop_front().map_or(0, |section| section.len());
                n_left_out += 1;
            }
        }
        if page.len() < PAGE {
            break;
        }
    }
    let mut text = head(&row, redactor);
    if n_left_out > 0 {
        text.push_str(&format!(
            "*{n_left_out} older messages are left out; `picobot sessions export {}` writes them all.*\n\n",
            row.session.dialog
        ));
    }
    text.extend(sections);
    text.push_str(&writer.open_calls());
    text.truncate(text.trim_end().len());
    Ok(Some(text))
}

fn head(row: &DialogRow, redactor: &Redactor) -> String {
    let title = redactor.redact(super::shown_title(&row.title));
    format!(
        "# {title}\n\n{} · {} · {}\n\n",
        row.session,
        super::wording::count(row.n_messages, "message"),
        minute(row.updated_at)
    )
}

/// Writes messages as Markdown; keeps the calls that wait for their results.
struct Writer<'r> {
    max_result_chars: usize,
    redactor: &'r Redactor,
    calls: Vec<ToolCall>,
}

impl<'r> Writer<'r> {
    fn new(max_result_chars: usize, redactor: &'r Redactor) -> Self {
        Self {
            max_result_chars,
            redactor,
            calls: Vec::new(),
        }
    }

    fn section(&mut self, stored: &StoredMessage) -> String {
        let message = &stored.message;
        let mut out = String::new();
        if message.role != Role::Tool {
            out.push_str(&self.open_calls());
            out.push_str(&self.said(message, stored.created_at));
        }
        self.calls.extend(message.tool_calls().cloned());
        for result in message.tool_results() {
            out.push_str(&self.folded(result));
        }
        out
    }

    fn said(&self, message: &Message, at: SystemTime) -> String {
        let text = message.shown_text();
        if text.trim().is_empty() {
            return String::new();
        }
        let who = match message.role {
            Role::User => "User",
            Role::Assistant | Role::Tool => "PicoBot",
        };
        format!(
            "## {who} · {}\n\n{}\n\n",
            minute(at),
            self.redactor.redact(text.trim())
        )
    }

    /// A call with its result, folded away.
    fn folded(&mut self, result: &ToolResult) -> String {
        let found = self.calls.iter().position(|call| call.id == result.call_id);
        let call = found.map(|at| self.calls.remove(at));
        let state = if result.is_error { "failed" } else { "done" };
        self.details(call.as_ref(), state, &result.content)
    }

    /// Calls without a result: a turn is at work on them, or was ended.
    fn open_calls(&mut self) -> String {
        let calls = std::mem::take(&mut self.calls);
        calls
            .iter()
            .map(|call| self.details(Some(call), "no result", ""))
            .collect()
    }

    fn details(&self, call: Option<&ToolCall>, state: &str, result: &str) -> String {
        let (name, arguments) = call.map_or(("tool", ""), |call| (&call.name, &call.arguments));
        let mut body = String::new();
        for text in [arguments, &shortened(result, self.max_result_chars)] {
            if !text.trim().is_empty() {
                body.push_str(&fenced(&self.redactor.redact(text)));
            }
        }
        format!("<details><summary>{name}: {state}</summary>\n\n{body}</details>\n\n")
    }
}

/// Puts a text into a code block whose fence it does not hold.
fn fenced(text: &str) -> String {
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}\n{}\n{fence}\n\n", text.trim_end())
}

fn shortened(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some((end, _)) => format!(
            "{}\n[… {} more characters]",
            &text[..end],
            text[end..].chars().count()
        ),
    }
}

/// A message as a line of JSON.
fn line(stored: &StoredMessage, redactor: &Redactor) -> String {
    let message = &stored.message;
    let role = match message.role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut object = json!({
        "role": role,
        "created_at": rfc3339(stored.created_at),
        "turn": stored.turn.0,
    });
    let text = message.shown_text();
    if !text.is_empty() {
        object["content"] = json!(redactor.redact(&text));
    }
    let calls: Vec<_> = message
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some(json!({
                "id": call.id,
                "name": call.name,
                "arguments": redactor.redact(&call.arguments),
            })),
            _ => None,
        })
        .collect();
    if !calls.is_empty() {
        object["tool_calls"] = json!(calls);
    }
    let results: Vec<_> = message
        .tool_results()
        .map(|result| {
            json!({
                "call_id": result.call_id,
                "is_error": result.is_error,
                "content": redactor.redact(&result.content),
            })
        })
        .collect();
    if !results.is_empty() {
        object["tool_results"] = json!(results);
    }
    format!("{object}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_are_longer_than_what_they_hold() {
        assert_eq!(fenced("a"), "```\na\n```\n\n");
        assert_eq!(fenced("```x```"), "````\n```x```\n````\n\n");
    }

    #[test]
    fn results_are_folded_and_shortened() {
        let redactor = Redactor::new(["geheim-1234".to_owned()].into_iter());
        let mut writer = Writer::new(4, &redactor);
        writer.calls.push(ToolCall {
            id: "c1".into(),
            name: "bash".into(),
            arguments: "{\"command\":\"echo geheim-1234\"}".into(),
        });
        let text = writer.folded(&ToolResult {
            call_id: "c1".into(),
            content: "一二三四五六".into(),
            is_error: false,
            images: Vec::new(),
        });
        assert_eq!(
            text,
            "<details><summary>bash: done</summary>\n\n```\n{\"command\":\"echo ***\"}\n```\n\n\
             ```\n一二三四\n[… 2 more characters]\n```\n\n</details>\n\n"
        );
    }
}
