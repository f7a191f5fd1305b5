//! Reads what a client sent, or says in a sentence what is wrong with it. Pure; runs on `gateway-io`.
//!
//! The text is scanned once; only fields that the message's type has are decoded, and unknown ones cost nothing. Ids
//! stay texts here: whether they name something is the channel's business.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{
    ClientBody, ClientMessage, Decision, ExportForm, GrantsAction, InputImage, MAX_IDS, MAX_IMAGES,
    MAX_QUERY_CHARS, OutboxAction,
};
use super::nearest::nearest;

/// How much of a client's own text an error repeats, in characters.
const MAX_ECHO_CHARS: usize = 64;
/// Longest `request_id`, `sender_id` and `approval_id` in bytes: they come back in many frames or are stored as keys.
const MAX_LABEL_BYTES: usize = 256;
/// Longest title in characters: lists show many of them.
const MAX_TITLE_CHARS: usize = 256;
/// Longest `capabilities` list as JSON text; the known names together are a tenth of it.
const MAX_CAPABILITIES_BYTES: usize = 4096;

/// Base64 with or without the signs that fill it up.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Every known `type`, for suggestions.
const TYPES: [&str; 17] = [
    "user_input",
    "clear_history",
    "create_session",
    "list_sessions",
    "load_session",
    "rename_session",
    "archive_session",
    "delete_session",
    "get_slash_commands",
    "ping",
    "hello",
    "take_back",
    "export_session",
    "search_messages",
    "outbox",
    "grants",
    "approval_reply",
];

/// Why a text is no message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ParseFault {
    /// What kind of fault.
    pub code: FaultCode,
    /// One sentence for people; repeats at most 64 characters of the input, escaped.
    pub message: String,
    /// The request's id, if it could be read.
    pub request_id: Option<String>,
}

/// Kinds of [`ParseFault`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultCode {
    /// Not JSON, not an object, or a field that is missing or has a wrong value.
    BadRequest,
    /// The `type` is not known.
    UnknownType,
}

/// A fault before the request's id is added.
struct Fault(FaultCode, String);

impl Fault {
    fn bad(message: impl Into<String>) -> Self {
        Self(FaultCode::BadRequest, message.into())
    }
}

/// The fields of all types, not yet decoded. `null` reads as absent.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    request_id: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    #[serde(borrow)]
    chat_id: Option<&'a RawValue>,
    #[serde(borrow)]
    sender_id: Option<&'a RawValue>,
    #[serde(borrow)]
    session_id: Option<&'a RawValue>,
    #[serde(borrow)]
    images: Option<&'a RawValue>,
    #[serde(borrow)]
    title: Option<&'a RawValue>,
    #[serde(borrow)]
    include_archived: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    all_chats: Option<&'a RawValue>,
    #[serde(borrow)]
    offset: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    form: Option<&'a RawValue>,
    #[serde(borrow)]
    query: Option<&'a RawValue>,
    #[serde(borrow)]
    limit: Option<&'a RawValue>,
    #[serde(borrow)]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    ids: Option<&'a RawValue>,
    #[serde(borrow)]
    include_sent: Option<&'a RawValue>,
    #[serde(borrow)]
    approval_id: Option<&'a RawValue>,
    #[serde(borrow)]
    decision: Option<&'a RawValue>,
}

impl ClientMessage {
    /// Reads one message.
    ///
    /// Unknown fields are ignored and `null` is an absent field. A field given twice is an error, as is one longer than
    /// its limit.
    pub fn parse(text: &str) -> Result<Self, ParseFault> {
        let mut known_id = None;
        read(text, &mut known_id).map_err(|Fault(code, message)| ParseFault {
            code,
            message,
            request_id: known_id,
        })
    }
}

/// Reads the message; leaves the request's id in `known_id` as soon as it is read, for the error reply.
fn read(text: &str, known_id: &mut Option<String>) -> Result<ClientMessage, Fault> {
    if !is_object(text) {
        return Err(Fault::bad(format!(
            "A message must be a JSON object such as {{\"type\":\"ping\"}}, not `{}`.",
            echo(text)
        )));
    }
    let fields: Fields = serde_json::from_str(text)
        .map_err(|error| Fault::bad(format!("The message is not valid JSON: {error}.")))?;
    *known_id = fields.request_id.map(request_id).transpose()?;
    let body = body(&fields)?;
    Ok(ClientMessage {
        body,
        request_id: known_id.take(),
    })
}

