//! Keeps the shape of the source: who may import whom, who may name which crate, headers, lengths, forgotten files.
//!
//! Reads `src/` and `tests/` as text; compiles nothing.

mod lexer;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use rules::Source;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
        tokens: lexer::tokens(text),
    }
}

fn sources() -> Vec<Source> {
    ["src", "tests"]
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .map(|file| {
            let path = file.strip_prefix(root()).unwrap().to_str().unwrap();
            source(path, &fs::read_to_string(&file).unwrap())
        })
        .collect()
}

#[test]
fn every_file_keeps_the_rules() {
    let sources = sources();
    assert!(sources.len() > 10, "the source was not found");
    let complaints: Vec<String> = sources.iter().flat_map(rules::complaints).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn no_file_is_forgotten() {
    let forgotten: Vec<String> = ["src", "tests/suite", "tests/bench"]
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .filter(|file| !is_listed(file))
        .map(|file| file.display().to_string())
        .collect();
    assert!(forgotten.is_empty(), "no `mod` names {forgotten:?}");
}

/// Tells whether the file that should list this one with `mod` does.
fn is_listed(file: &Path) -> bool {
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let folder = file.parent().unwrap();
    if ["lib", "main"].contains(&stem) {
        return true;
    }
    let (name, parent) = if stem == "mod" {
        let name = folder.file_name().unwrap().to_str().unwrap();
        (name, folder.parent().unwrap())
    } else {
        (stem, folder)
    };
    let beside = parent.with_extension("rs");
    let lists = [
        parent.join("mod.rs"),
        parent.join("lib.rs"),
        parent.join("main.rs"),
        beside,
    ];
    lists.iter().any(|list| {
        let text = fs::read_to_string(list).unwrap_or_default();
        lexer::tokens(&text)
            .windows(3)
            .any(|words| words[0].text == "mod" && words[1].text == name && words[2].text == ";")
    }) || has_path_attribute(folder, file)
}

/// Tells whether a file beside this one lists it with `#[path = "…"]`.
fn has_path_attribute(folder: &Path, file: &Path) -> bool {
    let name = file.file_name().unwrap().to_str().unwrap();
    let attribute = format!("#[path = \"{name}\"]");
    rust_files(folder)
        .iter()
        .any(|other| fs::read_to_string(other).unwrap().contains(&attribute))
}

#[track_caller]
fn check(path: &str, body: &str, expected: &[&str]) {
    let complaints = rules::complaints(&source(path, &format!("//! Header.\n{body}")));
    assert_eq!(complaints.len(), expected.len(), "{complaints:?}");
    for (complaint, part) in complaints.iter().zip(expected) {
        assert!(complaint.contains(part), "{complaint:?} lacks {part:?}");
    }
}

#[test]
fn imports_are_found_in_every_form() {
    let upward = "`tools` may not import `session`";
    check("src/tools/a.rs", "use crate::session::Turn;", &[upward]);
    check(
        "src/tools/a.rs",
        "fn f() { crate::session::run() }",
        &[upward],
    );
    check(
        "src/tools/a.rs",
        "use crate::{bus, session::{agent, Turn}};",
        &[upward],
    );
    check(
        "src/tools/a.rs",
        "use super::super::session::Turn;",
        &[upward],
    );
    check(
        "src/tools/mod.rs",
        "mod t { use super::super::{chat::Role, session}; }",
        &[upward],
    );
    check(
        "src/tools/a.rs",
        "// crate::session\nconst A: &str = \"crate::session\";",
        &[],
    );
    check(
        "src/tools/a.rs",
        "use super::session; use self::agent;",
        &[],
    );
    check(
        "src/tools/a.rs",
        "use crate::{chat::Role, storage, sandbox};",
        &[],
    );
    check(
        "src/cli/a.rs",
        "use crate::client::view::draw;",
        &["client::view"],
    );
    check("src/cli/a.rs", "use crate::client::run;", &[]);
    check("src/main.rs", "use picobot::session;", &[]);
    check(
        "src/chat/a.rs",
        "use crate::threads::spawn;",
        &["`chat` may not import `threads`"],
    );
    check("src/extra.rs", "", &["`extra` is not in the table"]);
}

#[test]
fn crates_are_found_in_every_form() {
    for body in [
        "use rusqlite::Connection;",
        "use rusqlite as db;",
        "fn f(c: &rusqlite::Connection) {}",
        "fn f(c: &::rusqlite::Connection) {}",
    ] {
        check("src/session/a.rs", body, &["the crate `rusqlite`"]);
        check("src/storage/a.rs", body, &[]);
    }
    check("src/net/mod.rs", "use ureq::Agent;", &[]);
    check(
        "src/tools/http_requests.rs",
        "use ureq::Agent;",
        &["the crate `ureq`"],
    );
    check(
        "src/session/a.rs",
        "fn f() { self.mio.go(); crate::chat::mio::go(); }",
        &[],
    );
    let test = "#[cfg(test)]\nmod tests { use tungstenite::connect; }";
    check("src/session/a.rs", test, &[]);
    check(
        "src/session/a.rs",
        "use tungstenite::connect;",
        &["the crate `tungstenite`"],
    );
}

#[test]
fn the_other_rules_can_fail() {
    let no_header = rules::complaints(&source("src/lib.rs", "fn f() {}\n"));
    assert!(no_header[0].contains("header"), "{no_header:?}");
    check("src/lib.rs", &"\n".repeat(1_001), &["more than 1000 lines"]);
    check(
        "src/lib.rs",
        &format!("//! Long because of a table.\n{}", "\n".repeat(1_001)),
        &[],
    );
    check("src/lib.rs", "fn f() { unsafe { g() } }", &["`unsafe`"]);
    check("src/platform.rs", "fn f() { unsafe { g() } }", &[]);
    check(
        "tests/suite/a.rs",
        "#[ignore]\nfn f() {}",
        &["ignored tests"],
    );
    check(
        "tests/test_integration.rs",
        "#[ignore = \"why\"]\nfn f() {}",
        &[],
    );
    check(
        "tests/suite/a.rs",
        "fn f() { std::thread::sleep(d) }",
        &["sleep"],
    );
    check("src/lib.rs", "use std::thread::{self, sleep};", &["sleep"]);
}
