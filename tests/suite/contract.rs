//! A client of somebody else: it knows the documented messages, sends no additive field and gets none.
//!
//! Every message is checked for exactly its documented fields; after each reply a ping shows that nothing else came.

use serde_json::{Value, json};
use tungstenite::Message;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::gate::Gate;
use crate::support::model::ModelServer;
use crate::support::script::Answer;
use crate::support::stage::Stage;
use crate::support::ws::Client;

/// A stage whose model numbers its answers.
fn stage() -> Stage {
    Stage::with_model(ModelServer::start(|received| {
        Answer::text(&format!("answer {}", received.index))
    }))
}

#[track_caller]
fn assert_fields(message: &Value, kind: &str, fields: &[&str]) {
    assert_eq!(message["type"], kind, "{message}");
    assert_keys(message, &[&["type"], fields].concat());
}

#[track_caller]
fn assert_keys(object: &Value, keys: &[&str]) {
    let mut found: Vec<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut wanted = keys.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "{object}");
}

/// Sends a request and returns its one reply.
#[track_caller]
fn one_reply(client: &mut Client, request: &Value) -> Value {
    client.send_json(request);
    let reply = client.next();
    nothing_else(client);
    reply
}

#[track_caller]
fn nothing_else(client: &mut Client) {
    client.send_json(&json!({"type": "ping"}));
    assert_fields(&client.next(), "pong", &[]);
}

