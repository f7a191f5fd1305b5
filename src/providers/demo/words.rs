//! What the demo says, in English and Chinese. Pure.
//!
//! Every text that a person may take for an answer ends with the mark, so that nobody takes it for a model's.

use crate::chat::ToolResult;

use super::phrase::shape_of;
use super::tasks::Task;

/// Longest piece of a tool result that an answer repeats, in characters.
const MAX_RESULT_CHARS: usize = 4_000;

/// The language of a question and of its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Language {
    English,
    Chinese,
}

impl Language {
    /// Tells the language of a text: Chinese as soon as a Chinese character stands outside quotes; in a sentence that
    /// begins with a Latin letter, file names do not count either.
    pub(super) fn of(text: &str) -> Self {
        let shape = shape_of(text);
        let shape = shape.as_deref().unwrap_or(text).trim_start();
        let latin = shape.starts_with(|c: char| c.is_ascii_alphabetic());
        let chinese = shape
            .split_whitespace()
            .filter(|word| !(latin && looks_like_file(word)))
            .any(|word| word.chars().any(is_chinese));
        if chinese {
            Self::Chinese
        } else {
            Self::English
        }
    }

    fn pick(self, english: &'static str, chinese: &'static str) -> &'static str {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }
}

fn looks_like_file(word: &str) -> bool {
    word.trim_end_matches(['.', '?', '!', ','])
        .contains(['.', '/'])
}

fn is_chinese(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

/// Ends a text with the mark.
pub(super) fn marked(language: Language, text: &str) -> String {
    let mark = language.pick("(demo provider)", "(演示模式)");
    format!("{}\n\n{mark}", text.trim_end())
}

/// Says what the demo is, what it can do and how to connect a model.
pub(super) fn introduction(language: Language) -> &'static str {
    language.pick(
        "Hello! I am PicoBot's built-in demo, not a language model: I understand a few fixed phrases and run real tools \
for them, without a network.\n\n\
Try:\n\
- what is 17.5% of 2340?\n\
- write 'buy milk' to notes.txt, then read notes.txt\n\
- run `date`\n\
- play slow 10, play 429, play long markdown\n\
- what did I say first?\n\n\
To talk to a real model, put its address, key and name into ~/.picobot/config.json. The gateway leaves an example in \
~/.picobot/config.example.json, and README.md explains it.",
        "你好！我是 PicoBot 内置的演示程序，不是语言模型：我只懂几种固定的说法，但会真正调用工具，而且不需要网络。\n\n\
可以试试：\n\
- 2340 的 17.5% 是多少？\n\
- 把 '买牛奶' 写入 notes.txt，然后读取 notes.txt\n\
- 执行 `date`\n\
- 模拟慢 10、模拟 429、模拟长文\n\
- 我第一句话说了什么？\n\n\
要连接真正的模型，请把它的地址、密钥和名称写进 ~/.picobot/config.json。网关会在 ~/.picobot/config.example.json \
留下一个例子，README.md 里有说明。",
    )
}

/// Names the images that came with a message.
pub(super) fn images(language: Language, images: &[String]) -> String {
    match language {
        Language::English => format!(
            "The demo cannot see, but this is what came with your message: {}",
            images.join("; ")
        ),
        Language::Chinese => format!("演示程序看不见图片，但收到了：{}", images.join("；")),
    }
}

/// Repeats what the person said first in this dialog.
pub(super) fn first_words(language: Language, first: &str) -> String {
    match language {
        Language::English => format!("The first thing you said in this dialog was: {first}"),
        Language::Chinese => format!("你在这个对话里说的第一句话是：{first}"),
    }
}

/// Says that a task would need a tool that was not offered.
pub(super) fn missing_tool(language: Language, tool: &str) -> String {
    match language {
        Language::English => format!("That takes the tool `{tool}`, which is not available here."),
        Language::Chinese => format!("这需要工具 `{tool}`，但现在不能使用它。"),
    }
}

/// Says how many rounds of "play tools" were run.
pub(super) fn rounds_done(language: Language, done: usize, wanted: usize) -> String {
    match language {
        Language::English => format!("Done: {done} of {wanted} tool rounds."),
        Language::Chinese => format!("完成：{wanted} 轮工具调用中的 {done} 轮。"),
    }
}

/// The two halves of the answer of "play slow".
pub(super) fn slow(language: Language, secs: u64) -> (String, String) {
    match language {
        Language::English => (
            format!("Now {secs} seconds of silence… "),
            "and here is the rest of the answer.".to_owned(),
        ),
        Language::Chinese => (
            format!("现在沉默 {secs} 秒…… "),
            "这是回答的后一半。".to_owned(),
        ),
    }
}

/// The reasoning and the answer of "play reasoning".
pub(super) fn reasoning(language: Language) -> (&'static str, &'static str) {
    (
        language.pick(
            "The person wants to see reasoning. So this text comes first, apart from the answer.",
            "用户想看推理过程。所以先给出这段与回答分开的文字。",
        ),
        language.pick(
            "That was some reasoning; this is the answer.",
            "刚才是推理，这是回答。",
        ),
    )
}

