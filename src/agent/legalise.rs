//! `legalise`: makes any stored history a request that a model service accepts. Pure.
//!
//! Two layers: *repairs* mend the transcript itself (pairs of calls and results, ids, empty messages) and are stored
//! again; the *view* shapes what is sent (no notes, user first, neighbours of one role joined). Which images
//! are sent is decided in `images`; how a message looks on the wire is the provider adapter's business.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::chat::{Message, Part, Role, ToolCall, ToolResult};
use crate::providers::is_object;

/// The result of a call that was running when PicoBot ended.
pub const INTERRUPTED: &str =
    "Interrupted: PicoBot stopped during this call; it may or may not have taken effect.";
/// Stands for a result or message without text, which services refuse.
const NO_OUTPUT: &str = "(no output)";
const EMPTY_INPUT: &str = "(empty message)";
/// Longest tool name that services accept.
const MAX_NAME: usize = 64;

/// A history made legal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Legal<'h> {
    /// What to send; the history itself if it is legal as it stands, which is the usual case.
    pub request: Cow<'h, [Message]>,
    /// If the stored transcript was at fault: how many leading messages were right, and what must replace the rest.
    pub repair: Option<Repair>,
}

/// A mended transcript.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repair {
    /// Number of leading messages that stay as they are.
    pub kept: usize,
    /// The messages behind them, each with the index of the stored message it comes from or belongs behind.
    pub rest: Vec<(usize, Message)>,
}

/// Makes a history legal: every call has one result directly behind it, ids are unique, no message is empty, the first
/// is the user's and no two neighbours have the same role.
pub fn legalise(history: &[Message]) -> Legal<'_> {
    if is_legal(history) {
        return Legal {
            request: history.into(),
            repair: None,
        };
    }
    mend(history)
}

fn mend(history: &[Message]) -> Legal<'static> {
    let repaired = repair(history);
    let kept = history
        .iter()
        .zip(&repaired)
        .take_while(|(old, (_, new))| *old == new)
        .count();
    let changed = kept < history.len() || kept < repaired.len();
    Legal {
        request: view(repaired.iter().map(|(_, message)| message)).into(),
        repair: changed.then(|| Repair {
            kept,
            rest: repaired[kept..].to_vec(),
        }),
    }
}

/// Tells whether a history needs neither mending nor shaping; copies nothing.
fn is_legal(history: &[Message]) -> bool {
    let mut ids = HashSet::new();
    let mut last: Option<&Message> = None;
    for message in history {
        let follows = matches!(
            (last.map(|last| last.role), message.role),
            (None | Some(Role::Assistant | Role::Tool), Role::User)
                | (Some(Role::User | Role::Tool), Role::Assistant)
                | (Some(Role::Assistant), Role::Tool)
        );
        let answers = last
            .map(Message::tool_calls)
            .into_iter()
            .flatten()
            .map(|call| &call.id);
        if !follows
            || message.parts.is_empty()
            || !message
                .tool_results()
                .map(|result| &result.call_id)
                .eq(answers)
            || !message
                .parts
                .iter()
                .all(|part| part_is_legal(message.role, part, &mut ids))
            || (message.native.is_some() && message.role != Role::Assistant)
        {
            return false;
        }
        last = Some(message);
    }
    last.is_none_or(|last| last.tool_calls().next().is_none())
}

fn part_is_legal<'h>(role: Role, part: &'h Part, ids: &mut HashSet<&'h str>) -> bool {
    let is_text = |text: &str| !text.trim().is_empty() && !text.contains('\0');
    match (role, part) {
        (Role::User | Role::Assistant, Part::Text(text)) | (Role::User, Part::Context(text)) => {
            is_text(text)
        }
        (Role::Assistant, Part::ToolCall(call)) => {
            name_is_legal(&call.id)
                && name_is_legal(&call.name)
                && is_object(&call.arguments)
                && ids.insert(&call.id)
        }
        (Role::Tool, Part::ToolResult(result)) => is_text(&result.content),
        (Role::User, Part::Image(_)) => true,
        _ => false,
    }
}