/// Tells whether the text can only be a JSON object: a derived reader would take an array as well.
pub(super) fn is_object(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\r', '\n'])
        .starts_with('{')
}

fn body(fields: &Fields<'_>) -> Result<ClientBody, Fault> {
    let kind = required(fields.kind, "type")?;
    Ok(match kind.as_str() {
        "user_input" => user_input(fields)?,
        "clear_history" => ClientBody::ClearHistory {
            chat_id: optional(fields.chat_id, "chat_id")?,
            session_id: optional(fields.session_id, "session_id")?,
        },
        "create_session" => ClientBody::CreateSession {
            title: optional_title(fields)?,
        },
        "list_sessions" => ClientBody::ListSessions {
            include_archived: flag(fields.include_archived, "include_archived")?,
            all_chats: flag(fields.all_chats, "all_chats")?,
            offset: offset(fields.offset)?,
        },
        "load_session" => ClientBody::LoadSession {
            session_id: required(fields.session_id, "session_id")?,
            detail: flag(fields.detail, "detail")?,
            before: cursor(fields.before)?,
        },
        "rename_session" => ClientBody::RenameSession {
            session_id: optional(fields.session_id, "session_id")?,
            title: title(not_blank(required(fields.title, "title")?, "title")?)?,
        },
        "archive_session" => ClientBody::ArchiveSession {
            session_id: optional(fields.session_id, "session_id")?,
        },
        "delete_session" => ClientBody::DeleteSession {
            session_id: optional(fields.session_id, "session_id")?,
        },
        "get_slash_commands" => ClientBody::GetSlashCommands,
        "ping" => ClientBody::Ping,
        "hello" => ClientBody::Hello {
            capabilities: capabilities(fields)?,
        },
        "take_back" => ClientBody::TakeBack {
            input: fields.input.map(|raw| id_of(raw, "input")).transpose()?,
        },
        "export_session" => ClientBody::ExportSession {
            session_id: required(fields.session_id, "session_id")?,
            after: whole(fields.after, "after", 0..=i64::MAX, 0)?,
            form: form(fields)?,
        },
        "search_messages" => search_messages(fields)?,
        "outbox" => ClientBody::Outbox {
            action: outbox_action(fields)?,
            ids: ids(fields)?,
            include_sent: flag(fields.include_sent, "include_sent")?,
        },
        "grants" => ClientBody::Grants {
            action: grants_action(fields)?,
            ids: ids(fields)?,
        },
        "approval_reply" => ClientBody::ApprovalReply {
            approval_id: label(required(fields.approval_id, "approval_id")?, "approval_id")?,
            decision: decision(fields)?,
        },
        unknown => return Err(unknown_type(unknown)),
    })
}

fn user_input(fields: &Fields<'_>) -> Result<ClientBody, Fault> {
    let images = images(fields.images)?;
    let content = if images.is_empty() {
        not_blank(required(fields.content, "content")?, "content")?
    } else {
        optional(fields.content, "content")?.unwrap_or_default()
    };
    Ok(ClientBody::UserInput {
        content,
        channel: optional(fields.channel, "channel")?,
        chat_id: optional(fields.chat_id, "chat_id")?,
        sender_id: sender_id(fields)?,
        session_id: optional(fields.session_id, "session_id")?,
        images,
    })
}

/// One entry of `images`.
#[derive(Deserialize)]
struct ImageFields<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Cow<'a, str>,
}

fn images(raw: Option<&RawValue>) -> Result<Vec<InputImage>, Fault> {
    let Some(raw) = raw else {
        return Ok(Vec::new());
    };
    let entries: Vec<ImageFields<'_>> = serde_json::from_str(raw.get()).map_err(|_| {
        let expected = "must be a list of objects with the strings `name` and `data`";
        wrong("images", expected, raw)
    })?;
    if entries.len() > MAX_IMAGES {
        return Err(Fault::bad(format!(
            "The field `images` has {} entries; at most {MAX_IMAGES} can be sent at once.",
            entries.len()
        )));
    }
    entries.into_iter().map(image).collect()
}

fn image(entry: ImageFields<'_>) -> Result<InputImage, Fault> {
    let name = entry.name.unwrap_or_default().into_owned();
    if name.len() > MAX_LABEL_BYTES {
        return Err(Fault::bad(format!(
            "The field `images` has a name longer than {MAX_LABEL_BYTES} bytes."
        )));
    }
    // Some writers break base64 into lines.
    let has_breaks = entry.data.contains(|c: char| c.is_ascii_whitespace());
    let text = if has_breaks {
        entry.data.split_ascii_whitespace().collect()
    } else {
        entry.data
    };
    let data = BASE64.decode(&*text).ok().filter(|data| !data.is_empty());
    match data {
        Some(data) => Ok(InputImage { name, data }),
        None => Err(Fault::bad(format!(
            "The field `images` has an entry `{}` whose `data` is not base64 of a file.",
            echo(&name)
        ))),
    }
}

