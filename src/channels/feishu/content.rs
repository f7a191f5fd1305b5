//! What a received message says: its text with names in the place of mentions, and the files it carries. Pure.

use serde_json::Value;

use super::event::Mention;

/// Files of one message that are fetched; more are named only.
const MAX_FILES: usize = 20;

/// How a file is fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FileKind {
    Image,
    File,
}

impl FileKind {
    /// The `type` of the download call.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            FileKind::Image => "image",
            FileKind::File => "file",
        }
    }
}

/// A file of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Resource {
    pub(super) kind: FileKind,
    pub(super) key: String,
    /// The sender's name of it; any text.
    pub(super) name: String,
    /// What people call it: image, file, voice message, video.
    pub(super) what: &'static str,
}

/// A message's content.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Content {
    pub(super) text: String,
    pub(super) resources: Vec<Resource>,
    /// Its children are to be fetched.
    pub(super) is_forward: bool,
    pub(super) mentions_bot: bool,
}

impl Content {
    /// Whether it is nothing but files, so that a text may be about to follow.
    pub(super) fn is_files_only(&self) -> bool {
        self.text.is_empty() && !self.resources.is_empty()
    }
}

/// Reads a message's content. `bot` is the bot's own open_id, if known; its mention is left out of the text.
pub(super) fn read(kind: &str, json: &str, mentions: &[Mention], bot: Option<&str>) -> Content {
    let value: Value = serde_json::from_str(json).unwrap_or(Value::Null);
    let mut content = Content {
        mentions_bot: bot.is_some_and(|bot| mentions.iter().any(|one| one.open_id == bot)),
        ..Content::default()
    };
    let names = Names { mentions, bot };
    match kind {
        "text" => content.text = names.resolve(text(&value, "text")),
        "post" => read_post(&value, &names, &mut content),
        "image" => content.add(FileKind::Image, text(&value, "image_key"), "", "image"),
        "file" => {
            let name = text(&value, "file_name");
            content.add(FileKind::File, text(&value, "file_key"), name, "file");
        }
        "audio" => content.add(
            FileKind::File,
            text(&value, "file_key"),
            "voice.opus",
            "voice message",
        ),
        "media" => {
            let name = text(&value, "file_name");
            let name = if name.is_empty() { "video.mp4" } else { name };
            content.add(FileKind::File, text(&value, "file_key"), name, "video");
        }
        "interactive" => content.text = read_card(&value, &names),
        "merge_forward" => content.is_forward = true,
        _ => content.text = describe(kind, &value, &names),
    }
    content.text = content.text.trim().to_owned();
    content
}

impl Content {
    fn add(&mut self, kind: FileKind, key: &str, name: &str, what: &'static str) {
        if key.is_empty() {
            self.text.push_str(&format!("[{what}: nothing to fetch]"));
        } else if self.resources.len() < MAX_FILES {
            self.resources.push(Resource {
                kind,
                key: key.to_owned(),
                name: name.to_owned(),
                what,
            });
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Puts names in the place of mention keys.
struct Names<'a> {
    mentions: &'a [Mention],
    bot: Option<&'a str>,
}

impl Names<'_> {
    /// `@_user_1` must not be found in `@_user_10`: a key ends where its digits end.
    fn resolve(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("@_") {
            out.push_str(&rest[..at]);
            let key = &rest[at..];
            let is_key = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let len = key[1..]
                .find(|c| !is_key(c))
                .map_or(key.len(), |end| end + 1);
            out.push_str(&self.shown(&key[..len]));
            rest = &key[len..];
            // The place of the bot's own mention leaves one space, not two.
            if out.is_empty() || out.ends_with(char::is_whitespace) {
                rest = rest.strip_prefix(' ').unwrap_or(rest);
            }
        }
        out.push_str(rest);
        out
    }

    fn shown(&self, key: &str) -> String {
        if key == "@_all" {
            return "@all".to_owned();
        }
        match self.mentions.iter().find(|one| one.key == key) {
            Some(one) if self.bot == Some(&one.open_id) => String::new(),
            Some(one) => format!("@{}", one_line(&one.name)),
            None => key.to_owned(),
        }
    }
}

fn one_line(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control());
    clean.take(80).collect()
}

/// A post has its paragraphs at the top, or, as some clients send it, below a language.
fn read_post(value: &Value, names: &Names<'_>, content: &mut Content) {
    let inner = match value.as_object() {
        Some(object) if !object.contains_key("content") => {
            object.values().find(|one| one["content"].is_array())
        }
        _ => Some(value),
    };
    let Some(inner) = inner else { return };
    let mut lines = vec![names.resolve(text(inner, "title"))];
    for paragraph in inner["content"].as_array().into_iter().flatten() {
        let mut line = String::new();
        for node in paragraph.as_array().into_iter().flatten() {
            read_node(node, names, content, &mut line);
        }
        lines.push(line);
    }
    content.text = lines.join("\n").trim().to_owned() + &content.text;
}

