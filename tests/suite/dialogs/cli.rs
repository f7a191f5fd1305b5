//! `picobot sessions`, with a gateway and without.

use std::fs;

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::process::{self, Finished};
use crate::support::python::sqlite;
use crate::support::script::{Answer, Call};
use crate::support::ws::Client;

fn sessions(home: &Home, arguments: &[&str]) -> Finished {
    process::run(command(home, "sessions").args(arguments))
}

#[track_caller]
fn ok(home: &Home, arguments: &[&str]) -> String {
    let done = sessions(home, arguments);
    assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
    done.stdout
}

#[track_caller]
fn refused(home: &Home, arguments: &[&str], code: i32, words: &str) {
    let done = sessions(home, arguments);
    assert_eq!(done.code, Some(code), "{arguments:?}: {}", done.stderr);
    assert!(
        done.stderr.contains(words),
        "{arguments:?}: {}",
        done.stderr
    );
    assert_eq!(done.stdout, "", "{arguments:?}");
}

/// Two dialogs of the local chat and one of another.
fn home() -> Home {
    let model = ModelServer::queue([
        Answer::calls([Call::new("c1", "calculator", json!({"expression": "6*7"}))]),
        Answer::text("It is 42."),
        Answer::text("好的。"),
        Answer::text("Elsewhere."),
    ]);
    let home = Home::with_model(&model);
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    client.ask("what is 6*7? The key is test-key.");
    client.request("/new 整理 📁");
    client.ask("整理下载目录");
    client.send_json(&json!({"type": "user_input", "chat_id": "other", "content": "hello there"}));
    client.until(&["assistant_response"]);
    assert!(gateway.term().success());
    home
}

/// Everything that only reads gives the same at the gateway and in the file.
#[test]
fn reading_is_the_same_with_and_without_a_gateway() {
    let home = home();
    let requests: [&[&str]; 8] = [
        &[],
        &["list", "--json", "--all"],
        &["-n", "1"],
        &["show", "整理"],
        &["show", "d1", "-n", "1", "--json"],
        &["search", "IT IS"],
        &["search", "下载", "--json"],
        &["export", "d1"],
    ];
    let without: Vec<String> = requests
        .iter()
        .map(|arguments| ok(&home, arguments))
        .collect();
    let json_without = ok(&home, &["export", "d1", "--json"]);
    let gateway = Gateway::start(&home);
    for (arguments, expected) in requests.iter().zip(&without) {
        assert_eq!(&ok(&home, arguments), expected, "{arguments:?}");
    }
    assert_eq!(ok(&home, &["export", "d1", "--json"]), json_without);
    drop(gateway);

    let table = &without[0];
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.contains("cli_chat:other:d3"), "{table}");
    assert!(table.contains("整理 📁"), "{table}");
    let list: Value = serde_json::from_str(&without[1]).unwrap();
    assert_eq!(
        (&list["schema"], list["sessions"].as_array().unwrap().len()),
        (&json!(1), 3)
    );
    assert!(
        without[2].ends_with("2 more; -n shows them\n"),
        "{}",
        without[2]
    );
    assert!(without[3].contains("user · ") && without[3].contains("整理下载目录"));
    let shown: Value = serde_json::from_str(&without[4]).unwrap();
    assert_eq!(shown["has_more"], true);
    assert_eq!(shown["messages"][0]["content"], "It is 42.");
    assert!(
        without[5].contains("assistant: It is 42."),
        "{}",
        without[5]
    );
    let found: Value = serde_json::from_str(&without[6]).unwrap();
    assert_eq!(found["results"][0]["session_id"], "cli_chat:local:d2");
    let text = &without[7];
    assert!(
        text.contains("The key is ***.") && !text.contains("test-key"),
        "{text}"
    );
    assert!(
        text.contains("<summary>calculator: done</summary>"),
        "{text}"
    );
    let exported: Value = serde_json::from_str(&json_without).unwrap();
    assert_eq!(exported["messages"].as_array().unwrap().len(), 4);
    assert!(!json_without.contains("test-key"));
}

