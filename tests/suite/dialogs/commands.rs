//! Every slash command, typed by a client that knows only the oldest messages.

use serde_json::json;

use super::{command, content};
use crate::support::gate::Gate;
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::script::{Answer, Call};
use crate::support::stage::Stage;

#[test]
fn dialogs_are_made_listed_switched_and_named() {
    let stage = Stage::new([
        Answer::text("Kyoto is lovely."),
        Answer::text("好的。"),
        Answer::text("Still Kyoto."),
    ]);
    let mut client = stage.client();
    assert_eq!(client.ask("Trip to Kyoto in May"), "Kyoto is lovely.");
    assert_eq!(
        command(&mut client, "/new 整理 下载 📁"),
        "New dialog d2: 整理 下载 📁"
    );
    assert_eq!(client.ask("先列计划"), "好的。");
    assert_eq!(command(&mut client, "/new"), "New dialog d3.");
    let list = command(&mut client, "/sessions");
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 4, "{list}");
    assert!(
        lines[0].starts_with("1. New dialog (d3) — 0 messages"),
        "{list}"
    );
    assert!(lines[0].ends_with("← current"), "{list}");
    assert!(
        lines[1].starts_with("2. 整理 下载 📁 (d2) — 2 messages"),
        "{list}"
    );
    assert!(
        lines[2].starts_with("3. Trip to Kyoto in May (d1)"),
        "{list}"
    );

    assert_eq!(
        command(&mut client, "/switch 3"),
        "Now in Trip to Kyoto in May (d1), 2 messages."
    );
    assert_eq!(client.ask("and in June?"), "Still Kyoto.");
    let requests = stage.judged_requests(3);
    assert_eq!(
        requests[2].texts("user").len(),
        2,
        "the first dialog's history"
    );
    for (typed, id) in [
        ("整理", "(d2)"),
        ("d3", "(d3)"),
        ("trip to k", "(d1)"),
        ("＃２", "(d2)"),
        ("cli_chat:local:d3", "(d3)"),
    ] {
        let answer = command(&mut client, &format!("/switch {typed}"));
        assert!(answer.contains(id), "{typed}: {answer}");
    }
    let several = command(&mut client, "/switch d");
    assert!(
        several.starts_with("Several dialogs fit “d”:\n- "),
        "{several}"
    );
    assert!(several.contains("整理 下载 📁 (d2)"), "{several}");
    let none = command(&mut client, "/switch 大阪 👩‍👩‍👧");
    assert!(
        none.starts_with("There is no dialog “大阪 👩‍👩‍👧” here."),
        "{none}"
    );
    assert!(command(&mut client, "/switch").starts_with("Which dialog?"));

    assert_eq!(
        command(&mut client, "/rename  Zweite\n Reise "),
        "This dialog is now called: Zweite Reise"
    );
    assert!(command(&mut client, "/rename").contains("Zweite Reise (d3)"));
    let found = command(&mut client, "/sessions REISE");
    assert!(found.starts_with("1. Zweite Reise (d3)"), "{found}");
    // The list that was shown last counts, after a restart too.
    let stage = stage.crash();
    let mut client = stage.client();
    assert!(command(&mut client, "/switch 1").contains("(d3)"));
    let answer = command(&mut client, "/switch 2");
    assert!(answer.starts_with("There is no dialog"), "{answer}");
}

#[test]
fn dialogs_are_cleared_archived_and_deleted() {
    let stage = Stage::new([Answer::text("One."), Answer::text("Two.")]);
    let mut client = stage.client();
    client.ask("first");
    assert_eq!(
        command(&mut client, "/clear"),
        "Cleared first (d1): 2 messages deleted."
    );
    let id = client.session_id.clone();
    assert!(client.load(&id).is_empty());
    client.ask("again");
    assert_eq!(
        stage.requests(2)[1].texts("user").len(),
        1,
        "nothing of before"
    );

    command(&mut client, "/new Second");
    let archived = command(&mut client, "/archive d1");
    assert!(archived.starts_with("Archived first (d1)."), "{archived}");
    assert!(!command(&mut client, "/sessions").contains("(d1)"));
    let all = command(&mut client, "/sessions all");
    assert!(
        all.contains("first (d1)") && all.contains(", archived"),
        "{all}"
    );
    assert!(command(&mut client, "/switch first").contains("(d1)"));
    assert!(!command(&mut client, "/sessions all").contains("archived"));

    command(&mut client, "/new Third");
    command(&mut client, "/switch first");
    assert_eq!(
        command(&mut client, "/delete Third"),
        "Deleted Third (d3) with 0 messages."
    );
    assert_eq!(
        command(&mut client, "/delete"),
        "Deleted first (d1) with 2 messages. Your next message begins a new dialog; /sessions lists the others."
    );
    let list = command(&mut client, "/sessions all");
    assert!(!list.contains("first") && list.contains("Second"), "{list}");
    assert!(command(&mut client, "/delete nosuch").starts_with("There is no dialog"));
}

/// A repeat of a command with the same id is answered and not done again.
#[test]
fn a_repeated_command_is_not_done_twice() {
    let stage = Stage::new([Answer::text("One.")]);
    let mut client = stage.client();
    client.ask("first");
    for text in ["/new", "/delete d1", "/sessions"] {
        let message = json!({"type": "user_input", "content": text, "request_id": text});
        client.send_json(&message);
        let first = client.next();
        client.send_json(&message);
        assert_eq!(client.next()["content"], first["content"]);
    }
    let list = command(&mut client, "/sessions");
    assert!(
        list.starts_with("1. New dialog (d2)") && list.lines().count() == 2,
        "{list}"
    );
}

