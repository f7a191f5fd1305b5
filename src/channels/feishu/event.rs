//! Events from their JSON. Pure. Fields that are missing, null or of another type are taken as absent: the service
//! leaves out what an app has no permission for, and adds new things without notice.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Event {
    /// Somebody wrote.
    Message(Box<MessageEvent>),
    /// A message was taken back.
    Recalled {
        /// Its id.
        message: String,
    },
    /// A button of a card was pressed.
    Action(Action),
    /// Anything else; its type.
    Other(String),
}

/// A received message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct MessageEvent {
    pub(super) message: String,
    /// The message it replies to.
    pub(super) parent: Option<String>,
    pub(super) chat: String,
    pub(super) is_group: bool,
    pub(super) thread: Option<String>,
    /// `text`, `post`, …
    pub(super) kind: String,
    /// JSON in a text, as it came.
    pub(super) content: String,
    pub(super) mentions: Vec<Mention>,
    /// The sender's open_id.
    pub(super) sender: String,
    /// Whether a person wrote it, not a bot.
    pub(super) is_human: bool,
    pub(super) sent_at: Option<SystemTime>,
}

/// Somebody who is mentioned.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Mention {
    /// What stands in the text, `@_user_1`.
    pub(super) key: String,
    pub(super) open_id: String,
    pub(super) name: String,
}

/// A pressed button.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Action {
    /// Who pressed it.
    pub(super) person: String,
    /// The message that shows the card.
    pub(super) message: String,
    pub(super) chat: String,
    /// What we put into the button.
    pub(super) value: Value,
}

/// Reads an event; `Err` says what is wrong with it.
pub(super) fn read(json: &[u8]) -> Result<Event, String> {
    let value: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let kind = text(&value, "/header/event_type").unwrap_or_default();
    match kind.as_str() {
        "im.message.receive_v1" => {
            let message = read_message(&value).ok_or("a message without ids")?;
            Ok(Event::Message(Box::new(message)))
        }
        "im.message.recalled_v1" => {
            let message = text(&value, "/event/message_id").filter(|id| is_id(id));
            let message = message.ok_or("a recall without an id")?;
            Ok(Event::Recalled { message })
        }
        "card.action.trigger" => Ok(Event::Action(Action {
            person: text(&value, "/event/operator/open_id").unwrap_or_default(),
            message: text(&value, "/event/context/open_message_id")
                .filter(|id| is_id(id))
                .unwrap_or_default(),
            chat: text(&value, "/event/context/open_chat_id")
                .filter(|id| is_id(id))
                .unwrap_or_default(),
            value: value
                .pointer("/event/action/value")
                .cloned()
                .unwrap_or_default(),
        })),
        _ => Ok(Event::Other(kind)),
    }
}

/// Returns the app an event is for, and the console's token in it, if it says so.
pub(super) fn addressee(value: &Value) -> (Option<String>, Option<String>) {
    let token = text(value, "/header/token").or_else(|| text(value, "/token"));
    (text(value, "/header/app_id"), token)
}

fn read_message(value: &Value) -> Option<MessageEvent> {
    let at = |path: &str| text(value, &format!("/event/message/{path}"));
    let mentions = value.pointer("/event/message/mentions");
    let mentions = mentions.and_then(Value::as_array).into_iter().flatten();
    let sent_at = at("create_time").and_then(|millis| {
        let millis = millis.parse().ok()?;
        UNIX_EPOCH.checked_add(Duration::from_millis(millis))
    });
    Some(MessageEvent {
        message: at("message_id").filter(|id| is_id(id))?,
        parent: at("parent_id").filter(|id| is_id(id)),
        chat: at("chat_id").filter(|id| is_id(id))?,
        is_group: at("chat_type").as_deref() != Some("p2p"),
        thread: at("thread_id").filter(|id| is_id(id)),
        kind: at("message_type").unwrap_or_default(),
        content: at("content").unwrap_or_default(),
        mentions: mentions.map(read_mention).collect(),
        sender: text(value, "/event/sender/sender_id/open_id").unwrap_or_default(),
        is_human: text(value, "/event/sender/sender_type").as_deref() == Some("user"),
        sent_at,
    })
}

fn read_mention(value: &Value) -> Mention {
    let is_all = text(value, "/id/user_id").as_deref() == Some("all");
    Mention {
        key: text(value, "/key").unwrap_or_default(),
        open_id: if is_all {
            "all".to_owned()
        } else {
            text(value, "/id/open_id").unwrap_or_default()
        },
        name: text(value, "/name").unwrap_or_default(),
    }
}

/// Ids become names of chats and keys of rows.
pub(super) fn is_id(id: &str) -> bool {
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=100).contains(&id.len()) && id.bytes().all(fit)
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    let text = value.pointer(pointer)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(change: impl FnOnce(&mut Value)) -> Result<Event, String> {
        let mut value = json!({
            "schema": "2.0",
            "header": {"event_id": "e1", "event_type": "im.message.receive_v1", "app_id": "cli_1"},
            "event": {
                "sender": {"sender_id": {"open_id": "ou_1"}, "sender_type": "user"},
                "message": {
                    "message_id": "om_1", "chat_id": "oc_1", "chat_type": "p2p",
                    "message_type": "text", "content": "{\"text\":\"hi\"}",
                    "create_time": "1609073151345",
                },
            },
        });
        change(&mut value);
        read(value.to_string().as_bytes())
    }

    #[test]
    fn a_message_with_little_in_it() {
        let Ok(Event::Message(event)) = message(|_| {}) else {
            panic!("no message");
        };
        assert_eq!(
            (event.message.as_str(), event.chat.as_str()),
            ("om_1", "oc_1")
        );
        assert!(!event.is_group && event.is_human);
        assert!(event.mentions.is_empty() && event.parent.is_none());
        let at = event.sent_at.unwrap().duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(at.as_millis(), 1_609_073_151_345);
    }

    #[test]
    fn fields_of_wrong_types_are_absent() {
        let Ok(Event::Message(event)) = message(|value| {
            value["event"]["message"]["mentions"] = json!("x");
            value["event"]["message"]["content"] = json!({"text": "hi"});
            value["event"]["message"]["create_time"] = json!(5);
            value["event"]["message"]["thread_id"] = Value::Null;
            value["event"]["sender"] = json!([]);
        }) else {
            panic!("no message");
        };
        assert_eq!(event.content, "");
        assert_eq!(event.sender, "");
        assert!(!event.is_human && event.sent_at.is_none());
    }

    #[test]
    fn what_is_no_message() {
        assert!(read(b"{").is_err());
        assert_eq!(read(b"[]"), Ok(Event::Other(String::new())));
        assert!(message(|v| v["event"]["message"]["message_id"] = json!("../x")).is_err());
        assert!(message(|v| v["event"]["message"]["chat_id"] = json!("a:b")).is_err());
        assert!(message(|v| v["event"] = json!(null)).is_err());
        let recalled = |id: &str| {
            let event = json!({"header": {"event_type": "im.message.recalled_v1"}, "event": {"message_id": id}});
            read(event.to_string().as_bytes())
        };
        assert!(recalled("om_1").is_ok() && recalled("om_1 x").is_err());
        let other = message(|v| v["header"]["event_type"] = json!("im.chat.updated_v1"));
        assert_eq!(other, Ok(Event::Other("im.chat.updated_v1".to_owned())));
    }
}
