//! Inputs that come while a turn runs: queued, steered into it, or put in its place.

use serde_json::{Value, json};

use super::{command, content, said};
use crate::support::gate::Gate;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::model::{ModelServer, Received};
use crate::support::script::{Answer, Call};
use crate::support::stage::Stage;
use crate::support::ws::Client;

fn sum(id: &str) -> Call {
    Call::new(id, "calculator", json!({"expression": "1+1"}))
}

fn say(client: &mut Client, id: &str, text: &str) {
    client.send_json(&json!({"type": "user_input", "content": text, "request_id": id}));
}

/// Returns the replies to these requests, in the order of the ids.
#[track_caller]
fn replies(client: &mut Client, ids: &[&str]) -> Vec<Value> {
    let mut seen: Vec<Value> = ids
        .iter()
        .map(|_| {
            client
                .until(&["assistant_response", "error"])
                .pop()
                .unwrap()
        })
        .collect();
    seen.sort_by_key(|reply| ids.iter().position(|id| reply["request_id"] == **id));
    let got: Vec<&Value> = seen.iter().map(|reply| &reply["request_id"]).collect();
    assert_eq!(got, ids, "{seen:?}");
    seen
}

/// Returns role and text of the messages behind the system prompt, without context blocks.
fn conversation(request: &Received) -> Vec<String> {
    let messages = request.body["messages"].as_array().unwrap();
    messages
        .iter()
        .filter(|message| message["role"] != "system")
        .map(|message| message["role"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_steered_input_joins_behind_the_tools() {
    let gate = Gate::new();
    let stage = Stage::new([
        Answer::calls([sum("c1"), sum("c2")]).held(&gate),
        Answer::text("Both are done."),
        Answer::text("Later."),
    ]);
    let mut client = Client::hello(stage.gateway.port(), &["turn_started"]);
    assert_eq!(
        command(&mut client, "/queue steer"),
        "From now on here, messages sent during a turn join it after its current tools."
    );
    say(&mut client, "1", "count");
    gate.wait_reached();
    say(&mut client, "2", "另外 also this 🍜");
    client.ping();
    let waiting = command(&mut client, "/queue");
    assert!(
        waiting.ends_with("1 message waits here:\n- 另外 also this 🍜"),
        "{waiting}"
    );
    gate.release();
    let started = client.until(&["turn_started"]).pop().unwrap();
    assert_eq!(
        (&started["request_id"], &started["turn"]),
        (&json!("2"), &json!(1))
    );
    let seen = replies(&mut client, &["1", "2"]);
    assert_eq!(seen[0]["content"], "Both are done.");
    assert_eq!(seen[0]["merged"], Value::Null);
    assert_eq!(seen[1]["content"], "Both are done.");
    assert_eq!(seen[1]["merged"], true);
    let requests = stage.judged_requests(2);
    assert_eq!(
        conversation(&requests[1]),
        ["user", "assistant", "tool", "tool", "user"]
    );
    assert!(requests[1].texts("user")[1].ends_with("另外 also this 🍜"));

    // A repeat gets the same; the dialog goes on with the same beginning.
    say(&mut client, "2", "另外 also this 🍜");
    let again = client.until(&["assistant_response"]).pop().unwrap();
    assert_eq!(
        (&again["content"], &again["merged"]),
        (&json!("Both are done."), &json!(true))
    );
    client.send_json(&json!({"type": "user_input", "content": "next", "request_id": "3"}));
    replies(&mut client, &["3"]);
    let requests = stage.judged_requests(3);
    let prefix = requests[1].body["messages"].as_array().unwrap();
    let later = requests[2].body["messages"].as_array().unwrap();
    assert_eq!(later[..prefix.len()], prefix[..], "the prefix changed");
    let shown = said(&client.load("cli_chat:local:d1"));
    let texts: Vec<&str> = shown.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "count",
            "另外 also this 🍜",
            "Both are done.",
            "next",
            "Later."
        ]
    );
}

#[test]
fn a_steered_input_that_finds_no_round_gets_its_own_turn() {
    let gate = Gate::new();
    let stage = Stage::new([
        Answer::text("No tools.").held(&gate),
        Answer::text("Own turn."),
    ]);
    let mut client = stage.client();
    command(&mut client, "/queue STEER");
    say(&mut client, "1", "count");
    gate.wait_reached();
    say(&mut client, "2", "also");
    client.ping();
    gate.release();
    let seen = replies(&mut client, &["1", "2"]);
    assert_eq!(seen[0]["content"], "No tools.");
    assert_eq!(
        (&seen[1]["content"], &seen[1]["merged"]),
        (&json!("Own turn."), &Value::Null)
    );
    stage.judged_requests(2);
}

#[test]
fn steering_is_legal_for_the_other_format_too() {
    let gate = Gate::new();
    let model = ModelServer::queue([
        Answer::calls([sum("c1")]).held(&gate),
        Answer::text("Done."),
        Answer::text("Again."),
    ]);
    let home = Home::with_model_and(
        &model,
        json!({"providers": {"scripted": {"type": "anthropic", "base_url": model.origin(), "api_key": "test-key"}}}),
    );
    let gateway = Gateway::start(&home);
    let stage = Stage {
        gateway,
        model,
        home,
    };
    let mut client = stage.client();
    command(&mut client, "/queue steer");
    say(&mut client, "1", "count");
    gate.wait_reached();
    say(&mut client, "2", "one more thing");
    say(&mut client, "3", "and another");
    client.ping();
    gate.release();
    let seen = replies(&mut client, &["1", "2", "3"]);
    assert!(
        seen.iter().all(|reply| reply["content"] == "Done."),
        "{seen:?}"
    );
    assert_eq!(client.ask("go on"), "Again.");
    stage.judged_requests(3);
}

#[test]
fn what_steers_can_be_taken_back_and_stopped() {
    let gate = Gate::new();
    let late = Gate::new();
    let stage = Stage::new([
        Answer::calls([sum("c1")]).held(&gate),
        Answer::text("never").held(&late),
        Answer::text("Yes."),
    ]);
    let mut client = stage.client();
    command(&mut client, "/queue steer");
    say(&mut client, "1", "count");
    gate.wait_reached();
    for (id, text) in [("2", "joins"), ("3", "goes back"), ("4", "is stopped")] {
        say(&mut client, id, text);
    }
    client.send_json(&json!({"type": "take_back", "input": "3"}));
    assert_eq!(client.next()["request_id"], "3");
    assert_eq!(content(&client.next()), "goes back");
    client.say("/stop 4");
    assert_eq!(client.next()["request_id"], "4");
    assert_eq!(
        content(&client.next()),
        "Dropped 1 waiting message:\n- is stopped"
    );
    gate.release();
    late.wait_reached();
    let joined = command(&mut client, "/stop 2");
    assert!(
        joined.starts_with("That message has joined the running turn"),
        "{joined}"
    );
    say(&mut client, "5", "waits when it is stopped");
    client.ping();
    client.say("/stop");
    let seen: Vec<Value> = (0..4).map(|_| client.next()).collect();
    for id in ["1", "2", "5"] {
        let reply = seen.iter().find(|m| m["request_id"] == id).unwrap();
        assert_eq!(reply["code"], "stopped", "{seen:?}");
    }
    assert_eq!(client.ask("are you there?"), "Yes.");
    let requests = stage.judged_requests(3);
    let texts = requests[2].texts("user").concat();
    assert!(texts.contains("joins"), "{texts}");
    for gone in ["goes back", "is stopped", "waits when"] {
        assert!(!texts.contains(gone), "{texts}");
    }
}

#[test]
fn an_interrupting_input_takes_the_turns_place() {
    let gate = Gate::new();
    let stage = Stage::new([
        Answer::text("one two three").held_after(2, &gate),
        Answer::text("Four."),
    ]);
    let mut client = stage.client();
    command(&mut client, "/queue interrupt");
    say(&mut client, "1", "count to three");
    gate.wait_reached();
    say(&mut client, "2", "no, to four");
    let seen = replies(&mut client, &["1", "2"]);
    assert_eq!(seen[0]["code"], "stopped");
    assert_eq!(
        seen[0]["message"],
        "Stopped: a newer message took its place."
    );
    assert_eq!(seen[1]["content"], "Four.");
    gate.wait_hung_up();
    let requests = stage.judged_requests(2);
    assert!(
        requests[1]
            .texts("user")
            .concat()
            .contains("count to three")
    );
    let shown = client.load("cli_chat:local:d1");
    assert_eq!(shown[0]["state"], "stopped", "{shown:?}");
}

/// What took others' place goes on first after a crash: they neither come in its middle nor make it begin anew.
#[test]
fn an_interrupting_input_keeps_its_place_over_a_crash() {
    let (first, second) = (Gate::new(), Gate::new());
    let append = json!({"command": "echo once >> marks.txt"});
    let stage = Stage::new([
        Answer::text("one").held(&first),
        Answer::calls([Call::new("c1", "bash", append)]),
        Answer::text("lost").held(&second),
        Answer::text("Three."),
        Answer::text("Two."),
    ]);
    let mut client = stage.client();
    say(&mut client, "1", "one");
    first.wait_reached();
    say(&mut client, "2", "two");
    command(&mut client, "/queue interrupt");
    say(&mut client, "3", "three");
    second.wait_reached();
    let stage = stage.crash();
    let mut client = stage.client();
    say(&mut client, "2", "two");
    say(&mut client, "3", "three");
    let seen = replies(&mut client, &["2", "3"]);
    assert_eq!(seen[0]["content"], "Two.", "{seen:?}");
    assert_eq!(seen[1]["content"], "Three.", "{seen:?}");
    let shown = said(&client.load("cli_chat:local:d1"));
    let users = shown.iter().filter(|(role, _)| role == "user");
    let users: Vec<&str> = users.map(|(_, text)| text.as_str()).collect();
    assert_eq!(users, ["one", "three", "two"], "{shown:?}");
    let marks = std::fs::read_to_string(stage.home.workspace().join("marks.txt")).unwrap();
    assert_eq!(marks, "once\n");
    stage.judged_requests(5);
}

#[test]
fn the_mode_is_the_dialogs_own_and_lasts() {
    let gate = Gate::new();
    let stage = Stage::new([
        Answer::calls([sum("c1")]).held(&gate),
        Answer::text("First."),
        Answer::text("Second."),
    ]);
    let mut client = stage.client();
    command(&mut client, "/queue interrupt");
    command(&mut client, "/new");
    let stage = stage.crash();
    let mut client = stage.client();
    assert!(command(&mut client, "/queue").starts_with("Mode queue: "));
    assert_eq!(
        command(&mut client, "/queue jump"),
        "Say /queue queue, /queue steer or /queue interrupt."
    );
    say(&mut client, "1", "one");
    gate.wait_reached();
    say(&mut client, "2", "two");
    client.ping();
    gate.release();
    let seen = replies(&mut client, &["1", "2"]);
    assert_eq!(seen[0]["content"], "First.");
    assert_eq!(
        (&seen[1]["content"], &seen[1]["merged"]),
        (&json!("Second."), &Value::Null)
    );
    command(&mut client, "/switch d1");
    assert!(command(&mut client, "/info").contains("Messages during a turn: interrupt"));
}

/// The gateway is killed before or after the commit that makes an input part of the turn.
#[cfg(debug_assertions)]
#[track_caller]
fn killed_at(label: &str) {
    let gate = Gate::new();
    let model = ModelServer::start({
        let gate = gate.clone();
        move |received| {
            let texts = received.texts("user").concat();
            match (received.texts("tool").is_empty(), texts.contains("also")) {
                (true, _) if texts.contains("count") && !texts.contains("also") => {
                    Answer::calls([sum("c1")]).held(&gate)
                }
                (false, true) => Answer::text("Done with both."),
                _ => Answer::text("Done with one."),
            }
        }
    });
    let home = Home::with_model(&model);
    let gateway = Gateway::start_with(&home, |command| {
        command.env("PICOBOT_CRASH_AT", label);
    });
    let mut client = Client::connect(gateway.port());
    command(&mut client, "/queue steer");
    say(&mut client, "1", "count");
    gate.wait_reached();
    say(&mut client, "2", "also this");
    client.ping();
    gate.release();
    gateway.end();

    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    say(&mut client, "1", "count");
    say(&mut client, "2", "also this");
    let seen = replies(&mut client, &["1", "2"]);
    assert_eq!(seen[1]["content"], "Done with both.", "{seen:?}");
    let merged = &seen[1]["merged"];
    assert_eq!(*merged == true, label == "steer-stored", "{seen:?}");
    let shown = said(&client.load("cli_chat:local:d1"));
    let users: Vec<&str> = shown
        .iter()
        .filter(|(role, _)| role == "user")
        .map(|(_, text)| text.as_str())
        .collect();
    assert_eq!(users, ["count", "also this"], "{shown:?}");
    crate::support::stage::check_all(&model.received());
}

#[cfg(debug_assertions)]
#[test]
fn killed_before_a_steered_input_is_part_of_the_turn() {
    killed_at("steer-begun");
}

#[cfg(debug_assertions)]
#[test]
fn killed_after_a_steered_input_is_part_of_the_turn() {
    killed_at("steer-stored");
}