fn read_node(node: &Value, names: &Names<'_>, content: &mut Content, line: &mut String) {
    match text(node, "tag") {
        "text" | "md" => line.push_str(&names.resolve(text(node, "text"))),
        "a" => {
            let (label, link) = (text(node, "text"), text(node, "href"));
            line.push_str(&format!("[{label}]({link})"));
        }
        "at" => {
            let key = text(node, "user_id");
            let name = text(node, "user_name");
            let known = names.mentions.iter().any(|one| one.key == key);
            if known || key == "@_all" || name.is_empty() {
                line.push_str(&names.shown(key));
            } else {
                line.push_str(&format!("@{}", one_line(name)));
            }
        }
        "img" => content.add(FileKind::Image, text(node, "image_key"), "", "image"),
        "media" => content.add(FileKind::File, text(node, "file_key"), "video.mp4", "video"),
        "emotion" => line.push_str(&format!(":{}:", text(node, "emoji_type"))),
        "hr" => line.push_str("---"),
        "code_block" => {
            let language = text(node, "language").to_ascii_lowercase();
            line.push_str(&format!("```{language}\n{}\n```", text(node, "text")));
        }
        _ => line.push_str(text(node, "text")),
    }
}

/// Received cards are a simplified form: a title and paragraphs of nodes.
fn read_card(value: &Value, names: &Names<'_>) -> String {
    let mut lines = Vec::new();
    let title = text(value, "title");
    if !title.is_empty() {
        lines.push(title.to_owned());
    }
    for paragraph in value["elements"].as_array().into_iter().flatten() {
        let mut ignored = Content::default();
        let mut line = String::new();
        for node in paragraph.as_array().into_iter().flatten() {
            read_node(node, names, &mut ignored, &mut line);
        }
        lines.push(line);
    }
    let text = lines.join("\n");
    if text.trim().is_empty() {
        "[card without text]".to_owned()
    } else {
        text
    }
}

