//! The rules about source files, each a pure function from a file to complaints.
//!
//! The tables here are the written form of the module picture in `ARCHITECTURE.md`; a new module needs a row.

use std::collections::BTreeMap;

use super::lexer::Token;

/// A source file.
pub(super) struct Source {
    /// Its path from the top of the repository, with `/`.
    pub(super) path: String,
    /// Its text.
    pub(super) text: String,
    /// The same, cut into tokens.
    pub(super) tokens: Vec<Token>,
}

/// Modules that hold the common words; everything above may import them.
const WORDS: [&str; 6] = [
    "chat",
    "wire",
    "config",
    "observability",
    "threads",
    "platform",
];

/// What each module may import besides [`WORDS`].
const ABOVE: [(&str, &[&str]); 18] = [
    ("storage", &[]),
    ("net", &[]),
    ("providers", &["net"]),
    ("skills", &[]),
    ("bus", &[]),
    ("bridge", &[]),
    ("sandbox", &[]),
    ("media", &[]),
    ("memory", &["storage"]),
    (
        "tools",
        &[
            "storage", "memory", "skills", "bus", "bridge", "sandbox", "media", "net",
        ],
    ),
    ("mcp", &["tools", "bridge", "sandbox"]),
    ("agent", &["providers", "tools"]),
    // It holds the agents' providers for the turns and words their failures for people; only `agent` calls them.
    (
        "session",
        &[
            "bus",
            "storage",
            "memory",
            "skills",
            "tools",
            "mcp",
            "media",
            "agent",
            "providers",
        ],
    ),
    ("scheduler", &["bus", "storage"]),
    ("channels", &["bus", "net"]),
    (
        "gateway",
        &[
            "storage",
            "net",
            "providers",
            "skills",
            "bus",
            "bridge",
            "sandbox",
            "media",
            "memory",
            "tools",
            "mcp",
            "agent",
            "session",
            "scheduler",
            "channels",
        ],
    ),
    (
        "cli",
        &[
            "storage",
            "net",
            "providers",
            "skills",
            "bus",
            "bridge",
            "sandbox",
            "media",
            "memory",
            "tools",
            "mcp",
            "agent",
            "session",
            "scheduler",
            "channels",
            "gateway",
            "client",
        ],
    ),
    ("client", &[]),
];

/// What the modules of the lowest level may import of each other.
const LOWEST: [(&str, &[&str]); 6] = [
    ("chat", &[]),
    ("wire", &["chat"]),
    ("config", &[]),
    ("observability", &["chat"]),
    ("threads", &[]),
    ("platform", &[]),
];

/// Crates that only some places may name.
const CRATES: [(&str, &[&str]); 15] = [
    ("image", &["media"]),
    ("rusqlite", &["storage"]),
    ("ureq", &["net", "channels/feishu"]),
    ("ratatui", &["client"]),
    ("crossterm", &["client"]),
    ("pulldown_cmark", &["client"]),
    ("tokio", &["bridge", "mcp", "tools/browser"]),
    ("rmcp", &["bridge", "mcp", "tools/browser"]),
    ("fantoccini", &["bridge", "mcp", "tools/browser"]),
    ("mio", &["gateway/door", "cli", "client"]),
    ("httparse", &["gateway/door", "cli", "client"]),
    (
        "tungstenite",
        &["gateway/door", "channels/feishu", "cli", "client"],
    ),
    ("prost", &["channels/feishu"]),
    ("rustls", &["channels/feishu", "client", "net"]),
    ("tiny_http", &["gateway/door", "cli", "client"]),
];

/// Crates that test code anywhere may use to play the other side.
const PEERS_IN_TESTS: [&str; 4] = ["mio", "httparse", "tungstenite", "tiny_http"];

/// Longest file without a stated reason.
const MAX_LINES: usize = 1_000;

/// The files whose tests need keys and are ignored by default.
const LIVE: [&str; 3] = [
    "tests/test_integration.rs",
    "tests/test_tool_calling.rs",
    "tests/test_request_format.rs",
];

type Rule = fn(&Source) -> Vec<String>;

const RULES: [Rule; 7] = [
    header,
    length,
    imports,
    crates,
    unsafe_code,
    ignored_tests,
    sleeping,
];

/// Applies every rule to a file.
pub(super) fn complaints(source: &Source) -> Vec<String> {
    RULES
        .iter()
        .flat_map(|rule| rule(source))
        .map(|complaint| format!("{}:{complaint}", source.path))
        .collect()
}

impl Source {
    /// Returns the module path of a file in `src`: `["gateway", "door"]` for `src/gateway/door/mod.rs`. `None` elsewhere.
    fn module(&self) -> Option<Vec<&str>> {
        let inner = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let inner = inner.strip_suffix("/mod").unwrap_or(inner);
        Some(match inner {
            "lib" | "main" => Vec::new(),
            inner => inner.split('/').collect(),
        })
    }

    fn is_test_file(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name == "tests.rs" || self.path.contains("/tests/") || self.path.starts_with("tests/")
    }

    fn word(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    fn before(&self, at: usize, n: usize) -> &str {
        at.checked_sub(n).map_or("", |at| self.word(at))
    }
}

fn header(source: &Source) -> Vec<String> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec!["1: the file does not open with a `//!` header".to_owned()]
}

fn length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let reason = source
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .any(|line| line.contains("Long because"));
    if lines <= MAX_LINES || reason {
        return Vec::new();
    }
    vec![format!(
        "{lines}: more than {MAX_LINES} lines and no `Long because` in the header"
    )]
}