fn unknown_type(kind: &str) -> Fault {
    let advice = match nearest(kind, &TYPES) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "see the protocol page for the known types.".to_owned(),
    };
    Fault(
        FaultCode::UnknownType,
        format!("There is no message type `{}`; {advice}", echo(kind)),
    )
}

fn optional(raw: Option<&RawValue>, name: &str) -> Result<Option<String>, Fault> {
    raw.map(|raw| serde_json::from_str(raw.get()).map_err(|_| wrong(name, "must be a string", raw)))
        .transpose()
}

fn required(raw: Option<&RawValue>, name: &str) -> Result<String, Fault> {
    optional(raw, name)?.ok_or_else(|| Fault::bad(format!("The field `{name}` is missing.")))
}

fn not_blank(text: String, name: &str) -> Result<String, Fault> {
    if text.trim().is_empty() {
        return Err(Fault::bad(format!("The field `{name}` is empty.")));
    }
    Ok(text)
}

fn label(text: String, name: &str) -> Result<String, Fault> {
    if text.is_empty() || text.len() > MAX_LABEL_BYTES {
        return Err(Fault::bad(format!(
            "The field `{name}` must have 1 to {MAX_LABEL_BYTES} bytes."
        )));
    }
    Ok(text)
}

/// An empty label says as little as none, and forms send empty fields.
fn sender_id(fields: &Fields<'_>) -> Result<Option<String>, Fault> {
    optional(fields.sender_id, "sender_id")?
        .filter(|text| !text.is_empty())
        .map(|text| label(text, "sender_id"))
        .transpose()
}

fn title(text: String) -> Result<String, Fault> {
    if text.chars().nth(MAX_TITLE_CHARS).is_some() {
        return Err(Fault::bad(format!(
            "The field `title` is longer than {MAX_TITLE_CHARS} characters."
        )));
    }
    Ok(text)
}

/// A blank title of a new dialog is no title, because forms send empty fields.
fn optional_title(fields: &Fields<'_>) -> Result<Option<String>, Fault> {
    optional(fields.title, "title")?
        .filter(|text| !text.trim().is_empty())
        .map(title)
        .transpose()
}

fn flag(raw: Option<&RawValue>, name: &str) -> Result<bool, Fault> {
    raw.map_or(Ok(false), |raw| {
        serde_json::from_str(raw.get()).map_err(|_| wrong(name, "must be true or false", raw))
    })
}

/// Reads the `id` of a message.
fn cursor(raw: Option<&RawValue>) -> Result<Option<i64>, Fault> {
    raw.map(|raw| {
        serde_json::from_str(raw.get())
            .map_err(|_| wrong("before", "must be the `id` of a message", raw))
    })
    .transpose()
}

fn offset(raw: Option<&RawValue>) -> Result<Option<u64>, Fault> {
    raw.map(|raw| {
        serde_json::from_str(raw.get())
            .map_err(|_| wrong("offset", "must be a whole number from 0", raw))
    })
    .transpose()
}

fn capabilities(fields: &Fields<'_>) -> Result<Vec<String>, Fault> {
    let Some(raw) = fields.capabilities else {
        return Ok(Vec::new());
    };
    if raw.get().len() > MAX_CAPABILITIES_BYTES {
        return Err(Fault::bad(format!(
            "The field `capabilities` is longer than {MAX_CAPABILITIES_BYTES} bytes."
        )));
    }
    serde_json::from_str(raw.get())
        .map_err(|_| wrong("capabilities", "must be a list of strings", raw))
}

fn decision(fields: &Fields<'_>) -> Result<Decision, Fault> {
    match required(fields.decision, "decision")?.as_str() {
        "allow" => Ok(Decision::Allow),
        "always" => Ok(Decision::Always),
        "deny" => Ok(Decision::Deny),
        other => Err(Fault::bad(format!(
            "The field `decision` must be `allow`, `always` or `deny`, not `{}`.",
            echo(other)
        ))),
    }
}

