//! The calls of the service's API that the channel makes, each with the shapes of its documentation page
//! (open.feishu.cn, "server API": im/v1, cardkit/v1, contact/v3, bot/v3). Blocking.

use serde_json::{Value, json};

use super::api::{Api, ApiError, Body};

/// Largest file fetched.
pub(super) const MAX_DOWNLOAD_BYTES: u64 = 20 << 20;
/// Largest file the service takes.
pub(super) const MAX_FILE_BYTES: usize = 30 << 20;
/// Largest image the service takes.
pub(super) const MAX_IMAGE_BYTES: usize = 10 << 20;

/// The bot itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BotInfo {
    /// Its id, `ou_…`.
    pub open_id: String,
    /// Its name.
    pub name: String,
}

/// Where a message goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// Into a chat.
    Chat(String),
    /// Under a message, and into its topic if it stands in one.
    Reply(String),
}

/// What a message shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Content {
    /// `text`, `post`, `interactive`, `image`, `file`.
    pub(super) kind: &'static str,
    /// The content's JSON.
    pub(super) json: Value,
}

/// A message as the service returns it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Fetched {
    pub(super) kind: String,
    pub(super) content: String,
    pub(super) sender: String,
    pub(super) is_human: bool,
    /// Key and name.
    pub(super) mentions: Vec<(String, String)>,
    pub(super) is_deleted: bool,
}

impl Api {
    /// Returns who the bot is.
    pub fn bot_info(&self) -> Result<BotInfo, ApiError> {
        let answer = self.call("GET", "/open-apis/bot/v3/info", Body::None)?;
        let text = |name: &str| answer["bot"][name].as_str().unwrap_or_default().to_owned();
        let open_id = text("open_id");
        if open_id.is_empty() {
            return Err(ApiError::Unreachable("the bot has no open_id".to_owned()));
        }
        Ok(BotInfo {
            open_id,
            name: text("app_name"),
        })
    }

    /// Sends a message; the same `uuid` sends at most one within an hour. Returns its id.
    pub(super) fn send(
        &self,
        target: &Target,
        content: &Content,
        uuid: &str,
    ) -> Result<String, ApiError> {
        let mut body = json!({
            "msg_type": content.kind,
            "content": content.json.to_string(),
            "uuid": uuid,
        });
        let path = match target {
            Target::Chat(chat) => {
                body["receive_id"] = json!(chat);
                "/open-apis/im/v1/messages?receive_id_type=chat_id".to_owned()
            }
            Target::Reply(message) => {
                format!("/open-apis/im/v1/messages/{}/reply", plain_id(message))
            }
        };
        let answer = self.call("POST", &path, Body::Json(&body))?;
        Ok(text_at(&answer, "/data/message_id"))
    }

    /// Replaces the card of an own message.
    pub(super) fn patch(&self, message: &str, card: &Value) -> Result<(), ApiError> {
        let path = format!("/open-apis/im/v1/messages/{}", plain_id(message));
        let body = json!({"content": card.to_string()});
        self.call("PATCH", &path, Body::Json(&body)).map(|_| ())
    }

    /// Takes an own message back.
    pub(super) fn recall(&self, message: &str) -> Result<(), ApiError> {
        let path = format!("/open-apis/im/v1/messages/{}", plain_id(message));
        self.call("DELETE", &path, Body::None).map(|_| ())
    }

    /// Returns a message and, for forwarded ones, its children.
    pub(super) fn fetch(&self, message: &str) -> Result<Vec<Fetched>, ApiError> {
        let path = format!("/open-apis/im/v1/messages/{}", plain_id(message));
        let answer = self.call("GET", &path, Body::None)?;
        let items = answer["data"]["items"].as_array();
        Ok(items.into_iter().flatten().map(read_message).collect())
    }

    /// Puts a reaction on a message; returns its id.
    pub(super) fn react(&self, message: &str, emoji: &str) -> Result<String, ApiError> {
        let path = format!("/open-apis/im/v1/messages/{}/reactions", plain_id(message));
        let body = json!({"reaction_type": {"emoji_type": emoji}});
        let answer = self.call("POST", &path, Body::Json(&body))?;
        Ok(text_at(&answer, "/data/reaction_id"))
    }

