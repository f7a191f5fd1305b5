//! `/stop` and the other control commands while a turn is in each of the states that it can be in.

use std::time::Instant;

use serde_json::{Value, json};

use super::{command, content};
use crate::sandbox::{assert_none_left, marked};
use crate::support::CEILING;
use crate::support::gate::Gate;
use crate::support::model::ModelServer;
use crate::support::script::{Answer, Call};
use crate::support::stage::Stage;
use crate::support::ws::Client;

/// Asks the control commands, then stops the turn of `request_id`, and goes on with the dialog.
#[track_caller]
fn control_and_stop(stage: &Stage, client: &mut Client, request_id: &str) {
    for (text, expected) in [
        ("/info", "Now: a turn runs since "),
        ("/help", "/stop [request_id]"),
        ("/mcp", "No MCP servers"),
        ("/status", "1 turn running"),
    ] {
        let answer = command(client, text);
        assert!(answer.contains(expected), "{text}: {answer}");
    }
    client.say("/stop");
    let replies: Vec<Value> = (0..2).map(|_| client.next()).collect();
    let stopped = replies.iter().find(|m| m["type"] == "error").unwrap();
    assert_eq!(stopped["request_id"], request_id, "{replies:?}");
    assert_eq!(stopped["code"], "stopped", "{replies:?}");
    let listed = replies.iter().find(|m| m["type"] == "command_executed");
    assert_eq!(content(listed.unwrap()), "Stopped the running turn.");
    assert_eq!(client.ask("are you there?"), "Yes.");
    crate::support::stage::check_all(&stage.model.received());
}

fn begin(client: &mut Client, text: &str) {
    client.send_json(&json!({"type": "user_input", "content": text, "request_id": "work"}));
}

#[test]
fn while_waiting_for_the_first_byte() {
    let gate = Gate::new();
    let stage = Stage::new([Answer::text("never").held(&gate), Answer::text("Yes.")]);
    let mut client = stage.client();
    begin(&mut client, "work");
    gate.wait_reached();
    control_and_stop(&stage, &mut client, "work");
    gate.wait_hung_up();
}

#[test]
fn in_the_middle_of_an_answer() {
    let gate = Gate::new();
    let stage = Stage::new([
        Answer::text("one two three").held_after(2, &gate),
        Answer::text("Yes."),
    ]);
    let mut client = stage.client();
    begin(&mut client, "work");
    gate.wait_reached();
    control_and_stop(&stage, &mut client, "work");
    gate.wait_hung_up();
    let shown = client.load("cli_chat:local:d1");
    assert_eq!(shown[0]["state"], "stopped", "{shown:?}");
}

#[test]
fn between_two_tries() {
    let stage = Stage::new([
        Answer::error(503, "overloaded").header("retry-after", "50"),
        Answer::text("Yes."),
    ]);
    let mut client = stage.client();
    begin(&mut client, "work");
    // The person hears of a long pause.
    client.until(&["system_notification"]);
    control_and_stop(&stage, &mut client, "work");
}

#[test]
fn while_a_command_runs() {
    let marker = format!("picobot-control-{}", std::process::id());
    let script =
        format!("setsid bash -c 'sleep 1000; :' {marker} & bash -c 'sleep 1000; :' {marker}");
    let stage = Stage::new([
        Answer::calls([Call::new("c1", "bash", json!({"command": script}))]),
        Answer::text("Yes."),
    ]);
    let mut client = Client::hello(stage.gateway.port(), &["tool_started"]);
    begin(&mut client, "work");
    client.until(&["tool_started"]);
    let deadline = Instant::now() + CEILING;
    while marked(&marker).is_empty() {
        assert!(Instant::now() < deadline, "the command never ran");
        std::thread::yield_now();
    }
    control_and_stop(&stage, &mut client, "work");
    assert_none_left(&marker);
}