/// Tells whether a name may stand in a request: `^[a-zA-Z0-9_-]{1,64}$`.
fn name_is_legal(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(name_byte)
}

fn name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// Makes a name legal by replacing what is not; an empty one becomes `unknown`.
pub(super) fn legal_name(name: &str) -> Cow<'_, str> {
    if name_is_legal(name) {
        return name.into();
    }
    let mut legal: String = name
        .chars()
        .take(MAX_NAME)
        .map(|c| match u8::try_from(c) {
            Ok(byte) if name_byte(byte) => c,
            _ => '_',
        })
        .collect();
    if legal.is_empty() {
        legal.push_str("unknown");
    }
    legal.into()
}

/// Gives call ids that a history does not hold yet.
#[derive(Default)]
pub struct CallIds {
    seen: HashSet<String>,
}

impl CallIds {
    /// Collects the ids of a history.
    pub fn of<'m>(history: impl IntoIterator<Item = &'m Message>) -> Self {
        let mut ids = Self::default();
        for message in history {
            for call in message.tool_calls() {
                ids.seen.insert(call.id.clone());
            }
        }
        ids
    }

    /// Takes further ids as known.
    #[must_use]
    pub fn with(mut self, ids: &[String]) -> Self {
        self.seen.extend(ids.iter().cloned());
        self
    }

    /// Returns the id itself if it is legal and new, else a new one made from it. Either is then taken.
    pub fn claim(&mut self, id: &str) -> String {
        let base = if id.is_empty() { "call" } else { id };
        let base: String = legal_name(base).chars().take(MAX_NAME - 8).collect();
        let mut candidate = if name_is_legal(id) {
            id.to_owned()
        } else {
            base.clone()
        };
        let mut n = 2;
        while !self.seen.insert(candidate.clone()) {
            candidate = format!("{base}_{n}");
            n += 1;
        }
        candidate
    }
}

/// Makes an assistant message's calls legal: names, unique ids, arguments that are a JSON object. Calls whose id
/// changed drop the provider's native form, which would still name the old one.
pub(super) fn mend_calls(message: &mut Message, ids: &mut CallIds) -> Vec<(String, String)> {
    let mut renamed = Vec::new();
    let mut changed = false;
    for part in &mut message.parts {
        let Part::ToolCall(call) = part else { continue };
        let id = ids.claim(&call.id);
        changed |= id != call.id || !name_is_legal(&call.name);
        renamed.push((std::mem::replace(&mut call.id, id.clone()), id));
        if let Cow::Owned(name) = legal_name(&call.name) {
            call.name = name;
        }
    }
    if changed {
        message.native = None;
    }
    renamed
}

/// Replaces what no service takes in a text.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}").into()
    } else {
        text.into()
    }
}

/// Mends the transcript. Each message comes with the index of the stored message it comes from.
fn repair(history: &[Message]) -> Vec<(usize, Message)> {
    let mut out: Vec<(usize, Message)> = Vec::with_capacity(history.len());
    let mut ids = CallIds::default();
    let mut index = 0;
    while index < history.len() {
        let message = &history[index];
        match message.role {
            Role::User => push_mended(&mut out, index, message, |part| {
                matches!(
                    part,
                    Part::Text(_) | Part::Context(_) | Part::Note(_) | Part::Image(_)
                )
            }),
            // Reached only if no assistant message with calls stands before it: an orphan.
            Role::Tool => {}
            Role::Assistant => {
                let mut mended = message.clone();
                mended.parts.retain(|part| {
                    !matches!(
                        part,
                        Part::ToolResult(_) | Part::Context(_) | Part::Image(_)
                    )
                });
                mend_text(&mut mended);
                let renamed = mend_calls(&mut mended, &mut ids);
                mend_arguments(&mut mended);
                if mended.parts.is_empty() {
                    index += 1;
                    continue;
                }
                out.push((index, mended));
                if !renamed.is_empty() {
                    let n_results = history[index + 1..]
                        .iter()
                        .take_while(|next| next.role == Role::Tool)
                        .count();
                    let results = &history[index + 1..=index + n_results];
                    pair_results(&mut out, index, &renamed, results);
                    index += n_results;
                }
            }
        }
        index += 1;
    }
    out
}

