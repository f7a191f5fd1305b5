//! Turns through the real gateway: plain, streamed, with tools, failing, stopped, and across a crash.
//!
//! The clients know only the oldest messages unless a test is about the additive ones. Every request that the model saw is
//! checked for legality, and by the official SDK's types.

use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::model::{ModelServer, Received};
use crate::support::script::{Answer, Call};
use crate::support::stage::Stage;
use crate::support::ws::Client;

fn calculator(id: &str, expression: &str) -> Call {
    Call::new(id, "calculator", json!({"expression": expression}))
}

/// Returns the content of the tool message that answers a call.
fn result_of(request: &Received, id: &str) -> String {
    let messages = request.body["messages"].as_array().unwrap();
    let result = messages
        .iter()
        .find(|message| message["tool_call_id"] == id)
        .unwrap_or_else(|| panic!("no result of {id} in {:#}", request.body));
    result["content"].as_str().unwrap().to_owned()
}

#[test]
fn a_plain_question() {
    let stage = Stage::new([Answer::text("Hello to you.")]);
    assert_eq!(stage.client().ask("hello 你好"), "Hello to you.");
    let requests = stage.judged_requests(1);
    let body = &requests[0].body;
    assert_eq!(body["model"], "scripted-1");
    assert_eq!(body["messages"][0]["role"], "system");
    assert!(
        requests[0].texts("user")[0].contains("hello 你好"),
        "{body:#}"
    );
    let key = requests[0].http.header("authorization");
    assert_eq!(key, Some("Bearer test-key"));
}

#[test]
fn deltas_for_who_asked() {
    let stage = Stage::new([Answer::text("one two three")]);
    let mut client = Client::hello(stage.gateway.port(), &["stream"]);
    client.send_json(&json!({"type": "user_input", "content": "count", "request_id": "r1"}));
    let seen = client.until(&["assistant_response", "error"]);
    let types: Vec<&str> = seen.iter().filter_map(|m| m["type"].as_str()).collect();
    let firsts: Vec<&str> = types[..2].to_vec();
    assert_eq!(firsts, ["input_accepted", "turn_started"], "{types:?}");
    assert_eq!(
        types[types.len() - 2..],
        ["turn_finished", "assistant_response"]
    );
    assert!(seen.iter().all(|m| m["request_id"] == "r1"), "{seen:?}");
    let deltas: String = seen
        .iter()
        .filter(|m| m["type"] == "assistant_delta")
        .filter_map(|m| m["content"].as_str())
        .collect();
    assert_eq!(deltas, "one two three");
    assert_eq!(seen.last().unwrap()["content"], "one two three");
    stage.judged_requests(1);
}

#[test]
fn a_tool_round() {
    let stage = Stage::new([
        Answer::calls([calculator("c1", "17.5% of 2340")]).saying("Let me see."),
        Answer::text("It is 409.5."),
    ]);
    assert_eq!(stage.client().ask("what is 17.5% of 2340?"), "It is 409.5.");
    let requests = stage.judged_requests(2);
    let result = result_of(&requests[1], "c1");
    assert!(result.contains("409.5"), "{result}");
    let first = requests[0].body["messages"].as_array().unwrap();
    let second = requests[1].body["messages"].as_array().unwrap();
    assert_eq!(second[..first.len()], first[..], "the prefix changed");
}

#[test]
fn two_tools_in_one_message() {
    let stage = Stage::new([
        Answer::calls([calculator("c1", "2+2"), calculator("c2", "3*3")]),
        Answer::text("4 and 9."),
    ]);
    assert_eq!(stage.client().ask("2+2 and 3*3"), "4 and 9.");
    let requests = stage.judged_requests(2);
    assert!(result_of(&requests[1], "c1").contains('4'));
    assert!(result_of(&requests[1], "c2").contains('9'));
    let messages = requests[1].body["messages"].as_array().unwrap();
    let ids: Vec<&Value> = messages
        .iter()
        .filter(|message| message["role"] == "tool")
        .map(|message| &message["tool_call_id"])
        .collect();
    assert_eq!(ids, ["c1", "c2"], "results keep the order of the calls");
}

