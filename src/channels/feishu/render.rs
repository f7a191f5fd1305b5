//! What a text looks like as a message: card, post or plain text. Pure.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use super::calls::Content;
use super::split::{Blocks, is_fence};

/// The element of a streaming card that holds the answer.
pub(super) const ANSWER: &str = "answer";
/// The element above it that names the tools at work.
pub(super) const TOOLS: &str = "tools";
/// A plain text up to this length needs no card.
const SHORT_CHARS: usize = 200;
/// Length of what a chat list shows of a card.
const SUMMARY_CHARS: usize = 60;

/// The forms of a message, best first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Card,
    Post,
    Text,
}

impl Form {
    /// Returns the form that fits a text best.
    pub(super) fn of(text: &str) -> Self {
        let is_short = text.chars().count() <= SHORT_CHARS;
        let marks = ['*', '_', '`', '#', '|', '[', '>', '~', '<'];
        let is_listed = text.lines().any(|line| {
            let line = line.trim_start();
            line.starts_with("- ")
                || line.starts_with("+ ")
                || line.starts_with(|c: char| c.is_ascii_digit())
        });
        if is_short && !text.contains(marks) && !is_listed {
            Form::Text
        } else {
            Form::Card
        }
    }

    /// Returns the form to try when this one was refused.
    pub(super) fn below(self) -> Option<Self> {
        match self {
            Form::Card => Some(Form::Post),
            Form::Post => Some(Form::Text),
            Form::Text => None,
        }
    }

    /// Part of the idempotency key: another form is another message.
    pub(super) fn letter(self) -> char {
        match self {
            Form::Card => 'c',
            Form::Post => 'p',
            Form::Text => 't',
        }
    }

    /// Makes the message.
    pub(super) fn content(self, text: &str) -> Content {
        let (kind, json) = match self {
            Form::Card => ("interactive", answer_card(text)),
            Form::Post => {
                let paragraph = json!([{"tag": "md", "text": safe_mentions(text)}]);
                (
                    "post",
                    json!({"zh_cn": {"title": "", "content": [paragraph]}}),
                )
            }
            Form::Text => ("text", json!({"text": safe_mentions(text)})),
        };
        Content { kind, json }
    }
}

/// Makes a finished card.
pub(super) fn answer_card(text: &str) -> Value {
    card(
        &[markdown(ANSWER, &card_markdown(text))],
        false,
        &summary(text),
    )
}

/// Makes a text of lines, which is no Markdown, fit for a card: there a single line end may vanish (the service's page on
/// Markdown), so lines become paragraphs. Lists and fences keep theirs. What is not shown in a card stays as it is.
pub(super) fn keep_lines(text: &str) -> String {
    if Form::of(text) != Form::Card {
        return text.to_owned();
    }
    let is_item = |line: &str| line.trim_start().starts_with(['-', '+', '*', '|', '>']);
    let mut out = String::with_capacity(text.len() + 64);
    let mut blocks = Blocks::default();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        out.push_str(line);
        let is_edge = blocks.is_edge(line);
        let Some(next) = lines.peek() else { break };
        let is_plain = !blocks.is_open() && !is_edge && !is_fence(next);
        let is_apart = line.trim().is_empty() || next.trim().is_empty();
        let are_items = is_item(line) && is_item(next);
        let ends = if is_plain && !is_apart && !are_items {
            "\n\n"
        } else {
            "\n"
        };
        out.push_str(ends);
    }
    out
}

/// Makes the card that shows an answer while it is written.
pub(super) fn streaming_card(tools: &str, text: &str) -> Value {
    let elements = [
        markdown(TOOLS, if tools.is_empty() { " " } else { tools }),
        markdown(ANSWER, &stream_markdown(text)),
    ];
    card(&elements, true, "…")
}

fn card(elements: &[Value], streaming: bool, summary: &str) -> Value {
    json!({
        "schema": "2.0",
        "config": {
            "update_multi": true,
            "streaming_mode": streaming,
            "summary": {"content": summary},
        },
        "body": {"elements": elements},
    })
}

fn markdown(id: &str, text: &str) -> Value {
    json!({"tag": "markdown", "element_id": id, "content": text})
}

/// A card with a text and rows of buttons; each button has a label, a style and what it sends back.
pub(super) fn button_card(title: &str, text: &str, buttons: &[(String, &str, Value)]) -> Value {
    let mut elements = vec![json!({"tag": "markdown", "content": card_markdown(text)})];
    for (label, style, value) in buttons {
        elements.push(json!({
            "tag": "button",
            "text": {"tag": "plain_text", "content": label},
            "type": style,
            "behaviors": [{"type": "callback", "value": value}],
        }));
    }
    json!({
        "schema": "2.0",
        "config": {"update_multi": true, "summary": {"content": title}},
        "header": {"title": {"tag": "plain_text", "content": title}, "template": "blue"},
        "body": {"elements": elements},
    })
}

/// What an element shows while the answer grows: never empty, which the service refuses.
pub(super) fn stream_markdown(text: &str) -> String {
    let text = card_markdown(text);
    if text.trim().is_empty() {
        "…".to_owned()
    } else {
        text
    }
}

fn summary(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(SUMMARY_CHARS).collect()
}