fn push_mended(
    out: &mut Vec<(usize, Message)>,
    index: usize,
    message: &Message,
    keep: impl Fn(&Part) -> bool,
) {
    let mut mended = message.clone();
    mended.parts.retain(keep);
    mended.native = None;
    mend_text(&mut mended);
    if mended.parts.is_empty() {
        mended.parts.push(Part::Text(EMPTY_INPUT.to_owned()));
    }
    out.push((index, mended));
}

fn mend_text(message: &mut Message) {
    for part in &mut message.parts {
        let (Part::Text(text) | Part::Context(text) | Part::Note(text)) = part else {
            continue;
        };
        if let Cow::Owned(cleaned) = clean(text) {
            *text = cleaned;
        }
    }
}

fn mend_arguments(message: &mut Message) {
    for part in &mut message.parts {
        if let Part::ToolCall(ToolCall { arguments, .. }) = part
            && !is_object(arguments)
        {
            *arguments = "{}".to_owned();
        }
    }
}

/// Puts exactly one result behind every call, in the order of the calls. Results that already stand right are kept as
/// the messages they are.
fn pair_results(
    out: &mut Vec<(usize, Message)>,
    assistant: usize,
    renamed: &[(String, String)],
    stored: &[Message],
) {
    let mut available: Vec<&ToolResult> = stored.iter().flat_map(Message::tool_results).collect();
    let mut paired = Vec::with_capacity(renamed.len());
    for (old, new) in renamed {
        let found = available
            .iter()
            .position(|result| result.call_id == *old || result.call_id == *new)
            .map(|position| available.remove(position));
        let content = match found {
            None => INTERRUPTED.to_owned(),
            Some(result) if result.content.trim().is_empty() => NO_OUTPUT.to_owned(),
            Some(result) => clean(&result.content).into_owned(),
        };
        paired.push(ToolResult {
            call_id: new.clone(),
            content,
            is_error: found.is_none_or(|result| result.is_error),
            images: found
                .map(|result| result.images.clone())
                .unwrap_or_default(),
        });
    }
    let as_stored = stored.iter().all(|message| {
        message.native.is_none()
            && !message.parts.is_empty()
            && message.tool_results().count() == message.parts.len()
    }) && stored.iter().flat_map(Message::tool_results).eq(&paired);
    if as_stored {
        for (offset, message) in stored.iter().enumerate() {
            out.push((assistant + 1 + offset, message.clone()));
        }
    } else {
        out.push((assistant, Message::results(paired)));
    }
}

/// Shapes a repaired transcript for sending.
fn view<'m>(messages: impl Iterator<Item = &'m Message>) -> Vec<Message> {
    let mut out: Vec<Message> = Vec::new();
    for message in messages {
        let mut message = message.clone();
        message.parts.retain(|part| match part {
            Part::Note(_) => false,
            Part::Text(text) | Part::Context(text) => !text.trim().is_empty(),
            _ => true,
        });
        if message.parts.is_empty() {
            if message.role != Role::User {
                continue;
            }
            message.parts.push(Part::Text(EMPTY_INPUT.to_owned()));
        }
        if out.is_empty() && message.role != Role::User {
            continue;
        }
        match out.last_mut() {
            Some(last) if last.role == message.role => join(last, message),
            _ => out.push(message),
        }
    }
    out
}

fn join(last: &mut Message, next: Message) {
    last.parts.extend(next.parts);
    last.native = None;
}

#[cfg(test)]
#[path = "legalise_tests.rs"]
pub(in crate::agent) mod tests;