#[test]
fn while_the_dialog_is_compressed() {
    let gate = Gate::new();
    let held = gate.clone();
    let model = ModelServer::start(move |received| {
        if received
            .texts("system")
            .concat()
            .starts_with("You compress conversations.")
        {
            Answer::text("never").held(&held)
        } else {
            Answer::text("Yes.")
        }
    });
    let stage = Stage::with(model, json!({}));
    let mut client = stage.client();
    client.ask("first");
    client.ask("second");
    begin(&mut client, "/compact");
    gate.wait_reached();
    control_and_stop(&stage, &mut client, "work");
    gate.wait_hung_up();
}

#[test]
fn while_a_person_is_asked() {
    let stage = Stage::with(
        ModelServer::queue([
            Answer::calls([Call::new("c1", "bash", json!({"command": "echo 一"}))]),
            Answer::text("Yes."),
        ]),
        json!({"approvals": {"rules": [{"tool": "bash", "decision": "ask"}]}}),
    );
    let mut asked = Client::with_token(stage.gateway.port(), &stage.home.token());
    asked.send_json(&json!({"type": "hello", "capabilities": ["approval_request"]}));
    asked.ping();
    let mut client = stage.client();
    begin(&mut client, "work");
    asked.until(&["approval_request"]);
    control_and_stop(&stage, &mut client, "work");
    let told = asked.until(&["approval_resolved"]).pop().unwrap();
    assert_eq!(told["decision"], "expired");
}

/// The only slot is taken by another dialog.
#[test]
fn while_waiting_for_a_slot() {
    let gate = Gate::new();
    let held = gate.clone();
    let model = ModelServer::start(move |received| {
        if received.texts("user").concat().contains("slow one") {
            Answer::text("slow answer").held(&held)
        } else {
            Answer::text("Yes.")
        }
    });
    let stage = Stage::with(model, json!({"gateway": {"max_concurrent_turns": 1}}));
    let mut slow = stage.client();
    slow.send_json(&json!({"type": "user_input", "content": "slow one", "chat_id": "a"}));
    gate.wait_reached();
    let mut client = stage.client();
    begin(&mut client, "work");
    let info = command(&mut client, "/info");
    assert!(
        info.contains("Now: waiting for a free place, 1 message waiting"),
        "{info}"
    );
    client.say("/stop");
    let stopped = client.next();
    assert_eq!(
        (&stopped["request_id"], &stopped["code"]),
        (&json!("work"), &json!("stopped"))
    );
    assert_eq!(
        content(&client.next()),
        "Dropped 1 waiting message:\n- work"
    );
    gate.release();
    assert_eq!(slow.next()["content"], "slow answer");
    assert_eq!(client.ask("are you there?"), "Yes.");
}

/// A hundred inputs wait and no more, and all are listed when they are dropped.
#[test]
fn the_queue_has_an_end() {
    let gate = Gate::new();
    let stage = Stage::new([Answer::text("never").held(&gate), Answer::text("Yes.")]);
    let mut client = stage.client();
    begin(&mut client, "work");
    gate.wait_reached();
    for n in 0..101 {
        client.say(&format!("more {n}"));
    }
    let full = client.next();
    assert_eq!(full["code"], "queue_full", "{full}");
    assert!(
        full["message"]
            .as_str()
            .unwrap()
            .contains("100 messages are waiting")
    );
    client.say("/stop");
    let replies: Vec<Value> = (0..102).map(|_| client.next()).collect();
    let stopped = replies.iter().filter(|m| m["code"] == "stopped").count();
    assert_eq!(stopped, 101);
    let listed = replies.iter().find(|m| m["type"] == "command_executed");
    let listed = content(listed.unwrap());
    assert!(
        listed.contains("Dropped 100 waiting messages:\n- more 0\n"),
        "{listed}"
    );
    assert!(listed.ends_with("- more 99"), "{listed}");
    assert_eq!(client.ask("are you there?"), "Yes.");
}