/// In texts and posts `<at …>` would really mention somebody.
fn safe_mentions(text: &str) -> String {
    static AT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?i)<(/?at)").expect("a valid pattern"));
    AT.replace_all(text, "<\u{200b}$1").into_owned()
}

/// Makes Markdown fit for a card: pictures that are not uploaded and unknown tags would get it refused or vanish.
pub(super) fn card_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blocks = Blocks::default();
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        if blocks.is_edge(line) {
            // A fence must begin its line.
            out.push_str(line.trim_start());
        } else if blocks.is_open() {
            out.push_str(line);
        } else {
            out.push_str(&outside_code(line));
        }
    }
    out
}

/// Treats what stands outside of inline code.
fn outside_code(line: &str) -> String {
    static IMAGE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"!\[([^\]]*)\]\(([^)\s]*)[^)]*\)").expect("a valid pattern"));
    static BREAK: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?i)&#60;br ?/?>").expect("a valid pattern"));
    let plain = |text: &str| {
        let linked = IMAGE.replace_all(text, |found: &regex::Captures<'_>| {
            let (label, link) = (&found[1], &found[2]);
            let label = if label.is_empty() { "image" } else { label };
            if link.starts_with("img_") {
                found[0].to_owned()
            } else if link.starts_with("http://") || link.starts_with("https://") {
                format!("[{label}]({link})")
            } else {
                label.to_owned()
            }
        });
        // The one tag that models write and cards know, mostly in tables.
        BREAK
            .replace_all(&linked.replace('<', "&#60;"), "<br>")
            .into_owned()
    };
    let parts: Vec<&str> = line.split('`').collect();
    if parts.len().is_multiple_of(2) {
        // A backtick without its partner: none of it is code.
        return plain(line);
    }
    let treated = parts.iter().enumerate().map(|(at, part)| {
        if at % 2 == 0 {
            plain(part)
        } else {
            (*part).to_owned()
        }
    });
    treated.collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(Form::of("好的，明天见。"), Form::Text);
        assert_eq!(Form::of("**bold**"), Form::Card);
        assert_eq!(Form::of("1. one\n2. two"), Form::Card);
        assert_eq!(Form::of(&"长".repeat(201)), Form::Card);
        assert_eq!(Form::Card.below(), Some(Form::Post));
        assert_eq!(Form::Text.below(), None);
    }

    #[test]
    fn cards_hold_nothing_that_gets_them_refused() {
        let text = "See ![a cat](https://x.example/cat.png) ![](file.png) <b>x</b> `<kept>` a<b\n\
                    ```\n<kept> ![x](y)\n```\n<at id=all></at>";
        let shown = card_markdown(text);
        assert_eq!(
            shown,
            "See [a cat](https://x.example/cat.png) image &#60;b>x&#60;/b> `<kept>` a&#60;b\n\
             ```\n<kept> ![x](y)\n```\n&#60;at id=all>&#60;/at>"
        );
    }

    #[test]
    fn code_in_code_stays_as_it_is_and_line_breaks_break() {
        let nested = "````md\n```html\n<b>\n```\n````";
        assert_eq!(card_markdown(nested), nested);
        let shown = card_markdown(&format!("{nested}\n<b>"));
        assert_eq!(shown, format!("{nested}\n&#60;b>"));
        assert_eq!(
            card_markdown("~~~\n```\n<b>\n~~~\n<b>"),
            "~~~\n```\n<b>\n~~~\n&#60;b>"
        );
        assert_eq!(
            card_markdown("| a<br>b<BR/>c<br />d | `<br>` <brand> |"),
            "| a<br>b<br>c<br>d | `<br>` &#60;brand> |"
        );
    }

    #[test]
    fn mentions_of_a_model_mention_nobody() {
        for form in [Form::Post, Form::Text] {
            let json = form.content("<at user_id=\"all\">x</AT>").json.to_string();
            assert!(!json.to_lowercase().contains("<at"), "{json}");
            assert!(!json.to_lowercase().contains("</at"), "{json}");
        }
    }

    #[test]
    fn the_shapes_the_service_wants() {
        let post = Form::Post.content("hi").json;
        assert_eq!(post["zh_cn"]["content"][0][0]["tag"], "md");
        let card = Form::Card.content("hi").json;
        assert_eq!(card["schema"], "2.0");
        assert_eq!(card["config"]["update_multi"], true);
        assert_eq!(stream_markdown(" "), "…");
        let buttons = [("Yes".to_owned(), "primary", json!({"a": 1}))];
        let card = button_card("T", "text", &buttons);
        assert_eq!(card["body"]["elements"][1]["behaviors"][0]["value"]["a"], 1);
    }

    #[test]
    fn lines_stay_lines_in_a_card() {
        let status = "PicoBot, up 37 s.\n0 turns running\n[idle]";
        let kept = "PicoBot, up 37 s.\n\n0 turns running\n\n[idle]";
        assert_eq!(keep_lines(status), kept);
        assert_eq!(keep_lines(kept), kept);
        let list = "Jobs:\n\n- one\n- two\n```\na\nb\n```\nend";
        assert_eq!(keep_lines(list), list);
        // No card, no change.
        assert_eq!(keep_lines("a\nb"), "a\nb");
    }
}