#[test]
fn commands_do_not_wait_for_a_turn() {
    let gate = Gate::new();
    let stage = Stage::new([Answer::text("late").held(&gate), Answer::text("soon")]);
    let mut client = stage.client();
    client.send_json(&json!({"type": "user_input", "content": "slow", "request_id": "slow"}));
    gate.wait_reached();
    for (text, expected) in [
        ("/help", "/new [title] — Begin a new dialog"),
        ("/? switch", "/switch <number|id|title> — "),
        ("/info", "Now: a turn runs since "),
        ("/status", "1 turn running"),
        ("/mcp", "No MCP servers are configured."),
        ("/queue", "Mode queue: "),
        ("/dump", "# slow\n\ncli_chat:local:d1"),
        ("/sessions", "1. slow (d1)"),
        ("/rename Slow one", "Slow one"),
        ("/stopp", "Did you mean /stop?"),
        ("/new Other", "New dialog d2: Other"),
    ] {
        let answer = command(&mut client, text);
        assert!(answer.contains(expected), "{text}: {answer}");
    }
    assert_eq!(client.ask("quick"), "soon");
    gate.release();
    let late = client.next();
    assert_eq!(
        (&late["request_id"], &late["content"]),
        (&json!("slow"), &json!("late"))
    );
}

#[test]
fn deleting_a_busy_dialog_stops_it_first() {
    let gate = Gate::new();
    let stage = Stage::new([Answer::text("never").held(&gate)]);
    let mut client = stage.client();
    client.send_json(&json!({"type": "user_input", "content": "slow", "request_id": "slow"}));
    gate.wait_reached();
    client.say("/delete");
    let stopped = client.next();
    assert_eq!(
        (&stopped["request_id"], &stopped["code"]),
        (&json!("slow"), &json!("stopped"))
    );
    let deleted = client.next();
    assert_eq!(deleted["type"], "command_executed");
    assert!(
        content(&deleted).starts_with("Deleted slow (d1)"),
        "{deleted}"
    );
    gate.wait_hung_up();
}

#[test]
fn info_tells_model_context_and_tokens() {
    let stage = Stage::with(
        ModelServer::queue([Answer::text("Hello to you.")]),
        json!({
            "models": {"scripted": {"model_id": "scripted-1", "price": {"input": 1000.0, "output": 1000.0}}},
        }),
    );
    let mut client = stage.client();
    assert!(command(&mut client, "/info").contains("Context: empty"));
    client.ask("hello");
    let info = command(&mut client, "/info");
    for expected in [
        "Dialog hello (d1) in cli_chat:local",
        "Id: cli_chat:local:d1",
        "Model: scripted-1 (scripted)",
        " of 128k tokens)",
        "Messages: 2, since ",
        " out, in 1 model call",
        "Cost: 1.",
        "Now: ",
        "Messages during a turn: queue",
    ] {
        assert!(info.contains(expected), "{expected} is not in:\n{info}");
    }
}

#[test]
fn mcp_names_what_is_configured() {
    let model = ModelServer::queue([]);
    let home = Home::with_model_and(
        &model,
        json!({"mcp": {"servers": {"notes": {"command": "notes-server"}, "off": {"command": "x", "enabled": false}}}}),
    );
    let gateway = crate::support::gateway::Gateway::start(&home);
    let mut client = crate::support::ws::Client::connect(gateway.port());
    let answer = command(&mut client, "/mcp");
    assert!(
        answer.contains("- notes: not connected") && !answer.contains("off"),
        "{answer}"
    );
}

#[test]
fn a_dump_folds_tools_and_masks_secrets() {
    let stage = Stage::new([
        Answer::calls([Call::new("c1", "calculator", json!({"expression": "6*7"}))])
            .saying("Let me see. The key is test-key."),
        Answer::text("```\n42\n```"),
    ]);
    let mut client = stage.client();
    client.ask("what is 6*7? 我的密钥是 test-key");
    let dump = command(&mut client, "/dump");
    assert!(
        dump.starts_with("# what is 6*7? 我的密钥是 ***\n\ncli_chat:local:d1"),
        "{dump}"
    );
    for expected in [
        "## User · ",
        "what is 6*7? 我的密钥是 ***",
        "Let me see. The key is ***.",
        "<details><summary>calculator: done</summary>",
        "{\"expression\":\"6*7\"}",
        "## PicoBot · ",
        "```\n42\n```",
    ] {
        assert!(dump.contains(expected), "{expected} is not in:\n{dump}");
    }
    assert!(
        !dump.contains("test-key") && !dump.contains("Time: "),
        "{dump}"
    );
}

#[test]
fn the_list_for_clients_names_every_command() {
    let stage = Stage::new([]);
    let mut client = stage.client();
    client.send_json(&json!({"type": "get_slash_commands"}));
    let list = client.next();
    let names: Vec<&str> = list["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|command| command["name"].as_str().unwrap())
        .collect();
    for name in [
        "/new",
        "/sessions",
        "/switch",
        "/rename",
        "/delete",
        "/info",
        "/dump",
        "/help",
        "/mcp",
        "/stop",
        "/clear",
        "/archive",
        "/status",
        "/queue",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
}