/// Writes a time that the service gives as milliseconds in a text; `None` if there is none.
fn moment(millis: &str) -> Option<String> {
    let at = millis.parse().ok().filter(|at| *at != 0)?;
    let at = jiff::Timestamp::from_millisecond(at).ok()?;
    Some(at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// A line for what is neither text nor file.
fn describe(kind: &str, value: &Value, names: &Names<'_>) -> String {
    let field = |key| one_line(text(value, key));
    match kind {
        "sticker" => "[sticker]".to_owned(),
        "location" => format!(
            "[location: {} ({}, {})]",
            field("name"),
            field("latitude"),
            field("longitude")
        ),
        "share_chat" => format!("[shared chat: {}]", field("chat_id")),
        "share_user" => format!("[shared contact: {}]", field("user_id")),
        "folder" => format!("[folder: {}]", field("file_name")),
        "calendar" | "share_calendar_event" | "general_calendar" => {
            let span = ["start_time", "end_time"].map(|key| moment(text(value, key)));
            let at = span.iter().flatten().cloned().collect::<Vec<_>>();
            let at = match at.join(" – ") {
                at if at.is_empty() => at,
                at => format!(", {at}"),
            };
            format!("[calendar event: {}{at}]", field("summary"))
        }
        "video_chat" => format!("[video meeting: {}]", field("topic")),
        "vote" => {
            let options = value["options"].as_array().into_iter().flatten();
            let options: Vec<String> = options
                .filter_map(Value::as_str)
                .map(|option| format!("\n- {}", one_line(option)))
                .collect();
            format!("[poll: {}]{}", field("topic"), options.concat())
        }
        "todo" => {
            let mut task = Content::default();
            read_post(&value["summary"], names, &mut task);
            let due = moment(text(value, "due_time"));
            let due = due.map_or_else(String::new, |due| format!(", due {due}"));
            let space = if task.text.is_empty() { "" } else { ": " };
            format!("[task{due}{space}{}]", task.text)
        }
        "hongbao" => "[red envelope]".to_owned(),
        "system" => "[system message]".to_owned(),
        "" => String::new(),
        other => format!("[message of an unknown kind: {}]", one_line(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_is_planned_is_told_with_its_time() {
        let said = |kind: &str, content: Value| read(kind, &content.to_string(), &[], None).text;
        let task = json!({"task_id": "t", "due_time": "1700000000000",
            "summary": {"title": "", "content": [[{"tag": "text", "text": "买牛奶"}]]}});
        assert_eq!(
            said("todo", task),
            "[task, due 2023-11-14 22:13 UTC: 买牛奶]"
        );
        assert_eq!(said("todo", json!({"summary": 5})), "[task]");
        let event =
            json!({"summary": "周会", "start_time": "1700000000000", "end_time": "1700003600000"});
        assert_eq!(
            said("calendar", event),
            "[calendar event: 周会, 2023-11-14 22:13 UTC – 2023-11-14 23:13 UTC]"
        );
        assert_eq!(
            said("calendar", json!({"start_time": "x"})),
            "[calendar event: ]"
        );
        let poll = json!({"topic": "lunch?", "options": ["rice", "面"]});
        assert_eq!(said("vote", poll), "[poll: lunch?]\n- rice\n- 面");
    }

    fn mention(n: usize, open_id: &str, name: &str) -> Mention {
        Mention {
            key: format!("@_user_{n}"),
            open_id: open_id.to_owned(),
            name: name.to_owned(),
        }
    }

    fn read_text(text: &str, mentions: &[Mention]) -> Content {
        read(
            "text",
            &json!({"text": text}).to_string(),
            mentions,
            Some("ou_bot"),
        )
    }

    #[test]
    fn mentions_end_where_their_digits_end() {
        let mut mentions = vec![mention(1, "ou_bot", "PicoBot"), mention(10, "ou_a", "张三")];
        let content = read_text("@_user_1 ask @_user_10 and @_user_100, @_all", &mentions);
        assert_eq!(content.text, "ask @张三 and @_user_100, @all");
        assert!(content.mentions_bot);
        mentions.remove(0);
        assert!(!read_text("@_user_1 hi", &mentions).mentions_bot);
        let middle = read_text("hi @_user_1 there", &[mention(1, "ou_bot", "PicoBot")]);
        assert_eq!(middle.text, "hi there");
    }

    #[test]
    fn a_hundred_mentions() {
        let mentions: Vec<_> = (1..=100)
            .map(|n| mention(n, "ou_x", &format!("N{n}")))
            .collect();
        let text: String = (1..=100).map(|n| format!("@_user_{n} ")).collect();
        let expected: Vec<String> = (1..=100).map(|n| format!("@N{n}")).collect();
        assert_eq!(read_text(&text, &mentions).text, expected.join(" "));
    }

    #[test]
    fn a_post_with_everything() {
        let post = json!({"title": "标题", "content": [
            [{"tag": "at", "user_id": "@_user_1", "user_name": "PicoBot"}, {"tag": "text", "text": " look "},
             {"tag": "a", "text": "here", "href": "https://x.example"}],
            [{"tag": "img", "image_key": "img_1"}],
            [{"tag": "code_block", "language": "RUST", "text": "fn a() {}"}],
            [{"tag": "emotion", "emoji_type": "SMILE"}, {"tag": "new", "text": "?"}],
        ]});
        let mentions = [mention(1, "ou_bot", "PicoBot")];
        for value in [post.clone(), json!({"zh_cn": post})] {
            let content = read("post", &value.to_string(), &mentions, Some("ou_bot"));
            let expected =
                "标题\n look [here](https://x.example)\n\n```rust\nfn a() {}\n```\n:SMILE:?";
            assert_eq!(content.text, expected);
            assert_eq!(content.resources.len(), 1);
            assert!(content.mentions_bot);
        }
    }

    #[test]
    fn other_kinds() {
        let shown = |kind: &str, value: Value| read(kind, &value.to_string(), &[], None);
        let file = shown(
            "file",
            json!({"file_key": "file_1", "file_name": "../../x"}),
        );
        assert!(file.is_files_only());
        assert_eq!(file.resources[0].name, "../../x");
        assert_eq!(
            shown("media", json!({"file_key": "f"})).resources[0].name,
            "video.mp4"
        );
        assert_eq!(shown("sticker", json!({"file_key": "f"})).text, "[sticker]");
        assert_eq!(
            shown("hologram", json!({})).text,
            "[message of an unknown kind: hologram]"
        );
        assert_eq!(shown("image", json!({})).text, "[image: nothing to fetch]");
        assert!(shown("merge_forward", json!({})).is_forward);
        let card = json!({"title": "T", "elements": [[{"tag": "text", "text": "a"}]]});
        assert_eq!(shown("interactive", card).text, "T\na");
        for (kind, value) in [("post", json!({})), ("post", json!([])), ("text", json!(5))] {
            assert_eq!(shown(kind, value).text, "");
        }
    }

    proptest! {
        #[test]
        fn no_content_does_harm(kind in "text|post|image|interactive|x", json in any::<String>()) {
            read(&kind, &json, &[], None);
        }

        #[test]
        fn no_text_does_harm(text in "[@_a-z0-9 好]{0,40}") {
            read_text(&text, &[mention(1, "ou_bot", "B"), mention(2, "ou_a", "A")]);
        }
    }
}
