//! What a person asks the demo to do: one task is one tool call. Pure; runs on the turn that asks.
//!
//! Tasks joined by "then" become rounds, tasks joined by "and" become parallel calls of one round. Unknown text is
//! `None`, never an error: then the demo talks.

use serde_json::json;

use super::arithmetic;
use super::commands;
use super::finding;
use super::phrase::{Phrase, shape_of};

/// Most calls in one message and most rounds in one turn.
const MAX_TASKS: usize = 16;

/// One tool call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Task {
    /// `calculator` with this expression.
    Compute(String),
    /// `file_read` of this path.
    Read(String),
    /// `file_write`.
    Write {
        /// Where.
        path: String,
        /// What.
        content: String,
    },
    /// `file_edit` with one replacement.
    Edit {
        /// Where.
        path: String,
        /// The text to replace.
        old: String,
        /// The text to put there.
        new: String,
    },
    /// `bash` with this command.
    Run(String),
    /// `bash` with this command in the background.
    Start(String),
    /// `process`: all of them.
    Processes,
    /// `process`: a look at this one.
    Look(String),
    /// `process`: the end of this one.
    End(String),
    /// `content_search`.
    Search {
        /// The words.
        pattern: String,
        /// A name pattern or a folder.
        place: Option<String>,
    },
    /// `file_search` with this pattern.
    Find(String),
    /// `web_fetch` of this address.
    Fetch(String),
    /// `http_request` of this address.
    Request(String),
}

impl Task {
    /// Returns the name of the tool.
    pub(super) fn tool(&self) -> &'static str {
        match self {
            Self::Compute(_) => "calculator",
            Self::Read(_) => "file_read",
            Self::Write { .. } => "file_write",
            Self::Edit { .. } => "file_edit",
            Self::Run(_) | Self::Start(_) => "bash",
            Self::Processes | Self::Look(_) | Self::End(_) => "process",
            Self::Search { .. } => "content_search",
            Self::Find(_) => "file_search",
            Self::Fetch(_) => "web_fetch",
            Self::Request(_) => "http_request",
        }
    }

    /// Returns the arguments as JSON text.
    pub(super) fn arguments(&self) -> String {
        match self {
            Self::Compute(expression) => json!({ "expression": expression }),
            Self::Read(path) => json!({ "path": path }),
            Self::Write { path, content } => json!({ "path": path, "content": content }),
            Self::Edit { path, old, new } => {
                json!({ "path": path, "edits": [{ "old": old, "new": new }] })
            }
            Self::Run(command) => json!({ "command": command }),
            Self::Start(command) => json!({ "command": command, "background": true }),
            Self::Processes => json!({}),
            Self::Look(id) => json!({ "id": id, "wait_secs": commands::LOOK_SECS }),
            Self::End(id) => json!({ "id": id, "kill": true }),
            Self::Search { pattern, place } => match place {
                None => json!({ "pattern": pattern }),
                Some(glob) if glob.contains('*') => json!({ "pattern": pattern, "glob": glob }),
                Some(path) => json!({ "pattern": pattern, "path": path }),
            },
            Self::Find(pattern) => json!({ "pattern": pattern }),
            Self::Fetch(url) | Self::Request(url) => json!({ "url": url }),
        }
        .to_string()
    }
}

const THEN: [&str; 9] = [
    ", and then ",
    " and then ",
    ", then ",
    " then ",
    "，然后",
    "然后",
    "，接着",
    "接着",
    "；",
];

const AND: [&str; 10] = [
    ", and ",
    " and ",
    "，并且",
    "并且",
    "，以及",
    "以及",
    "，同时",
    "同时",
    "和",
    "，",
];

const POLITE: [&str; 9] = [
    "please ",
    "can you ",
    "could you ",
    "would you ",
    "then ",
    "请",
    "帮我",
    "麻烦你",
    "再",
];

const STOPS: [&str; 8] = ["?", "!", "？", "！", "。", "，", ";", "；"];

/// Reads a text as rounds of tasks; `None` if any part of it is not understood.
pub(super) fn rounds(text: &str) -> Option<Vec<Vec<Task>>> {
    let shape = shape_of(text)?;
    let parts = Phrase::new(text, &shape).parts(&THEN);
    if parts.len() > MAX_TASKS {
        return None;
    }
    parts.into_iter().map(group).collect()
}

/// Reads tasks joined by "and". The whole comes first: "the sum of 1 and 2" is one task.
fn group(phrase: Phrase<'_>) -> Option<Vec<Task>> {
    if let Some(task) = single(phrase) {
        return Some(vec![task]);
    }
    let parts = phrase.parts(&AND);
    if parts.len() < 2 || parts.len() > MAX_TASKS {
        return None;
    }
    let mut tasks: Vec<Task> = Vec::new();
    for part in parts {
        let task = single(part).or_else(|| another_file(part, tasks.last()?))?;
        tasks.push(task);
    }
    Some(tasks)
}