/// The text at whose end the stream breaks.
pub(super) fn truncated(language: Language) -> &'static str {
    language.pick(
        "(demo provider) This answer breaks off in the middle of a",
        "(演示模式) 这个回答会在中间断",
    )
}

/// Tells what the tools gave back.
pub(super) fn outcome(language: Language, done: &[(Task, &ToolResult)]) -> String {
    let lines: Vec<String> = done
        .iter()
        .map(|(task, result)| one_outcome(language, task, result))
        .collect();
    lines.join("\n\n")
}

fn one_outcome(language: Language, task: &Task, result: &ToolResult) -> String {
    let content = shorten(result.content.trim());
    if result.is_error {
        let tool = task.tool();
        return match language {
            Language::English => format!("The tool `{tool}` failed: {content}"),
            Language::Chinese => format!("工具 `{tool}` 失败：{content}"),
        };
    }
    match (task, language) {
        (Task::Compute(expression), Language::English) => {
            format!("The calculator says: {}", equation(expression, &content))
        }
        (Task::Compute(expression), Language::Chinese) => {
            format!("计算器的结果：{}", equation(expression, &content))
        }
        (Task::Read(path), Language::English) => {
            format!("Here is `{path}`:\n\n{}", fenced(&content))
        }
        (Task::Read(path), Language::Chinese) => {
            format!("`{path}` 的内容：\n\n{}", fenced(&content))
        }
        (Task::Run(command), Language::English) => {
            format!("`{command}` gave:\n\n{}", fenced(&content))
        }
        (Task::Run(command), Language::Chinese) => {
            format!("`{command}` 的输出：\n\n{}", fenced(&content))
        }
        (Task::Start(command), Language::English) => {
            format!("Started `{command}`:\n\n{}", fenced(&content))
        }
        (Task::Start(command), Language::Chinese) => {
            format!("已启动 `{command}`：\n\n{}", fenced(&content))
        }
        (Task::Processes | Task::Look(_) | Task::End(_), _) => fenced(&content),
        (Task::Search { pattern: what, .. } | Task::Find(what), Language::English) => {
            format!("Looking for `{what}` gave:\n\n{}", fenced(&content))
        }
        (Task::Search { pattern: what, .. } | Task::Find(what), Language::Chinese) => {
            format!("查找 `{what}` 的结果：\n\n{}", fenced(&content))
        }
        (Task::Fetch(url) | Task::Request(url), Language::English) => {
            format!("{url} gave:\n\n{}", fenced(&content))
        }
        (Task::Fetch(url) | Task::Request(url), Language::Chinese) => {
            format!("{url} 的内容：\n\n{}", fenced(&content))
        }
        (Task::Write { path, .. } | Task::Edit { path, .. }, Language::English) => {
            format!("Done with `{path}`: {content}")
        }
        (Task::Write { path, .. } | Task::Edit { path, .. }, Language::Chinese) => {
            format!("`{path}` 已处理：{content}")
        }
    }
}

/// Shows question and result, unless the result already does.
fn equation(expression: &str, content: &str) -> String {
    if content.contains('=') || content.contains('\n') {
        content.to_owned()
    } else if content.starts_with('≈') {
        format!("{expression} {content}")
    } else {
        format!("{expression} = {content}")
    }
}

fn shorten(content: &str) -> String {
    match content.char_indices().nth(MAX_RESULT_CHARS) {
        Some((end, _)) => format!("{}…", &content[..end]),
        None => content.to_owned(),
    }
}

/// Puts a text into a code block whose fence is longer than any in the text.
fn fenced(content: &str) -> String {
    let mut fence = "```".to_owned();
    while content.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}\n{content}\n{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages() {
        for (text, language) in [
            ("hello", Language::English),
            ("12*(3+4)", Language::English),
            ("read 笔记.txt", Language::English),
            ("what does '你好' mean", Language::English),
            ("你好", Language::Chinese),
            ("读取 notes.txt", Language::Chinese),
            ("请读取笔记.txt", Language::Chinese),
            ("用 Python 写 hello world", Language::Chinese),
            ("", Language::English),
        ] {
            assert_eq!(Language::of(text), language, "{text:?}");
        }
    }

    #[test]
    fn equations_keep_the_kind_of_equality() {
        assert_eq!(equation("2+2", "4"), "2+2 = 4");
        assert_eq!(equation("sqrt(2)", "≈ 1.41"), "sqrt(2) ≈ 1.41");
        assert_eq!(equation("x", "x = 2"), "x = 2");
    }

    #[test]
    fn fences_are_longer_than_the_text() {
        assert_eq!(fenced("a"), "```\na\n```");
        assert_eq!(fenced("```` x"), "`````\n```` x\n`````");
    }
}