fn sessions(client: &mut Client, include_archived: bool) -> Vec<Value> {
    let request = json!({"type": "list_sessions", "include_archived": include_archived});
    let reply = one_reply(client, &request);
    assert_fields(&reply, "session_list", &["sessions"]);
    let sessions = reply["sessions"].as_array().unwrap().clone();
    for session in &sessions {
        let keys = [
            "session_id",
            "title",
            "archived",
            "updated_at",
            "message_count",
        ];
        assert_keys(session, &keys);
        let time = session["updated_at"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
        assert!(session["archived"].is_boolean() && session["message_count"].is_u64());
    }
    sessions
}

fn ids(sessions: &[Value]) -> Vec<&str> {
    sessions
        .iter()
        .map(|session| session["session_id"].as_str().unwrap())
        .collect()
}

fn create(client: &mut Client, title: &str) -> String {
    let reply = one_reply(client, &json!({"type": "create_session", "title": title}));
    assert_fields(&reply, "session_created", &["session_id", "title"]);
    assert_eq!(reply["title"], title);
    reply["session_id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn loaded(client: &mut Client, session_id: &str) -> Vec<(String, String, String)> {
    let request = json!({"type": "load_session", "session_id": session_id});
    let reply = one_reply(client, &request);
    assert_fields(
        &reply,
        "session_loaded",
        &["session_id", "messages", "has_more"],
    );
    assert_eq!(reply["session_id"], session_id);
    assert_eq!(reply["has_more"], false);
    let messages = reply["messages"].as_array().unwrap();
    let text = |message: &Value, key: &str| message[key].as_str().unwrap().to_owned();
    messages
        .iter()
        .map(|message| {
            assert_keys(message, &["role", "content", "created_at", "state"]);
            assert!(text(message, "created_at").ends_with('Z'));
            let [role, content, state] = ["role", "content", "state"].map(|key| text(message, key));
            (role, content, state)
        })
        .collect()
}

fn row(role: &str, content: &str, state: &str) -> (String, String, String) {
    (role.to_owned(), content.to_owned(), state.to_owned())
}

#[track_caller]
fn assert_error(reply: &Value, code: &str) {
    let fields: &[&str] = if reply.get("session_id").is_some() {
        &["code", "message", "session_id"]
    } else {
        &["code", "message"]
    };
    assert_fields(reply, "error", fields);
    assert_eq!(reply["code"], code, "{reply}");
    let message = reply["message"].as_str().unwrap();
    assert!(message.starts_with(char::is_uppercase), "{message}");
}

#[test]
fn the_first_message_names_the_dialog() {
    let stage = stage();
    let client = stage.client();
    let fields = ["session_id", "title"];
    assert_fields(&client.established, "session_established", &fields);
    let parts: Vec<&str> = client.session_id.split(':').collect();
    assert_eq!(parts[..2], ["cli_chat", "local"], "{parts:?}");
    assert_eq!(stage.client().session_id, client.session_id);
}

#[test]
fn an_input_has_one_answer() {
    let stage = stage();
    let mut client = stage.client();
    let request = json!({"type": "user_input", "content": "hello 你好", "sender_id": "someone"});
    let reply = one_reply(&mut client, &request);
    assert_fields(&reply, "assistant_response", &["content", "session_id"]);
    assert_eq!(reply["content"], "answer 0");
    assert_eq!(reply["session_id"], client.session_id);
    let expected = [
        row("user", "hello 你好", "done"),
        row("assistant", "answer 0", "done"),
    ];
    let id = client.session_id.clone();
    assert_eq!(loaded(&mut client, &id), expected);
    stage.requests(1);
}

#[test]
fn dialogs_are_made_named_listed_and_removed() {
    let stage = stage();
    let mut client = stage.client();
    let first = client.session_id.clone();
    let trip = create(&mut client, "Trip");
    assert_eq!(client.request("where to?")["session_id"], trip);
    let rename = json!({"type": "rename_session", "title": "Trip to 京都"});
    let renamed = one_reply(&mut client, &rename);
    assert_fields(&renamed, "session_renamed", &["session_id", "title"]);
    assert_eq!(renamed["session_id"], trip);
    let rename = json!({"type": "rename_session", "session_id": first, "title": "First"});
    assert_eq!(one_reply(&mut client, &rename)["session_id"], first);

    let all = sessions(&mut client, false);
    let titles: Vec<&str> = all.iter().filter_map(|s| s["title"].as_str()).collect();
    assert_eq!(titles, ["Trip to 京都", "First"], "newest first: {all:?}");
    assert_eq!(all[0]["message_count"], 2, "{all:?}");

    let archive = json!({"type": "archive_session", "session_id": trip});
    let reply = one_reply(&mut client, &archive);
    assert_fields(&reply, "session_archived", &["session_id"]);
    assert_eq!(reply["session_id"], trip);
    assert_eq!(ids(&sessions(&mut client, false)), [&*first]);
    let with_archived = sessions(&mut client, true);
    assert_eq!(with_archived.len(), 2);
    let archived = with_archived.iter().find(|s| s["session_id"] == *trip);
    assert_eq!(archived.unwrap()["archived"], true);

    let delete = json!({"type": "delete_session", "session_id": trip});
    let reply = one_reply(&mut client, &delete);
    assert_fields(&reply, "session_deleted", &["session_id"]);
    assert_eq!(ids(&sessions(&mut client, true)), [&*first]);
    let load = json!({"type": "load_session", "session_id": trip});
    assert_error(&one_reply(&mut client, &load), "not_found");
}

#[test]
fn without_an_id_the_current_dialog_is_meant() {
    let stage = stage();
    let mut client = stage.client();
    let untitled = one_reply(&mut client, &json!({"type": "create_session"}));
    assert_fields(&untitled, "session_created", &["session_id", "title"]);
    let second = create(&mut client, "Second");
    let archived = one_reply(&mut client, &json!({"type": "archive_session"}));
    assert_eq!(archived["session_id"], second);
    // The connection is back in the chat's own dialog.
    let deleted = one_reply(&mut client, &json!({"type": "delete_session"}));
    assert_eq!(deleted["session_id"], client.session_id);
    let answered = client.request("hello");
    assert_eq!(answered["type"], "assistant_response", "{answered}");
    assert_ne!(answered["session_id"], client.session_id);
}

#[test]
fn a_history_is_cleared_by_id_by_chat_or_as_the_current_one() {
    let stage = stage();
    let mut client = stage.client();
    let elsewhere = json!({"type": "user_input", "content": "hi", "chat_id": "elsewhere"});
    let other = one_reply(&mut client, &elsewhere)["session_id"].clone();
    let other = other.as_str().unwrap();
    let mut second = stage.client();
    let id = second.session_id.clone();
    for (content, request, cleared) in [
        ("a", json!({"type": "clear_history"}), &*id),
        (
            "b",
            json!({"type": "clear_history", "session_id": id}),
            &*id,
        ),
        (
            "c",
            json!({"type": "clear_history", "chat_id": "elsewhere"}),
            other,
        ),
    ] {
        second.ask(content);
        let reply = one_reply(&mut second, &request);
        assert_fields(&reply, "history_cleared", &["session_id"]);
        assert_eq!(reply["session_id"], cleared);
        assert_eq!(loaded(&mut second, cleared), []);
    }
}

#[test]
fn the_list_of_commands() {
    let stage = stage();
    let reply = one_reply(&mut stage.client(), &json!({"type": "get_slash_commands"}));
    assert_fields(&reply, "slash_commands_list", &["commands"]);
    let commands = reply["commands"].as_array().unwrap();
    for command in commands {
        assert_keys(command, &["name", "usage", "description"]);
        let name = command["name"].as_str().unwrap();
        assert!(name.starts_with('/'), "{command}");
        assert!(
            command["usage"].as_str().unwrap().starts_with(name),
            "{command}"
        );
    }
    for name in ["/new", "/stop", "/help"] {
        assert!(commands.iter().any(|c| c["name"] == name), "{commands:?}");
    }
}

#[test]
fn a_command_is_executed_not_answered() {
    let stage = stage();
    let mut client = stage.client();
    let mut run = |text: &str| {
        let request = json!({"type": "user_input", "content": text});
        let reply = one_reply(&mut client, &request);
        let fields = ["command", "content", "session_id"];
        assert_fields(&reply, "command_executed", &fields);
        reply
    };
    for (text, command) in [
        ("/help", "/help"),
        ("  /HELP me", "/help"),
        ("/?", "/?"),
        ("/stop", "/stop"),
        ("/nosuch thing", "/nosuch"),
        ("/new 整理", "/new"),
    ] {
        let reply = run(text);
        assert_eq!(reply["command"], command, "{reply}");
        assert!(!reply["content"].as_str().unwrap().is_empty(), "{reply}");
    }
    let (first, second) = (run("/new")["session_id"].clone(), client.request("hi"));
    assert_eq!(second["session_id"], first, "/new switches");
    stage.requests(1);
}

#[test]
fn two_clients_share_a_chat() {
    let gate = Gate::new();
    let held = gate.clone();
    let stage = Stage::with_model(ModelServer::start(move |received| match received.index {
        0 => Answer::text("for the first").held(&held),
        _ => Answer::text("for the second"),
    }));
    let (mut first, mut second) = (stage.client(), stage.client());
    let id = first.session_id.clone();
    first.say("from the first");
    gate.wait_reached();
    second.say("from the second");
    second.ping();
    let waiting = [
        row("user", "from the first", "running"),
        row("user", "from the second", "queued"),
    ];
    assert_eq!(loaded(&mut stage.client(), &id), waiting);
    gate.release();
    assert_eq!(first.next()["content"], "for the first");
    assert_eq!(second.next()["content"], "for the second");
    nothing_else(&mut first);
    nothing_else(&mut second);
    let all = [
        row("user", "from the first", "done"),
        row("assistant", "for the first", "done"),
        row("user", "from the second", "done"),
        row("assistant", "for the second", "done"),
    ];
    assert_eq!(loaded(&mut first, &id), all);
    stage.requests(2);
}

#[test]
fn a_chat_has_its_own_dialog() {
    let stage = stage();
    let mut client = stage.client();
    let work = json!({"type": "user_input", "content": "secret plan", "chat_id": "work"});
    let reply = one_reply(&mut client, &work);
    let id = reply["session_id"].as_str().unwrap();
    assert!(id.starts_with("cli_chat:work:"), "{id}");
    let local = json!({"type": "user_input", "content": "hi", "chat_id": "local"});
    let reply = one_reply(&mut client, &local);
    assert_eq!(reply["session_id"], client.session_id);
    let requests = stage.requests(2);
    assert!(!requests[1].body.to_string().contains("secret plan"));
}

#[test]
fn each_connection_has_its_own_current_dialog() {
    let stage = stage();
    let (mut first, mut second) = (stage.client(), stage.client());
    let trip = create(&mut first, "Trip");
    assert_eq!(second.request("hi")["session_id"], second.session_id);
    loaded(&mut second, &trip);
    assert_eq!(second.request("hi")["session_id"], trip, "loading switches");
    assert_eq!(stage.client().session_id, second.session_id);
}

#[test]
fn another_channel_needs_the_token() {
    let stage = stage();
    let mut stranger = stage.client();
    let mut trusted = Client::with_token(stage.gateway.port(), &stage.home.token());
    let request = json!({"type": "user_input", "content": "hi", "channel": "other"});
    assert_error(&one_reply(&mut stranger, &request), "forbidden");
    let reply = one_reply(&mut trusted, &request);
    assert_fields(&reply, "assistant_response", &["content", "session_id"]);
    let id = reply["session_id"].as_str().unwrap();
    assert!(id.starts_with("other:local:"), "{id}");
    for kind in [
        "load_session",
        "rename_session",
        "archive_session",
        "delete_session",
        "clear_history",
    ] {
        let request = json!({"type": kind, "session_id": id, "title": "t"});
        assert_error(&one_reply(&mut stranger, &request), "forbidden");
    }
    // A label is no authority.
    let posing = json!({
        "type": "user_input", "content": "hi", "channel": "other", "sender_id": "owner",
    });
    assert_error(&one_reply(&mut stranger, &posing), "forbidden");
    assert_eq!(loaded(&mut trusted, id).len(), 2);
    stage.requests(1);
}

#[test]
fn a_failed_turn_is_one_error() {
    let stage = Stage::new([
        Answer::error(400, "no such thing"),
        Answer::text("Better now."),
    ]);
    let mut client = stage.client();
    let reply = one_reply(&mut client, &json!({"type": "user_input", "content": "hi"}));
    assert_error(&reply, "provider");
    assert_eq!(reply["session_id"], client.session_id);
    let id = client.session_id.clone();
    let messages = loaded(&mut client, &id);
    assert_eq!(messages[0], row("user", "hi", "failed"));
    assert_eq!(messages[1].1, reply["message"].as_str().unwrap());
    assert_eq!(messages.len(), 2);
    assert_eq!(client.ask("and now?"), "Better now.");
    stage.requests(2);
}

#[test]
fn replies_of_a_dialog_keep_the_order() {
    let stage = stage();
    let mut client = stage.client();
    for n in 0..10 {
        client.say(&format!("question {n}"));
    }
    for n in 0..10 {
        assert_eq!(client.next()["content"], format!("answer {n}"));
    }
    nothing_else(&mut client);
    for (n, request) in stage.requests(10).iter().enumerate() {
        let asked = request.texts("user").pop().unwrap();
        assert!(asked.ends_with(&format!("question {n}")), "{asked}");
    }
}

#[test]
fn a_pong_proves_that_an_input_is_kept() {
    let gate = Gate::new();
    let held = gate.clone();
    let stage = Stage::with_model(ModelServer::start(move |received| match received.index {
        0 => Answer::text("lost").held(&held),
        _ => Answer::text("found"),
    }));
    let mut client = stage.client();
    for content in ["one", "two", "three"] {
        client.say(content);
    }
    client.ping();
    gate.wait_reached();
    let stage = stage.crash();
    let mut client = stage.client();
    // Comes when the three before it are done.
    assert_eq!(client.ask("four"), "found");
    let id = client.session_id.clone();
    let expected: Vec<_> = ["one", "two", "three", "four"]
        .iter()
        .flat_map(|asked| {
            [
                row("user", asked, "done"),
                row("assistant", "found", "done"),
            ]
        })
        .collect();
    assert_eq!(loaded(&mut client, &id), expected);
}

#[test]
fn a_client_that_leaves_finds_its_answer_later() {
    let gate = Gate::new();
    let stage = Stage::new([Answer::text("one two three").held_after(2, &gate)]);
    let mut client = stage.client();
    let id = client.session_id.clone();
    client.say("count");
    gate.wait_reached();
    drop(client);
    gate.release();
    let mut client = stage.client();
    // Loaded again and again: nothing tells this client of an end that was not its own.
    let mut messages = loaded(&mut client, &id);
    for _ in 0..1_000 {
        if messages.len() == 2 {
            break;
        }
        messages = loaded(&mut client, &id);
    }
    let expected = [
        row("user", "count", "done"),
        row("assistant", "one two three", "done"),
    ];
    assert_eq!(messages, expected);
}

#[test]
fn broken_messages_get_an_error_and_nothing_breaks() {
    let stage = stage();
    let mut client = stage.client();
    let input = |key: &str, value: Value| json!({"type": "user_input", "content": "x", key: value});
    for (request, code) in [
        (json!({"type": "user_inptu"}), "unknown_type"),
        (
            json!({"type": "USER_INPUT", "content": "x"}),
            "unknown_type",
        ),
        (json!({"type": "assistant_response"}), "unknown_type"),
        (json!({"type": 7}), "bad_request"),
        (json!({"type": null}), "bad_request"),
        (json!({}), "bad_request"),
        (json!([]), "bad_request"),
        (json!("user_input"), "bad_request"),
        (json!(null), "bad_request"),
        (json!({"type": "user_input"}), "bad_request"),
        (input("content", json!(null)), "bad_request"),
        (input("content", json!(["x"])), "bad_request"),
        (input("content", json!(" \n\t")), "bad_request"),
        (input("chat_id", json!(5)), "bad_request"),
        (input("chat_id", json!("")), "bad_request"),
        (input("chat_id", json!("a\nb")), "bad_request"),
        (input("chat_id", json!("a".repeat(257))), "bad_request"),
        (input("channel", json!({})), "bad_request"),
        (input("channel", json!("a:b")), "bad_request"),
        (input("sender_id", json!(true)), "bad_request"),
        (input("sender_id", json!("s".repeat(257))), "bad_request"),
        (json!({"type": "create_session", "title": 1}), "bad_request"),
        (
            json!({"type": "create_session", "title": "t".repeat(257)}),
            "bad_request",
        ),
        (
            json!({"type": "list_sessions", "include_archived": "yes"}),
            "bad_request",
        ),
        (json!({"type": "load_session"}), "bad_request"),
        (
            json!({"type": "load_session", "session_id": "nonsense"}),
            "bad_request",
        ),
        (
            json!({"type": "load_session", "session_id": "cli_chat:local:none"}),
            "not_found",
        ),
        (json!({"type": "rename_session"}), "bad_request"),
        (
            json!({"type": "rename_session", "title": " "}),
            "bad_request",
        ),
        (
            json!({"type": "rename_session", "session_id": "cli_chat:local:none", "title": "t"}),
            "not_found",
        ),
        (
            json!({"type": "archive_session", "session_id": 9}),
            "bad_request",
        ),
        (
            json!({"type": "archive_session", "session_id": "cli_chat:local:none"}),
            "not_found",
        ),
        (
            json!({"type": "delete_session", "session_id": "cli_chat:local:none"}),
            "not_found",
        ),
        (
            json!({"type": "clear_history", "chat_id": []}),
            "bad_request",
        ),
        (
            json!({"type": "clear_history", "session_id": "cli_chat:local:none"}),
            "not_found",
        ),
    ] {
        let reply = one_reply(&mut client, &request);
        assert_error(&reply, code);
    }
    for text in [
        "",
        " ",
        "{",
        "{\"type\":\"ping\"",
        "{\"type\":\"ping\"}x",
        "\u{0}",
        "ping",
    ] {
        client.send_frame(Message::text(text));
        assert_error(&client.next(), "bad_request");
    }
    let deep = format!("{{\"type\":\"ping\",\"x\":{}}}", "[".repeat(100_000));
    client.send_frame(Message::text(deep));
    assert_error(&client.next(), "bad_request");
    assert_eq!(client.ask("still there?"), "answer 0");
    stage.requests(1);
}

#[test]
fn an_unknown_type_is_told_the_nearest() {
    let stage = stage();
    let reply = one_reply(&mut stage.client(), &json!({"type": "user_inptu"}));
    let message = reply["message"].as_str().unwrap();
    assert!(message.contains("user_input"), "{message}");
}

#[test]
fn nulls_and_unknown_fields_do_not_count() {
    let stage = stage();
    let mut client = stage.client();
    let request = json!({
        "type": "user_input", "content": "hi", "channel": null, "chat_id": null, "sender_id": null,
        "colour": "blue", "nested": {"type": "ping"},
    });
    let reply = one_reply(&mut client, &request);
    assert_fields(&reply, "assistant_response", &["content", "session_id"]);
    assert_eq!(reply["session_id"], client.session_id);
}

#[test]
fn a_message_up_to_a_mebibyte_is_taken_and_a_longer_one_closes() {
    let stage = stage();
    let mut client = stage.client();
    let envelope = json!({"type": "user_input", "content": ""})
        .to_string()
        .len();
    let longest = "x".repeat(1024 * 1024 - envelope);
    assert_eq!(client.ask(&longest), "answer 0");
    client.say(&format!("{longest}x"));
    assert_eq!(client.close_code(), 1009);
    // It is longer than the model's context: a summary, answer 1, takes its place.
    assert_eq!(stage.client().ask("again"), "answer 2");
    let requests = stage.requests(3);
    assert!(requests[0].texts("user")[0].ends_with(&longest));
}

#[test]
fn invalid_utf8_closes() {
    let stage = stage();
    let mut client = stage.client();
    let text = b"{\"type\":\"user_input\",\"content\":\"\xff\xfe\"}".to_vec();
    let frame = Frame::message(text, OpCode::Data(Data::Text), true);
    client.send_frame(Message::Frame(frame));
    assert_eq!(client.close_code(), 1007);
    assert_eq!(stage.client().ask("hello"), "answer 0");
}

#[test]
fn a_binary_frame_is_an_error_and_a_message_in_pieces_is_one() {
    let stage = stage();
    let mut client = stage.client();
    let ping = b"{\"type\":\"ping\"}".to_vec();
    client.send_frame(Message::binary(ping));
    assert_error(&client.next(), "bad_request");
    nothing_else(&mut client);
    let text = json!({"type": "user_input", "content": "整理下载"}).to_string();
    let bytes = text.as_bytes();
    // Cut inside a character.
    let cut = bytes.len() - 5;
    let first = Frame::message(bytes[..cut].to_vec(), OpCode::Data(Data::Text), false);
    let last = Frame::message(bytes[cut..].to_vec(), OpCode::Data(Data::Continue), true);
    client.send_frame(Message::Frame(first));
    client.send_frame(Message::Frame(last));
    assert_eq!(client.next()["content"], "answer 0");
    assert!(stage.requests(1)[0].texts("user")[0].ends_with("整理下载"));
}
