//! Finds what must survive a summary in plain text: paths, addresses, ids, and lines that tell of decisions, open items and
//! running work. Pure, by simple rules in English and Chinese; too much is better than too little.

/// Longest name that is kept.
const MAX_NAME: usize = 300;
/// Longest line that is kept, in characters.
const MAX_LINE_CHARS: usize = 240;

/// A name found in a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name<'t> {
    Path(&'t str),
    Address(&'t str),
    Id(&'t str),
}

/// Lists the names in a text, in order, repeats included.
pub(super) fn names(text: &str) -> impl Iterator<Item = Name<'_>> {
    text.split(|c: char| c.is_whitespace() || is_border(c))
        .filter_map(name)
}

/// Signs that end a name: quotes, brackets, and the punctuation of Chinese text.
fn is_border(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | ',' | ';' | '\\'
    ) || matches!(
        c,
        '“' | '”'
            | '‘'
            | '’'
            | '「'
            | '」'
            | '，'
            | '。'
            | '；'
            | '：'
            | '、'
            | '（'
            | '）'
            | '《'
            | '》'
            | '！'
            | '？'
    )
}

fn name(word: &str) -> Option<Name<'_>> {
    let word = word
        .trim_matches(|c: char| matches!(c, '.' | ':' | '!' | '?' | '*' | '='))
        .trim_start_matches("file://");
    // A leading dot is part of a name such as `.env` or `./a`; the one before a blank is not.
    let word = word.trim_end_matches('.');
    if word.len() < 3 || word.len() > MAX_NAME {
        return None;
    }
    if ["http://", "https://", "ws://", "wss://", "ssh://", "git@"]
        .iter()
        .any(|scheme| word.starts_with(scheme) && word.len() > scheme.len())
    {
        return Some(Name::Address(word));
    }
    // `key=value` and `a: b` leave the value to judge.
    let word = word.rsplit_once('=').map_or(word, |(_, value)| value);
    if word.len() < 3 {
        return None;
    }
    if is_path(word) {
        Some(Name::Path(word))
    } else if is_id(word) {
        Some(Name::Id(word))
    } else {
        None
    }
}

/// Endings of file names that are taken for paths even without a slash.
const ENDINGS: [&str; 62] = [
    "rs", "toml", "lock", "md", "txt", "json", "jsonl", "yaml", "yml", "xml", "html", "htm", "css",
    "js", "mjs", "ts", "tsx", "jsx", "py", "ipynb", "sh", "bash", "c", "h", "cc", "cpp", "hpp",
    "go", "java", "kt", "swift", "rb", "php", "pl", "lua", "sql", "db", "sqlite", "csv", "tsv",
    "log", "conf", "cfg", "ini", "env", "service", "pdf", "doc", "docx", "xls", "xlsx", "ppt",
    "pptx", "png", "jpg", "jpeg", "gif", "svg", "zip", "tar", "gz", "zst",
];

fn is_path(word: &str) -> bool {
    let starts_as_path = ["/", "./", "../", "~/"]
        .iter()
        .any(|start| word.starts_with(start) && word.len() > start.len() + 1);
    let has_letters = word.chars().any(char::is_alphanumeric);
    if !has_letters {
        return false;
    }
    if starts_as_path {
        return true;
    }
    let (stem, ending) = word.rsplit_once('.').unwrap_or((word, ""));
    let ending_known = ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) && !stem.is_empty();
    // "and/or" is no path, "src/agent" may be one; numbers such as 3/4 are none.
    let is_nested = word.contains('/')
        && !word.contains("//")
        && word.split('/').all(|piece| !piece.is_empty())
        && (word.matches('/').count() > 1 || ending_known || word.contains(['_', '-']));
    ending_known
        || is_nested
            && !word
                .chars()
                .all(|c| c.is_ascii_digit() || c == '/' || c == '-')
}

fn is_id(word: &str) -> bool {
    let body = word.strip_prefix('#').unwrap_or(word);
    if body.len() != word.len() {
        return !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_digit());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':');
    if body.len() < 4 || body.len() > 80 || !body.bytes().all(plain) {
        return false;
    }
    let digits = body.bytes().filter(u8::is_ascii_digit).count();
    let letters = body.bytes().filter(u8::is_ascii_alphabetic).count();
    let joined = body.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let is_hex = body.len() >= 7 && body.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (digits, letters) {
        (0, _) => false,
        // Dates and ranges such as 2026-11-30 are no ids; long numbers are.
        (_, 0) => !joined && !body.contains(':') && digits >= 6,
        _ => joined || is_hex,
    }
}