    /// Takes an own reaction away.
    pub(super) fn unreact(&self, message: &str, reaction: &str) -> Result<(), ApiError> {
        let (message, reaction) = (plain_id(message), plain_id(reaction));
        let path = format!("/open-apis/im/v1/messages/{message}/reactions/{reaction}");
        self.call("DELETE", &path, Body::None).map(|_| ())
    }

    /// Fetches a file of a received message; `kind` is `image` or `file`.
    pub(super) fn resource(
        &self,
        message: &str,
        key: &str,
        kind: &str,
    ) -> Result<Vec<u8>, ApiError> {
        let (message, key) = (plain_id(message), plain_id(key));
        let path = format!("/open-apis/im/v1/messages/{message}/resources/{key}?type={kind}");
        self.download(&path, MAX_DOWNLOAD_BYTES)
    }

    /// Uploads an image; returns its key.
    pub(super) fn upload_image(&self, name: &str, bytes: &[u8]) -> Result<String, ApiError> {
        let form = form(&[("image_type", "message")], ("image", name, bytes));
        let body = Body::Multipart(BOUNDARY, &form);
        let answer = self.call("POST", "/open-apis/im/v1/images", body)?;
        Ok(text_at(&answer, "/data/image_key"))
    }

    /// Uploads a file; returns its key and the `msg_type` it can be sent as.
    pub(super) fn upload_file(
        &self,
        name: &str,
        bytes: &[u8],
    ) -> Result<(String, &'static str), ApiError> {
        let (file_type, msg_type) = file_type(name);
        let fields = [("file_type", file_type), ("file_name", name)];
        let form = form(&fields, ("file", name, bytes));
        let body = Body::Multipart(BOUNDARY, &form);
        let answer = self.call("POST", "/open-apis/im/v1/files", body)?;
        Ok((text_at(&answer, "/data/file_key"), msg_type))
    }

    /// Returns a person's name.
    pub(super) fn person_name(&self, open_id: &str) -> Result<String, ApiError> {
        let open_id = plain_id(open_id);
        let path = format!("/open-apis/contact/v3/users/{open_id}?user_id_type=open_id");
        let answer = self.call("GET", &path, Body::None)?;
        Ok(text_at(&answer, "/data/user/name"))
    }

    /// Makes a card; returns its id.
    pub(super) fn create_card(&self, card: &Value) -> Result<String, ApiError> {
        let body = json!({"type": "card_json", "data": card.to_string()});
        let answer = self.call("POST", "/open-apis/cardkit/v1/cards", Body::Json(&body))?;
        let id = text_at(&answer, "/data/card_id");
        if id.is_empty() {
            return Err(ApiError::Unreachable("the card has no id".to_owned()));
        }
        Ok(id)
    }

    /// Shows a longer text in a card's element.
    pub(super) fn stream_text(
        &self,
        card: &str,
        element: &str,
        text: &str,
        sequence: i32,
    ) -> Result<(), ApiError> {
        let card = plain_id(card);
        let path = format!("/open-apis/cardkit/v1/cards/{card}/elements/{element}/content");
        let body = json!({"content": text, "sequence": sequence});
        self.call("PUT", &path, Body::Json(&body)).map(|_| ())
    }

    /// Ends a card's streaming.
    pub(super) fn close_card(&self, card: &str, sequence: i32) -> Result<(), ApiError> {
        let path = format!("/open-apis/cardkit/v1/cards/{}/settings", plain_id(card));
        let settings = json!({"config": {"streaming_mode": false}}).to_string();
        let body = json!({"settings": settings, "sequence": sequence});
        self.call("PATCH", &path, Body::Json(&body)).map(|_| ())
    }

    /// Replaces a whole card.
    pub(super) fn replace_card(
        &self,
        id: &str,
        card: &Value,
        sequence: i32,
    ) -> Result<(), ApiError> {
        let path = format!("/open-apis/cardkit/v1/cards/{}", plain_id(id));
        let body = json!({
            "card": {"type": "card_json", "data": card.to_string()},
            "sequence": sequence,
        });
        self.call("PUT", &path, Body::Json(&body)).map(|_| ())
    }