/// "read a.txt and b.txt": the verb holds for both.
fn another_file(phrase: Phrase<'_>, previous: &Task) -> Option<Task> {
    let Task::Read(_) = previous else { return None };
    file(tidy(phrase)).map(Task::Read)
}

fn single(phrase: Phrase<'_>) -> Option<Task> {
    let phrase = tidy(phrase);
    commands::task(phrase)
        .or_else(|| finding::task(phrase))
        .or_else(|| edit(phrase))
        .or_else(|| write(phrase))
        .or_else(|| read(phrase))
        .or_else(|| arithmetic::expression(phrase).map(Task::Compute))
}

fn tidy(phrase: Phrase<'_>) -> Phrase<'_> {
    let phrase = phrase.without_leading(&POLITE);
    // "5!" ends with a factorial, not with an exclamation mark.
    let stops = if phrase.shape().starts_with(|c: char| c.is_ascii_digit()) {
        &STOPS[2..]
    } else {
        &STOPS[..]
    };
    let phrase = phrase.without_trailing(stops);
    // The last dot of "read a.txt." ends the sentence.
    phrase.without_trailing(&["."])
}

fn edit(phrase: Phrase<'_>) -> Option<Task> {
    english_edit(phrase).or_else(|| chinese_edit(phrase))
}

fn english_edit(phrase: Phrase<'_>) -> Option<Task> {
    let rest = phrase.after(&["replace ", "change "])?;
    let (change, path) = rest.part_last(&[" in "])?;
    let (old, new) = change.part_first(&[" with ", " to ", " by "])?;
    replacement(path, old, new)
}

fn chinese_edit(phrase: Phrase<'_>) -> Option<Task> {
    let rest = phrase.after(&["把", "将", "在"])?;
    let (head, new) = rest.part_last(&["替换成", "替换为", "改成", "改为", "换成"])?;
    let (path, old) = head.part_first(&["里面的", "里的", "中的", "里把", "中把", "里", "中"])?;
    let old = old.without_leading(&["把", "将"]);
    replacement(path, old, new)
}

fn replacement(path: Phrase<'_>, old: Phrase<'_>, new: Phrase<'_>) -> Option<Task> {
    let old = old.word()?;
    Some(Task::Edit {
        path: file(path)?,
        old: old.to_owned(),
        new: new.quoted().or_else(|| new.word())?.to_owned(),
    })
}

fn write(phrase: Phrase<'_>) -> Option<Task> {
    let (content, path) = if let Some(rest) = phrase.after(&["write ", "save ", "put "]) {
        rest.part_last(&[" to ", " into ", " in "])?
    } else {
        let rest = phrase.after(&["把", "将"])?;
        rest.part_last(&["写入到", "写入", "写到", "写进", "保存到", "存到"])?
    };
    let text = match content.quoted() {
        Some(inside) => inside,
        None if content.text().is_empty() => return None,
        None => content.text(),
    };
    Some(Task::Write {
        path: file(path)?,
        content: text.to_owned(),
    })
}

/// Words that mean the whole workspace.
const EVERYTHING: [&str; 11] = [
    "files",
    "my files",
    "the files",
    "all files",
    "workspace",
    "the workspace",
    "文件",
    "所有文件",
    "全部文件",
    "工作区",
    "文件列表",
];

fn read(phrase: Phrase<'_>) -> Option<Task> {
    let english = ["read ", "show ", "list ", "open ", "cat ", "display "];
    let chinese = [
        "读取",
        "读一下",
        "读",
        "查看",
        "显示",
        "打开",
        "列出",
        "看看",
    ];
    let rest = phrase.after(&english).or_else(|| phrase.after(&chinese))?;
    let rest = rest.without_leading(&["me ", "一下"]);
    if EVERYTHING.contains(&rest.shape()) {
        return Some(Task::Read(".".to_owned()));
    }
    file(rest).map(Task::Read)
}

/// Reads a path: quoted, or one word that looks like a file because of a dot, a slash or its capitals ("README").
fn file(phrase: Phrase<'_>) -> Option<String> {
    let phrase = phrase
        .without_leading(&[
            "the file ",
            "the folder ",
            "file ",
            "folder ",
            "the ",
            "文件夹",
            "文件",
        ])
        .without_trailing(&["的内容", "文件", "里", "中"]);
    if let Some(inside) = phrase.quoted() {
        return (!inside.trim().is_empty()).then(|| inside.to_owned());
    }
    let word = phrase.word()?;
    let named = word.contains(['.', '/'])
        || word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let plain = !word.contains(['\'', '"', '`', '，', '。', '“', '「']);
    (named && plain && word.chars().any(char::is_alphanumeric)).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compute(expression: &str) -> Task {
        Task::Compute(expression.to_owned())
    }

    fn read(path: &str) -> Task {
        Task::Read(path.to_owned())
    }

    fn run(command: &str) -> Task {
        Task::Run(command.to_owned())
    }

    fn write(content: &str, path: &str) -> Task {
        Task::Write {
            path: path.to_owned(),
            content: content.to_owned(),
        }
    }

    fn edit(path: &str, old: &str, new: &str) -> Task {
        Task::Edit {
            path: path.to_owned(),
            old: old.to_owned(),
            new: new.to_owned(),
        }
    }

    fn check(text: &str, expected: Vec<Vec<Task>>) {
        assert_eq!(rounds(text), Some(expected), "{text:?}");
    }

    #[test]
    fn single_tasks_in_both_languages() {
        for (text, task) in [
            ("what is 17.5% of 2340?", compute("17.5% of 2340")),
            ("2340 的 17.5% 是多少？", compute("17.5% of 2340")),
            ("2+3!", compute("2+3!")),
            ("read notes.txt", read("notes.txt")),
            ("Please read the file notes.txt.", read("notes.txt")),
            ("show README", read("README")),
            ("read 'my notes'", read("my notes")),
            ("list files", read(".")),
            ("show me the files", read(".")),
            ("读取 notes.txt", read("notes.txt")),
            ("请读取笔记.txt。", read("笔记.txt")),
            ("查看文件 a/b.md 的内容", read("a/b.md")),
            ("列出文件", read(".")),
            ("write 'hello' to a.txt", write("hello", "a.txt")),
            ("write '' to a.txt", write("", "a.txt")),
            (
                "Write \"salt and pepper then\" to a.txt!",
                write("salt and pepper then", "a.txt"),
            ),
            ("save hello world into a.txt", write("hello world", "a.txt")),
            ("把 hello 写入 a.txt", write("hello", "a.txt")),
            ("把“你好，然后”写入 a.txt", write("你好，然后", "a.txt")),
            ("将 '买牛奶' 保存到 待办.txt", write("买牛奶", "待办.txt")),
            ("replace 'a' with 'b' in a.txt", edit("a.txt", "a", "b")),
            (
                "change 'red' to 'blue' in the file c.txt",
                edit("c.txt", "red", "blue"),
            ),
            ("replace 'a' with '' in a.txt", edit("a.txt", "a", "")),
            ("把 a.txt 里的 '红' 替换成 '蓝'", edit("a.txt", "红", "蓝")),
            ("在 a.txt 中把“红”改为“蓝”", edit("a.txt", "红", "蓝")),
            ("run `ls -l and more`", run("ls -l and more")),
            ("execute the command `date`", run("date")),
            ("执行 `ls`", run("ls")),
            ("请运行命令 `pwd`。", run("pwd")),
        ] {
            check(text, vec![vec![task]]);
        }
    }

    #[test]
    fn joined_tasks() {
        check(
            "compute 2+2 and 3*3",
            vec![vec![compute("2+2"), compute("3*3")]],
        );
        check(
            "计算 2+2 和 3*3",
            vec![vec![compute("2+2"), compute("3*3")]],
        );
        check(
            "计算 2+2，并且读取 a.txt",
            vec![vec![compute("2+2"), read("a.txt")]],
        );
        check(
            "read a.txt and b.txt",
            vec![vec![read("a.txt"), read("b.txt")]],
        );
        check(
            "write 'x' to a.txt, then read a.txt",
            vec![vec![write("x", "a.txt")], vec![read("a.txt")]],
        );
        check(
            "把 x 写入 a.txt，然后读取 a.txt",
            vec![vec![write("x", "a.txt")], vec![read("a.txt")]],
        );
        check("sum of 1 and 2", vec![vec![compute("sum(1, 2)")]]);
    }

    #[test]
    fn conversation_is_no_task() {
        for text in [
            "",
            "hello",
            "你好",
            "read me a story",
            "show me the way",
            "list ideas for dinner",
            "write a poem to Anna",
            "run away",
            "run ``",
            "执行计划",
            "查看天气",
            "2+2 and some",
            "replace him",
            "把门打开",
            "then",
            "and",
        ] {
            assert_eq!(rounds(text), None, "{text:?}");
        }
        assert_eq!(rounds(&"1+1 and ".repeat(40)), None);
        assert_eq!(rounds(&"1+1 then ".repeat(4_000)), None);
    }

    #[test]
    fn arguments_are_json_objects() {
        let task = edit("a \"b\".txt", "x\n", "y");
        let value: serde_json::Value = serde_json::from_str(&task.arguments()).unwrap();
        assert_eq!(value["path"], "a \"b\".txt");
        assert_eq!(value["edits"][0]["old"], "x\n");
        assert_eq!(value["edits"][0]["new"], "y");
    }

    proptest! {
        #[test]
        fn never_panics(
            text in "(read |write |把|写入|执行|in |with |to |然后|and |'|`|“|”|a\\.txt|.){0,30}"
        ) {
            let _ = rounds(&text);
        }
    }
}