/// What a line tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line {
    Decision,
    Open,
    /// An open item that is done.
    Done,
    Running,
}

const DECISIONS: [&str; 22] = [
    "decision",
    "decided",
    "we will use",
    "let's use",
    "i will use",
    "agreed",
    "chose ",
    "chosen",
    "must ",
    "never ",
    "always ",
    "do not ",
    "don't ",
    "prefer",
    "remember",
    "决定",
    "选定",
    "约定",
    "必须",
    "不要",
    "记住",
    "以后",
];
const OPEN: [&str; 18] = [
    "todo",
    "to do:",
    "open item",
    "open:",
    "next:",
    "next step",
    "still to",
    "remaining",
    "fixme",
    "pending",
    "left to do",
    "待办",
    "下一步",
    "还需",
    "还要",
    "未完成",
    "剩下",
    "接下来",
];
const RUNNING: [&str; 14] = [
    "in the background",
    "running task",
    "is running",
    "still running",
    "background task",
    "background job",
    "started task",
    "started job",
    "pid ",
    "后台",
    "正在运行",
    "运行中",
    "仍在运行",
    "正在执行",
];

/// Lists the lines of a text that tell of decisions, open items and running work, cut to a bearable length.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (Line, String)> {
    text.lines().filter_map(|line| {
        let line = line.trim();
        let kind = kind(line)?;
        let item = match kind {
            Line::Open | Line::Done => unchecked(line),
            Line::Decision | Line::Running => line,
        };
        (!item.is_empty()).then(|| (kind, item.chars().take(MAX_LINE_CHARS).collect()))
    })
}

fn kind(line: &str) -> Option<Line> {
    if line.is_empty() {
        return None;
    }
    let bare = line.trim_start_matches(['-', '*', '+', ' ']);
    if bare.starts_with("[ ]") {
        return Some(Line::Open);
    }
    if bare.starts_with("[x]") || bare.starts_with("[X]") {
        return Some(Line::Done);
    }
    let lower = line.to_lowercase();
    let says = |marks: &[&str]| marks.iter().any(|mark| lower.contains(mark));
    if says(&RUNNING) {
        Some(Line::Running)
    } else if says(&OPEN) {
        Some(Line::Open)
    } else if says(&DECISIONS) {
        Some(Line::Decision)
    } else {
        None
    }
}

/// Takes the box of a list of tasks away.
fn unchecked(line: &str) -> &str {
    let bare = line.trim_start_matches(['-', '*', '+', ' ']);
    ["[ ]", "[x]", "[X]"]
        .iter()
        .find_map(|mark| bare.strip_prefix(mark))
        .unwrap_or(line)
        .trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_prose_code_and_chinese() {
        let found: Vec<Name<'_>> = names(
            "See `src/main.rs`, /etc/hosts. and https://example.com/a?b=1, task-77 (#42) \
             commit 9fceb02d 请看 笔记.md，和“/tmp/报告.txt”。 3/4 and/or e.g. 2026-11-30 v1.2",
        )
        .collect();
        assert_eq!(
            found,
            [
                Name::Path("src/main.rs"),
                Name::Path("/etc/hosts"),
                Name::Address("https://example.com/a?b=1"),
                Name::Id("task-77"),
                Name::Id("#42"),
                Name::Id("9fceb02d"),
                Name::Path("笔记.md"),
                Name::Path("/tmp/报告.txt"),
            ]
        );
    }

    #[test]
    fn lines_by_what_they_tell() {
        let text = "Hello.\nDecision: use WAL\n- [ ] write the report\n- [x] read it\nTODO: call Anna\n\
                    job 7 is running\n待办：买牛奶\n我们决定用 SQLite\n";
        let found: Vec<(Line, String)> = lines(text).collect();
        let kinds: Vec<Line> = found.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(
            kinds,
            [
                Line::Decision,
                Line::Open,
                Line::Done,
                Line::Open,
                Line::Running,
                Line::Open,
                Line::Decision
            ]
        );
        assert_eq!(found[1].1, "write the report");
        assert_eq!(found[2].1, "read it");
    }
}