#[test]
fn a_broken_call_goes_back_to_the_model() {
    let stage = Stage::new([
        Answer::calls([
            Call::with_text("c1", "calculator", "{\"expression\": "),
            Call::new("c2", "no_such_tool", json!({})),
        ]),
        Answer::text("I see."),
    ]);
    assert_eq!(stage.client().ask("go on"), "I see.");
    let requests = stage.judged_requests(2);
    for id in ["c1", "c2"] {
        assert!(!result_of(&requests[1], id).trim().is_empty());
    }
}

#[test]
fn a_failing_service_is_asked_again() {
    let stage = Stage::new([
        Answer::error(500, "out of order").header("retry-after", "0"),
        Answer::text("Here I am."),
    ]);
    assert_eq!(stage.client().ask("hello"), "Here I am.");
    let requests = stage.judged_requests(2);
    assert_eq!(requests[0].body, requests[1].body);
}

#[test]
fn a_refused_key_is_said_and_not_shown() {
    let stage = Stage::new([
        Answer::error(401, "Incorrect API key provided: test-key"),
        Answer::text("Better now."),
    ]);
    let mut client = stage.client();
    let reply = client.request("hello");
    assert_eq!(
        (&reply["type"], &reply["code"]),
        (&json!("error"), &json!("auth"))
    );
    assert!(!reply.to_string().contains("test-key"), "{reply}");
    assert!(!stage.gateway.log().contains("test-key"));
    assert_eq!(client.ask("and now?"), "Better now.");
    stage.judged_requests(2);
}

#[test]
fn stop_ends_a_stream_in_the_middle() {
    let gate = Gate::new();
    let stage = Stage::new([
        Answer::text("one two three").held_after(2, &gate),
        Answer::text("Yes."),
    ]);
    let mut client = Client::hello(stage.gateway.port(), &["assistant_delta"]);
    client.say("count slowly");
    client.until(&["assistant_delta"]);
    client.say("/stop");
    let mut replies = client.until(&["command_executed", "error"]);
    replies.extend(client.until(&["command_executed", "error"]));
    let error = replies.iter().find(|m| m["type"] == "error");
    assert_eq!(
        error.map(|m| &m["code"]),
        Some(&json!("stopped")),
        "{replies:?}"
    );
    gate.wait_hung_up();
    client.say("are you there?");
    let answer = client.until(&["assistant_response"]).pop().unwrap();
    assert_eq!(answer["content"], "Yes.");
    stage.judged_requests(2);
}

#[test]
fn stop_overtakes_what_waits() {
    let gate = Gate::new();
    let stage = Stage::new([Answer::text("never said").held(&gate)]);
    let mut client = stage.client();
    client.say("first");
    gate.wait_reached();
    client.say("second");
    client.say("third");
    client.ping();
    client.say("/stop");
    let replies: Vec<Value> = (0..4).map(|_| client.next()).collect();
    let stopped = replies.iter().filter(|m| m["code"] == "stopped").count();
    let commands = replies
        .iter()
        .filter(|m| m["type"] == "command_executed")
        .count();
    assert_eq!((stopped, commands), (3, 1), "{replies:?}");
    stage.judged_requests(1);
}

#[test]
fn unknown_and_broken_messages() {
    let stage = Stage::new([Answer::text("Still here.")]);
    let mut client = stage.client();
    for (message, code) in [
        (
            json!({"type": "user_inptu", "content": "x"}),
            "unknown_type",
        ),
        (json!({"type": "user_input"}), "bad_request"),
        (json!({"type": "user_input", "content": 7}), "bad_request"),
        (json!({"content": "x"}), "bad_request"),
        (json!([1, 2]), "bad_request"),
    ] {
        client.send_json(&message);
        let reply = client.next();
        assert_eq!(reply["type"], "error", "{message} {reply}");
        assert_eq!(reply["code"], code, "{message} {reply}");
    }
    assert_eq!(client.ask("hello"), "Still here.");
    stage.judged_requests(1);
}

#[test]
fn dialogs_do_not_wait_for_each_other() {
    let gate = Gate::new();
    let held = gate.clone();
    let model = ModelServer::start(move |received| {
        if received.texts("user").concat().contains("slow one") {
            Answer::text("slow answer").held(&held)
        } else {
            Answer::text("quick answer")
        }
    });
    let home = Home::with_model(&model);
    let gateway = Gateway::start(&home);
    let mut slow = Client::connect(gateway.port());
    let mut quick = Client::connect(gateway.port());
    slow.send_json(&json!({"type": "user_input", "content": "slow one", "chat_id": "a"}));
    gate.wait_reached();
    quick.send_json(&json!({"type": "user_input", "content": "quick one", "chat_id": "b"}));
    assert_eq!(quick.next()["content"], "quick answer");
    gate.release();
    assert_eq!(slow.next()["content"], "slow answer");
}

