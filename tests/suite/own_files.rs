//! What tools are asked to do with PicoBot's own files must not harm them, whatever is refused.

use std::fs;

use serde_json::json;

use crate::support::model::ModelServer;
use crate::support::script::{Answer, Call};
use crate::support::stage::Stage;

/// The locks that a process holds on files by POSIX rules: SQLite's. They vanish when it closes any descriptor of the file.
fn locks(pid: u32) -> Vec<String> {
    let all = fs::read_to_string("/proc/locks").unwrap();
    let own = all.lines().filter(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.contains(&"POSIX") && words.contains(&pid.to_string().as_str())
    });
    let mut own: Vec<String> = own
        .map(|line| line.split_once(' ').unwrap().1.trim().to_owned())
        .collect();
    own.sort();
    own
}

#[test]
fn asking_for_the_database_leaves_its_locks_alone() {
    let names = [
        "picobot.db",
        "picobot.db-wal",
        "picobot.db-shm",
        "link.txt",
        "twin.txt",
    ];
    let mut calls = Vec::new();
    for name in names {
        for (tool, arguments) in [
            ("file_read", json!({"path": name})),
            ("file_write", json!({"path": name, "content": "x"})),
            (
                "file_edit",
                json!({"path": name, "edits": [{"old": "a", "new": "b"}]}),
            ),
            ("content_search", json!({"path": name, "pattern": "SQLite"})),
            ("file_search", json!({"path": name, "pattern": "*"})),
        ] {
            calls.push(Call::new(&format!("{tool}-{name}"), tool, arguments));
        }
    }
    for tool in ["content_search", "file_search"] {
        calls.push(Call::new(tool, tool, json!({"pattern": "*", "all": true})));
    }
    let stage = Stage::with_model(ModelServer::queue([
        Answer::text("ready"),
        Answer::calls(calls),
        Answer::text("done"),
    ]));
    let workspace = stage.home.workspace();
    std::os::unix::fs::symlink("picobot.db", workspace.join("link.txt")).unwrap();
    fs::hard_link(workspace.join("picobot.db"), workspace.join("twin.txt")).unwrap();
    let mut client = stage.client();
    assert_eq!(client.ask("hello"), "ready");
    let pid = stage.gateway.process().pid();
    let before = locks(pid);
    assert!(
        !before.is_empty(),
        "SQLite holds locks while the database is open"
    );
    assert_eq!(client.ask("go"), "done");
    assert_eq!(locks(pid), before);
    let results = stage.requests(3)[2].texts("tool").join("\n");
    assert!(results.matches("off limits").count() >= 15, "{results}");
    assert!(!results.contains("SQLite format"), "{results}");
}
