//! `docs/tools.md` is made from the tools themselves. `UPDATE=1 cargo test --test suite tools_page` writes it anew.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use picobot::chat::SessionId;
use picobot::sandbox::{Policy, Sandbox};
use picobot::tools::{
    Bash, BashSettings, Courier, Processes, Tool, WebSettings, builtin, send_message,
};
use serde_json::Value;

/// What no schema says: stands above the table of a tool.
const NOTES: [(&str, &str); 11] = [
    (
        "calculator",
        "Expressions with units of percent, functions and statistics; exact where numbers are.",
    ),
    (
        "file_read",
        "At most 15,000 characters a call; the last line says where to go on. Text may be UTF-8, UTF-16, GB18030 (GBK), Big5, \
         Shift-JIS, EUC-JP, EUC-KR or a Windows code page. Models that see get images; other binary files are named. Results \
         that were too long are read from `.picobot/results/` by their names.",
    ),
    (
        "file_write",
        "Makes missing folders. Atomic: temporary file, sync, rename. Refuses if the file changed since the dialog read it.",
    ),
    (
        "file_edit",
        "Up to 100 edits, all or none. `old` is looked for to the letter, then without white space at line ends, then without \
         indentation, then by likeness in a file that the dialog has read; what fits in several places is refused with the \
         lines. Encoding and line ends stay.",
    ),
    (
        "file_search",
        "Leaves out hidden files and what `.gitignore` and `.ignore` name, unless `all` is set. Links are not followed. At most \
         100 files are shown.",
    ),
    (
        "content_search",
        "Regular expressions of Rust's `regex`; what is none is searched for as it stands. Binary files are left out, other \
         encodings are decoded. At most 100 lines are shown; `mode` `files` and `count` give an overview.",
    ),
    (
        "web_fetch",
        "Pages become Markdown with title and links; GBK and other charsets are decoded; scripts do not run. 12,000 characters \
         at a time; reading on downloads nothing. Only public addresses, 5 MiB (2 MiB as text), 30 s, 5 redirects. The text is marked as \
         untrusted.",
    ),
    (
        "http_request",
        "The same limits and the same guard. Anything but GET, HEAD and OPTIONS asks a person first, unless a rule allows it. \
         Authorization and custom headers are dropped when a redirect leads elsewhere; what sends data does not \
         follow there, and a host that a rule denies or asks about is not visited. \"Always\" holds for one method, scheme, host and port.",
    ),
    (
        "bash",
        "Runs in the sandbox; see `security.md`. Not there with `sandbox.level` `off`.",
    ),
    (
        "process",
        "For commands that `bash` started in the background. A look waits for news a second at least.",
    ),
    (
        "send_message",
        "Only there when a channel that pushes is configured (Feishu). Pictures become part of the message, other files follow it; \
         1 byte to 30 MB each, at most 10. Another chat must have written to the bot before, and asks a person first, unless a rule \
         allows it; \"always\" holds for that chat. It is stored before the call ends, sent in order and tried again.",
    ),
];

const HEAD: &str = "\
# Tools

What models can do, made from the tools themselves: do not edit, see `tests/suite/tools_page.rs`.

All file tools stay inside the workspace, whatever `..`, links and races try, and leave PicoBot's own files, `.env`, `.git/hooks`
and `.git/config` alone. Arguments are fitted to the schema; what does not fit goes back to the model as a sentence. A result of
more than 16,000 characters is kept in `.picobot/results/` of the workspace (`tools.results` in `config.md`), with its beginning and
end shown. The same call with the same result is pointed out at the third time and ends the turn at the sixth. Every call is
stored with its duration, outcome and size. `picobot prompt-size` prints what each tool costs in every request.
";

/// Takes nothing; only the tool's words are of use here.
struct Nobody;

impl Courier for Nobody {
    fn post(&self, _: &SessionId, _: Option<&str>, _: &str) -> Result<String, String> {
        Err("nothing is sent".to_owned())
    }
}

fn page() -> String {
    let sandbox = Arc::new(Sandbox::new(Policy::new(0o022)));
    let bash = Bash::new(BashSettings {
        sandbox: sandbox.clone(),
        timeout: Duration::from_secs(120),
        processes: Processes::new(sandbox, Arc::default()),
    });
    let mut out = HEAD.to_owned();
    let tools = builtin(Some(bash), WebSettings::default());
    for tool in tools.into_iter().chain([send_message(Arc::new(Nobody))]) {
        section(&mut out, tool.as_ref());
    }
    out
}

fn section(out: &mut String, tool: &dyn Tool) {
    let name = tool.name();
    let _ = write!(out, "\n## `{name}`\n\n{}\n", tool.description());
    if let Some((_, note)) = NOTES.iter().find(|(known, _)| *known == name) {
        let _ = write!(out, "\n{note}\n");
    }
    let schema = tool.parameters();
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    out.push_str("\n| Argument | Type | Needed | Meaning |\n|---|---|---|---|\n");
    for (argument, about) in schema["properties"].as_object().into_iter().flatten() {
        let needed = if required.contains(&argument.as_str()) {
            "yes"
        } else {
            ""
        };
        let words = about["description"].as_str().unwrap_or_default();
        let kind = kind(about);
        let _ = writeln!(out, "| `{argument}` | {kind} | {needed} | {words} |");
    }
}

fn kind(schema: &Value) -> String {
    if let Some(choices) = schema["enum"].as_array() {
        let words: Vec<String> = choices
            .iter()
            .map(|choice| format!("`{}`", choice.as_str().unwrap_or_default()))
            .collect();
        return words.join(", ");
    }
    let name = schema["type"].as_str().unwrap_or("any");
    if name == "array" {
        let members: Vec<&String> = schema["items"]["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(member, _)| member)
            .collect();
        if members.is_empty() {
            let of = schema["items"]["type"].as_str().unwrap_or("any");
            return format!("list of {of}s");
        }
        let members: Vec<String> = members.iter().map(|member| format!("`{member}`")).collect();
        return format!("list of {{{}}}", members.join(", "));
    }
    name.to_owned()
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tools.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/tools.md is not what the tools say; run UPDATE=1 cargo test --test suite tools_page"
    );
}
