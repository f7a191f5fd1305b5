//! Several clients on one dialog: the same history for all, and news for those that asked.

use serde_json::{Value, json};

use super::{command, content, said};
use crate::support::gate::Gate;
use crate::support::gateway;
use crate::support::process;
use crate::support::script::{Answer, Call};
use crate::support::stage::Stage;
use crate::support::ws::Client;

fn watcher(stage: &Stage) -> Client {
    Client::hello(stage.gateway.port(), &["session_updated"])
}

/// Waits for news with this state and returns them.
#[track_caller]
fn news(client: &mut Client, state: &str) -> Value {
    loop {
        let message = client.next();
        assert_eq!(message["type"], "session_updated", "{message}");
        if message["state"] == state {
            return message;
        }
    }
}

#[test]
fn two_clients_and_send_see_one_history() {
    let stage = Stage::new([
        Answer::calls([Call::new("c1", "calculator", json!({"expression": "1+1"}))]),
        Answer::text("from one"),
        Answer::text("from two"),
        Answer::text("from send"),
    ]);
    let mut one = watcher(&stage);
    let mut two = watcher(&stage);
    one.ping();
    two.ping();
    one.say("I am one");
    one.until(&["assistant_response"]);
    let update = news(&mut two, "idle");
    assert_eq!(update["session_id"], json!(one.session_id), "{update}");
    assert_eq!(
        (&update["title"], &update["message_count"]),
        (&json!("I am one"), &json!(2))
    );
    two.say("I am two");
    two.until(&["assistant_response"]);
    assert_eq!(news(&mut one, "idle")["message_count"], 4);
    let sent = process::run(gateway::command(&stage.home, "send").arg("I am send"));
    assert_eq!(sent.stdout, "from send\n");
    assert_eq!(news(&mut one, "idle")["message_count"], 6);
    assert_eq!(news(&mut two, "idle")["message_count"], 6);
    let id = one.session_id.clone();
    let expected: Vec<(String, String)> = [
        ("user", "I am one"),
        ("assistant", "from one"),
        ("user", "I am two"),
        ("assistant", "from two"),
        ("user", "I am send"),
        ("assistant", "from send"),
    ]
    .map(|(role, text)| (role.to_owned(), text.to_owned()))
    .to_vec();
    assert_eq!(said(&one.load(&id)), expected);
    assert_eq!(said(&two.load(&id)), expected);
    stage.judged_requests(4);
}

/// Who is connected stays in its dialog whatever others make, choose or put away; only a deleted one is left.
#[test]
fn other_clients_do_not_move_a_client() {
    let stage = Stage::new(["a", "b", "c", "d"].map(Answer::text));
    let mut quiet = stage.client();
    let mut busy = stage.client();
    let first = quiet.session_id.clone();
    command(&mut busy, "/new Elsewhere");
    let other = busy.request("mine");
    assert_ne!(other["session_id"], json!(first));
    let reply = quiet.request("still here");
    assert_eq!(
        (&reply["type"], &reply["session_id"]),
        (&json!("assistant_response"), &json!(first))
    );
    command(&mut busy, "/archive d1");
    assert_eq!(quiet.request("it comes back")["session_id"], json!(first));
    // What it is told about its next message is what happens to it.
    let gone = command(&mut quiet, "/delete");
    assert_eq!(
        gone,
        "Deleted still here (d1) with 4 messages. You are in Elsewhere (d2) now."
    );
    assert_eq!(quiet.request("there")["session_id"], other["session_id"]);
    let gone = command(&mut busy, "/archive");
    assert_eq!(
        gone,
        "Archived Elsewhere (d2). Writing in it brings it back; /sessions all lists it. \
         Your next message begins a new dialog; /sessions lists the others."
    );
    stage.judged_requests(4);
}

#[test]
fn news_tell_what_happens_to_a_dialog() {
    let gate = Gate::new();
    let stage = Stage::new([Answer::text("done").held(&gate)]);
    let mut actor = stage.client();
    let mut watcher = watcher(&stage);
    watcher.ping();
    actor.say("long work");
    let running = news(&mut watcher, "running");
    assert_eq!(running["title"], "long work", "{running}");
    gate.release();
    actor.until(&["assistant_response"]);
    assert_eq!(news(&mut watcher, "idle")["message_count"], 2);
    command(&mut actor, "/rename 新名字");
    assert_eq!(news(&mut watcher, "idle")["title"], "新名字");
    command(&mut actor, "/archive");
    assert_eq!(news(&mut watcher, "idle")["archived"], true);
    actor.send_json(&json!({"type": "create_session", "title": "Second"}));
    actor.until(&["session_created"]);
    assert_eq!(news(&mut watcher, "idle")["title"], "Second");
    command(&mut actor, "/delete d1");
    let deleted = watcher.next();
    assert_eq!(
        deleted,
        json!({"type": "session_deleted", "session_id": "cli_chat:local:d1"})
    );
}