#[test]
fn dialogs_are_renamed_and_removed() {
    let home = home();
    for with_gateway in [true, false] {
        let gateway = with_gateway.then(|| Gateway::start(&home));
        let title = if with_gateway {
            "Neuer Titel 🍜"
        } else {
            "另一个 名字"
        };
        // A key is no part of a title, which everybody sees.
        assert_eq!(
            ok(&home, &["rename", "d2", "with test-key in it"]),
            "d2 is now called: with *** in it\n"
        );
        assert_eq!(
            ok(&home, &["rename", "d2", &format!("  {title}\n")]),
            format!("d2 is now called: {title}\n")
        );
        assert!(ok(&home, &["list"]).contains(title));
        refused(&home, &["rename", "d2", " \u{202e} "], 2, "title");
        refused(&home, &["rename", "d2", "\u{200b}"], 2, "\nhint: ");
        drop(gateway);
    }
    refused(&home, &["remove", "d1"], 2, "add -y");
    refused(&home, &["remove", "nosuch", "-y"], 2, "there is no dialog");
    refused(&home, &["show", "d"], 2, "fits several dialogs");
    let dry = ok(&home, &["remove", "d1", "d1", "另一个", "--dry-run"]);
    assert_eq!(dry.lines().count(), 2, "{dry}");
    assert!(dry.starts_with("would delete what is 6*7?"), "{dry}");
    assert_eq!(ok(&home, &["--json"]).matches("session_id").count(), 3);
    ok(&home, &["remove", "d1", "-y"]);
    let gateway = Gateway::start(&home);
    let mut client = Client::hello(gateway.port(), &["session_updated"]);
    client.ping();
    ok(&home, &["remove", "另一个", "-y"]);
    let news = client.next();
    assert_eq!(
        (&news["type"], &news["session_id"]),
        (&json!("session_deleted"), &json!("cli_chat:local:d2"))
    );
    let left = ok(&home, &["--json"]);
    assert!(
        !left.contains("local:d2") && left.contains("other:d3"),
        "{left}"
    );
    assert!(ok(&home, &["compact", "hello"]).contains("compress"));
}

#[test]
fn exports_go_to_new_private_files() {
    use std::os::unix::fs::PermissionsExt;
    let home = home();
    let path = home.path().join("out.md");
    let arguments = ["export", "d1", "-o", path.to_str().unwrap()];
    assert_eq!(ok(&home, &arguments), "");
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .starts_with("# what is 6*7?")
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    refused(&home, &arguments, 2, "does not exist yet");
}

#[test]
fn nothing_is_there_and_nothing_is_made() {
    let model = ModelServer::queue([]);
    let home = Home::with_model(&model);
    assert_eq!(ok(&home, &[]), "There are no dialogs yet.\n");
    assert_eq!(ok(&home, &["search", "x"]), "Nothing found.\n");
    refused(&home, &["show", "d1"], 2, "there is no dialog");
    refused(&home, &["search", " "], 2, "empty");
    refused(
        &home,
        &["--gateway-url", "ws://127.0.0.1:9/ws"],
        4,
        "no gateway",
    );
    assert!(!home.database().exists(), "reading makes no database");
}

/// A reply holds 1,000 dialogs; those behind are found all the same.
#[test]
fn more_dialogs_than_a_reply_holds() {
    let model = ModelServer::start(|_| Answer::text("Found."));
    let home = Home::with_model(&model);
    let sent = process::run(command(&home, "send").arg("hello"));
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let made = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 2105)
                INSERT INTO dialogs (id, channel, chat, name, title, created_at, updated_at)
                SELECT i, 'cli_chat', 'local', 'd' || i, '对话 ' || i, i, i FROM n";
    sqlite(&home.database(), &[made]);
    let everything = || {
        let table = ok(&home, &[]);
        assert!(table.ends_with("2055 more; -n shows them\n"), "{table}");
        let all: Value = serde_json::from_str(&ok(&home, &["--json", "-n", "9999"])).unwrap();
        let all = all["sessions"].as_array().unwrap();
        assert_eq!(all.len(), 2_105);
        assert_eq!(all[2_104]["session_id"], "cli_chat:local:d2");
        for wanted in ["cli_chat:local:d3", "d3", "对话 3"] {
            let shown = ok(&home, &["show", wanted]);
            assert!(shown.starts_with("对话 3 (cli_chat:local:d3)"), "{shown}");
        }
        let sent = process::run(command(&home, "send").args(["-s", "对话 4", "hello"]));
        assert_eq!(
            (sent.code, &*sent.stdout),
            (Some(0), "Found.\n"),
            "{sent:?}"
        );
        let shown = ok(&home, &["show", "d4"]);
        assert!(shown.contains("Found."), "{shown}");
    };
    everything();
    let gateway = Gateway::start(&home);
    sqlite(
        &home.database(),
        &["UPDATE dialogs SET updated_at = 4 WHERE name = 'd4'"],
    );
    everything();

    let mut client = Client::connect(gateway.port());
    client.send_json(&json!({"type": "list_sessions"}));
    let listed = client.next();
    assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(1_000));
    assert!(listed.get("has_more").is_none(), "it was not asked for");
    for (offset, n, has_more) in [(0, 1_000, true), (2_000, 105, false), (99_999, 0, false)] {
        client.send_json(&json!({"type": "list_sessions", "offset": offset}));
        let listed = client.next();
        assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(n));
        assert_eq!(listed["has_more"], has_more);
    }
    for wrong in [json!(-1), json!("1"), json!(1.5), json!(1e30)] {
        client.send_json(&json!({"type": "list_sessions", "offset": wrong}));
        assert_eq!(client.next()["code"], "bad_request", "{wrong}");
    }
}