fn search_messages(fields: &Fields<'_>) -> Result<ClientBody, Fault> {
    let query = not_blank(required(fields.query, "query")?, "query")?;
    if query.chars().nth(MAX_QUERY_CHARS).is_some() {
        return Err(Fault::bad(format!(
            "The field `query` is longer than {MAX_QUERY_CHARS} characters."
        )));
    }
    Ok(ClientBody::SearchMessages {
        query,
        limit: whole(fields.limit, "limit", 1..=100, 20)?.unsigned_abs(),
        all_chats: flag(fields.all_chats, "all_chats")?,
    })
}

fn form(fields: &Fields<'_>) -> Result<ExportForm, Fault> {
    match optional(fields.form, "form")?.as_deref() {
        None | Some("markdown") => Ok(ExportForm::Markdown),
        Some("json") => Ok(ExportForm::Json),
        Some(other) => Err(Fault::bad(format!(
            "The field `form` must be `markdown` or `json`, not `{}`.",
            echo(other)
        ))),
    }
}

fn outbox_action(fields: &Fields<'_>) -> Result<OutboxAction, Fault> {
    match required(fields.action, "action")?.as_str() {
        "list" => Ok(OutboxAction::List),
        "retry" => Ok(OutboxAction::Retry),
        "drop" => Ok(OutboxAction::Drop),
        other => Err(Fault::bad(format!(
            "The field `action` must be `list`, `retry` or `drop`, not `{}`.",
            echo(other)
        ))),
    }
}

fn grants_action(fields: &Fields<'_>) -> Result<GrantsAction, Fault> {
    match required(fields.action, "action")?.as_str() {
        "list" => Ok(GrantsAction::List),
        "revoke" => Ok(GrantsAction::Revoke),
        other => Err(Fault::bad(format!(
            "The field `action` must be `list` or `revoke`, not `{}`.",
            echo(other)
        ))),
    }
}

/// Reads an integer of a range, or what stands for a missing one.
fn whole(
    raw: Option<&RawValue>,
    name: &str,
    range: RangeInclusive<i64>,
    missing: i64,
) -> Result<i64, Fault> {
    let Some(raw) = raw else { return Ok(missing) };
    serde_json::from_str(raw.get())
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let expected = format!(
                "must be an integer from {} to {}",
                range.start(),
                range.end()
            );
            wrong(name, &expected, raw)
        })
}

fn ids(fields: &Fields<'_>) -> Result<Option<Vec<i64>>, Fault> {
    let Some(raw) = fields.ids else {
        return Ok(None);
    };
    let ids: Vec<i64> = serde_json::from_str(raw.get())
        .map_err(|_| wrong("ids", "must be a list of integers", raw))?;
    if ids.len() > MAX_IDS {
        return Err(Fault::bad(format!(
            "The field `ids` has {} entries; at most {MAX_IDS} can be named at once.",
            ids.len()
        )));
    }
    Ok(Some(ids))
}

fn request_id(raw: &RawValue) -> Result<String, Fault> {
    id_of(raw, "request_id")
}

/// Reads the id of a request: a string, or an integer whose digits are kept as they are written.
fn id_of(raw: &RawValue, name: &str) -> Result<String, Fault> {
    let text = raw.get();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let id = if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        text.to_owned()
    } else {
        serde_json::from_str(text)
            .map_err(|_| wrong(name, "must be a string or an integer", raw))?
    };
    label(id, name)
}

fn wrong(name: &str, expected: &str, raw: &RawValue) -> Fault {
    Fault::bad(format!(
        "The field `{name}` {expected}, not `{}`.",
        echo(raw.get())
    ))
}

/// Repeats the beginning of a client's text with everything unprintable escaped.
fn echo(text: &str) -> String {
    let mut chars = text.chars();
    let mut shown = String::new();
    for c in chars.by_ref().take(MAX_ECHO_CHARS) {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            other => shown.extend(other.escape_debug()),
        }
    }
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_type_is_known() {
        for name in TYPES {
            let text = format!(r#"{{"type":"{name}"}}"#);
            if let Err(fault) = ClientMessage::parse(&text) {
                assert_eq!(fault.code, FaultCode::BadRequest, "{fault}");
            }
        }
    }

    #[test]
    fn echo_is_short_and_clean() {
        assert_eq!(echo("a\"b\\c'"), "a\"b\\c'");
        assert_eq!(echo("\u{1b}[31m\u{202e}\0"), "\\u{1b}[31m\\u{202e}\\0");
        assert_eq!(echo(&"错".repeat(64)), "错".repeat(64));
        assert_eq!(echo(&"错".repeat(65)), format!("{}…", "错".repeat(64)));
    }
}