#[test]
fn a_conversation_survives_kill_9() {
    let stage = Stage::new([
        Answer::calls([calculator("c1", "6*7")]),
        Answer::text("It is 42."),
        Answer::text("You asked about 6*7."),
    ]);
    assert_eq!(stage.client().ask("what is 6*7?"), "It is 42.");
    let stage = stage.crash();
    assert_eq!(
        stage.client().ask("what did I ask?"),
        "You asked about 6*7."
    );
    let requests = stage.judged_requests(3);
    let (before, after) = (&requests[1].body["messages"], &requests[2].body["messages"]);
    let before = before.as_array().unwrap();
    assert_eq!(after.as_array().unwrap()[..before.len()], before[..]);
    assert_eq!(requests[2].texts("assistant").last().unwrap(), "It is 42.");
    assert!(requests[2].texts("user")[1].contains("what did I ask?"));
}

#[test]
fn an_unfinished_turn_goes_on_after_kill_9() {
    let gate = Gate::new();
    let stage = Stage::new([
        Answer::text("lost").held(&gate),
        Answer::text("Found again."),
        Answer::text("Both kept."),
    ]);
    let mut client = stage.client();
    client.say("keep this");
    gate.wait_reached();
    let session_id = client.session_id.clone();
    let stage = stage.crash();
    let mut client = stage.client();
    assert_eq!(client.session_id, session_id);
    // Waits behind the turn that goes on.
    assert_eq!(client.ask("and this"), "Both kept.");
    let requests = stage.judged_requests(3);
    assert!(requests[1].texts("user")[0].contains("keep this"));
    assert_eq!(requests[2].texts("assistant"), ["Found again."]);
}

#[test]
fn it_ends_in_order() {
    let stage = Stage::new([Answer::text("Bye.")]);
    assert_eq!(stage.client().ask("hello"), "Bye.");
    let Stage { gateway, .. } = stage;
    let ended = gateway.term();
    assert!(ended.success() || ended.code() == Some(143), "{ended}");
}

#[test]
fn health_is_answered() {
    let stage = Stage::new([]);
    let health = stage.gateway.health();
    assert_eq!(health["status"], "ok", "{health}");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"), "{health}");
}

#[test]
fn without_configuration_the_demo_answers() {
    let home = Home::empty();
    let output = command(&home, "send")
        .arg("what is 17.5% of 2340?")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("409.5"), "{said}");
    assert!(said.contains("(demo provider)"), "{said}");
}

#[test]
fn what_was_declined_is_not_sent_again() {
    let stage = Stage::new([
        Answer::text("One."),
        Answer::calls([calculator("c1", "6*7")]),
        Answer::text("I would").finish("content_filter"),
        Answer::text("Two."),
        Answer::error(400, "Input data may contain inappropriate content."),
        Answer::text("Three."),
    ]);
    let mut client = stage.client();
    assert_eq!(client.ask("first"), "One.");
    let declined = client.ask("the forbidden sum");
    assert!(
        declined.starts_with("I would\n\nThe model declined"),
        "{declined}"
    );
    assert_eq!(client.ask("second"), "Two.");
    let filtered = client.request("the forbidden word 不可说");
    assert_eq!(filtered["type"], "error", "{filtered}");
    let stage = stage.crash();
    let mut client = stage.client();
    assert_eq!(client.ask("third"), "Three.");
    let requests = stage.judged_requests(6);
    let last = requests[5].body.to_string();
    for said in ["first", "One.", "second", "Two.", "third"] {
        assert!(last.contains(said), "{said}: {last}");
    }
    for gone in ["forbidden", "I would", "6*7", "c1"] {
        assert!(!last.contains(gone), "{gone}: {last}");
    }
    // People still see it.
    let seen = Value::from(client.load("cli_chat:local:d1")).to_string();
    assert!(
        seen.contains("不可说") && seen.contains("the forbidden sum"),
        "{seen}"
    );
}