fn imports(source: &Source) -> Vec<String> {
    let Some(module) = source.module() else {
        return Vec::new();
    };
    let Some(own) = module.first() else {
        return Vec::new();
    };
    let Some(allowed) = allowed(own) else {
        return vec![format!(
            "1: the module `{own}` is not in the table of imports"
        )];
    };
    named_modules(source, module.len())
        .into_iter()
        .filter(|(name, _)| name != own && !allowed.contains(&name.as_str()))
        .filter(|(name, _)| is_module(name))
        .map(|(name, line)| format!("{line}: `{own}` may not import `{name}`"))
        .chain(client_view(source, own))
        .collect()
}

fn allowed(module: &str) -> Option<Vec<&'static str>> {
    let lowest = LOWEST.iter().find(|(name, _)| *name == module);
    if let Some((_, others)) = lowest {
        return Some(others.to_vec());
    }
    let (_, others) = ABOVE.iter().find(|(name, _)| *name == module)?;
    Some(WORDS.iter().chain(*others).copied().collect())
}

fn is_module(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Finds the top-level names behind `crate::`, `picobot::` and behind enough `super::` to reach the top.
fn named_modules(source: &Source, module_depth: usize) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let from_top = match token.text.as_str() {
            "crate" => true,
            "picobot" => source.before(at, 1) != "::",
            "super" => supers_before(source, at) == module_depth + token.depth,
            _ => false,
        };
        if from_top && source.word(at + 1) == "::" {
            found.extend(names_at(source, at + 2));
        }
    }
    found
}

/// Counts this `super` and those directly before it.
fn supers_before(source: &Source, at: usize) -> usize {
    let mut n = 1;
    while source.before(at, 2 * n) == "super" && source.before(at, 2 * n - 1) == "::" {
        n += 1;
    }
    n
}

/// Returns the name at this place, or the first names of a group.
fn names_at(source: &Source, at: usize) -> Vec<(String, usize)> {
    let name = |at: usize| (source.word(at).to_owned(), source.tokens[at].line);
    match source.word(at) {
        "" | "super" => Vec::new(),
        "{" => {
            let mut names = Vec::new();
            let mut depth = 1;
            let mut at = at + 1;
            let mut expected = true;
            while depth > 0 && at < source.tokens.len() {
                match source.word(at) {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    "," if depth == 1 => expected = true,
                    _ if expected => {
                        names.push(name(at));
                        expected = false;
                    }
                    _ => {}
                }
                at += 1;
            }
            names
        }
        _ => vec![name(at)],
    }
}

/// `cli` may start the client but knows nothing of its view.
fn client_view(source: &Source, own: &str) -> Vec<String> {
    if own != "cli" {
        return Vec::new();
    }
    let is_view = |at: usize| {
        ["client", "::", "view"]
            .iter()
            .enumerate()
            .all(|(n, word)| source.word(at + n) == *word)
    };
    (0..source.tokens.len())
        .filter(|at| is_view(*at))
        .map(|at| {
            format!(
                "{}: `cli` may not import `client::view`",
                source.tokens[at].line
            )
        })
        .collect()
}

fn crates(source: &Source) -> Vec<String> {
    let Some(module) = source.module() else {
        return Vec::new();
    };
    let place = module.join("/");
    let table: BTreeMap<_, _> = CRATES.into_iter().collect();
    let mut found = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let Some(places) = table.get(token.text.as_str()) else {
            continue;
        };
        let in_test = token.in_test || source.is_test_file();
        if in_test && PEERS_IN_TESTS.contains(&token.text.as_str()) {
            continue;
        }
        let here = |allowed: &str| {
            place
                .strip_prefix(allowed)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if names_a_crate(source, at) && !places.iter().any(|allowed| here(allowed)) {
            found.push(format!(
                "{}: the crate `{}` may only be named in {}",
                token.line,
                token.text,
                places.join(", ")
            ));
        }
    }
    found
}

/// Tells a crate's name from a module, field or variable of the same name.
fn names_a_crate(source: &Source, at: usize) -> bool {
    let inner_path = source.before(at, 1) == "::" && is_word(source.before(at, 2));
    let path = source.word(at + 1) == "::";
    let import = source.before(at, 1) == "use";
    (path || import) && !inner_path && source.before(at, 1) != "."
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_alphabetic())
}

fn unsafe_code(source: &Source) -> Vec<String> {
    if source.path == "src/platform.rs" {
        return Vec::new();
    }
    lines_of(source, |source, at| source.word(at) == "unsafe")
        .map(|line| format!("{line}: `unsafe` belongs into src/platform.rs"))
        .collect()
}

fn ignored_tests(source: &Source) -> Vec<String> {
    if LIVE.contains(&source.path.as_str()) {
        return Vec::new();
    }
    lines_of(source, |source, at| {
        source.word(at) == "ignore" && source.before(at, 1) == "[" && source.before(at, 2) == "#"
    })
    .map(|line| format!("{line}: only the live suites may have ignored tests"))
    .collect()
}

fn sleeping(source: &Source) -> Vec<String> {
    lines_of(source, |source, at| {
        let call = source.word(at) == "sleep" && source.before(at, 1) == "::";
        call && source.before(at, 2) == "thread" || imports_sleep(source, at)
    })
    .map(|line| format!("{line}: `thread::sleep` waits for nothing in particular"))
    .collect()
}

/// Finds `sleep` in the group of `use std::thread::{…}`.
fn imports_sleep(source: &Source, at: usize) -> bool {
    if source.word(at) != "thread" || source.word(at + 1) != "::" || source.word(at + 2) != "{" {
        return false;
    }
    names_at(source, at + 2)
        .iter()
        .any(|(name, _)| name == "sleep")
}

fn lines_of(
    source: &Source,
    found: impl Fn(&Source, usize) -> bool,
) -> impl Iterator<Item = usize> {
    (0..source.tokens.len())
        .filter(move |at| found(source, *at))
        .map(|at| source.tokens[at].line)
}