    /// Returns the app's permissions with whether each is granted.
    pub fn scopes(&self) -> Result<Vec<(String, bool)>, ApiError> {
        let answer = self.call("GET", "/open-apis/application/v6/scopes", Body::None)?;
        let scopes = answer["data"]["scopes"].as_array();
        let read = |scope: &Value| {
            let granted = scope["grant_status"].as_i64() == Some(1);
            Some((scope["scope_name"].as_str()?.to_owned(), granted))
        };
        Ok(scopes.into_iter().flatten().filter_map(read).collect())
    }

    /// Returns what the console knows of the app: its status, events and callbacks.
    pub fn app_info(&self) -> Result<Value, ApiError> {
        let id = plain_id(self.app_id());
        let path = format!("/open-apis/application/v6/applications/{id}?lang=zh_cn");
        let answer = self.call("GET", &path, Body::None)?;
        Ok(answer["data"]["app"].clone())
    }

    /// Asks for the address of a long connection and throws it away.
    pub fn check_endpoint(&self) -> Result<(), ApiError> {
        self.endpoint().map(|_| ())
    }
}

fn text_at(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

/// Ids come from outside and go into paths: what cannot be part of one is left out.
fn plain_id(id: &str) -> String {
    let fit = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '=');
    id.chars().filter(fit).take(200).collect()
}

fn read_message(item: &Value) -> Fetched {
    let text = |pointer: &str| text_at(item, pointer);
    let mentions = item["mentions"].as_array();
    let mention = |one: &Value| (text_at(one, "/key"), text_at(one, "/name"));
    Fetched {
        kind: text("/msg_type"),
        content: text("/body/content"),
        sender: text("/sender/id"),
        is_human: text("/sender/sender_type") == "user",
        mentions: mentions.into_iter().flatten().map(mention).collect(),
        is_deleted: item["deleted"].as_bool().unwrap_or(false),
    }
}

/// `file_type` of the upload and `msg_type` of the message, by the name's ending.
fn file_type(name: &str) -> (&'static str, &'static str) {
    let ending = name.rsplit('.').next().unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "opus" => ("opus", "audio"),
        "mp4" => ("mp4", "media"),
        "pdf" => ("pdf", "file"),
        "doc" | "docx" => ("doc", "file"),
        "xls" | "xlsx" => ("xls", "file"),
        "ppt" | "pptx" => ("ppt", "file"),
        _ => ("stream", "file"),
    }
}

/// Unlikely to occur in a file; a file that holds it all the same is refused by the service, nothing worse.
const BOUNDARY: &str = "picobot-7d1f0c3a9be84f52a6d0";

/// Makes a multipart body; names go out as raw UTF-8, which is what the official SDK sends.
fn form(fields: &[(&str, &str)], (field, name, bytes): (&str, &str, &[u8])) -> Vec<u8> {
    let quoted = |text: &str| text.replace(['"', '\r', '\n'], "_");
    let mut out = Vec::with_capacity(bytes.len() + 1024);
    for (name, value) in fields {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        out.extend_from_slice(head.as_bytes());
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n",
        quoted(name)
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_leave_their_place_in_a_path() {
        assert_eq!(plain_id("om_1/../../x?y#z %20"), "om_1....xyz20");
        assert_eq!(plain_id("img_v2_a-b=="), "img_v2_a-b==");
    }

    #[test]
    fn kinds_of_files() {
        assert_eq!(file_type("a.DOCX"), ("doc", "file"));
        assert_eq!(file_type("语音.opus"), ("opus", "audio"));
        assert_eq!(file_type("noending"), ("stream", "file"));
    }

    #[test]
    fn names_cannot_end_a_form_line() {
        let form = form(&[], ("file", "a\"\r\nX: y.txt", b"data"));
        let text = String::from_utf8(form).unwrap();
        assert!(text.contains("filename=\"a___X: y.txt\"\r\n"), "{text}");
        assert!(text.contains("\r\n\r\ndata\r\n--"), "{text}");
    }
}