#[test]
fn a_queued_input_is_news_and_can_be_taken_back() {
    let gate = Gate::new();
    let stage = Stage::new([Answer::text("first answer").held(&gate)]);
    let mut client = stage.client();
    client.send_json(&json!({"type": "user_input", "content": "first", "request_id": "1"}));
    gate.wait_reached();
    for (id, text) in [("2", "second"), ("3", "第三 🍜"), ("4", "fourth")] {
        client.send_json(&json!({"type": "user_input", "content": text, "request_id": id}));
    }
    client.send_json(&json!({"type": "take_back", "input": "3", "request_id": "back"}));
    let stopped = client.next();
    assert_eq!(
        (&stopped["request_id"], &stopped["code"]),
        (&json!("3"), &json!("stopped"))
    );
    let back = client.next();
    assert_eq!(
        back,
        json!({"type": "input_taken_back", "session_id": "cli_chat:local:d1", "content": "第三 🍜", "input": "3", "request_id": "back"})
    );
    client.send_json(&json!({"type": "take_back"}));
    assert_eq!(client.next()["request_id"], "4", "the newest");
    assert_eq!(content(&client.next()), "fourth");
    for input in ["1", "3", "nosuch"] {
        client.send_json(&json!({"type": "take_back", "input": input}));
        assert_eq!(client.next()["code"], "not_found", "{input}");
    }
    client.say("/stop");
    let replies: Vec<Value> = (0..3).map(|_| client.next()).collect();
    let listed = replies
        .iter()
        .find(|m| m["type"] == "command_executed")
        .unwrap();
    assert_eq!(
        content(listed),
        "Stopped the running turn.\nDropped 1 waiting message:\n- second"
    );
    let shown = client.load("cli_chat:local:d1");
    assert_eq!(said(&shown).len(), 2, "{shown:?}");
    client.send_json(&json!({"type": "take_back"}));
    assert_eq!(client.next()["code"], "not_found");
}

#[test]
fn dialogs_are_searched_and_exported() {
    let stage = Stage::new([
        Answer::calls([Call::new("c1", "calculator", json!({"expression": "6*7"}))]),
        Answer::text("The answer is 42."),
        Answer::text("别处"),
    ]);
    let mut client = stage.client();
    client.ask("整理下载目录, \"quoted\" and 6*7");
    client
        .send_json(&json!({"type": "user_input", "chat_id": "other", "content": "整理 elsewhere"}));
    client.until(&["assistant_response"]);
    for (query, expected) in [
        ("下载", 1),
        ("ANSWER IS", 1),
        ("\"quoted\"", 1),
        ("整理", 1),
        ("Time:", 0),
        ("6*7", 1),
    ] {
        client.send_json(&json!({"type": "search_messages", "query": query}));
        let found = client.next();
        assert_eq!(
            found["results"].as_array().map(Vec::len),
            Some(expected),
            "{query}: {found}"
        );
    }
    client.send_json(&json!({"type": "search_messages", "query": "整理", "all_chats": true}));
    assert_eq!(client.next()["code"], "forbidden");
    let mut trusted = Client::with_token(stage.gateway.port(), &stage.home.token());
    trusted.send_json(&json!({"type": "search_messages", "query": "整理", "all_chats": true}));
    assert_eq!(trusted.next()["results"].as_array().map(Vec::len), Some(2));
    trusted.send_json(&json!({"type": "list_sessions", "all_chats": true}));
    assert_eq!(trusted.next()["sessions"].as_array().map(Vec::len), Some(2));

    let id = client.session_id.clone();
    client.send_json(&json!({"type": "export_session", "session_id": id, "form": "json"}));
    let exported = client.next();
    assert_eq!(exported["next"], Value::Null, "{exported}");
    let lines: Vec<Value> = content(&exported)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let roles: Vec<&Value> = lines.iter().map(|line| &line["role"]).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant"]);
    assert_eq!(lines[1]["tool_calls"][0]["name"], "calculator");
    assert!(
        lines[2]["tool_results"][0]["content"]
            .as_str()
            .unwrap()
            .contains("42")
    );
    client.send_json(&json!({"type": "export_session", "session_id": "cli_chat:local:nosuch"}));
    assert_eq!(client.next()["code"], "not_found");
}
