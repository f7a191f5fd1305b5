//! A model service that hangs, lies or cuts off: the person gets a sentence, and the next turn works.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::CEILING;
use crate::support::gate::Gate;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::script::{Answer, Call};
use crate::support::stage::Stage;
use crate::support::ws::Client;

/// A stage whose gateway is impatient.
fn impatient(answers: impl IntoIterator<Item = Answer>) -> Stage {
    let model = ModelServer::queue(answers);
    let home = Home::empty();
    let mut config = home.config_for(&model);
    config["providers"]["scripted"]["first_byte_timeout_secs"] = json!(1);
    config["providers"]["scripted"]["idle_timeout_secs"] = json!(1);
    home.write_config(&config);
    let gateway = Gateway::start(&home);
    Stage {
        gateway,
        model,
        home,
    }
}

/// Asks a service that fails and then works; returns the error.
#[track_caller]
fn fails_and_recovers(stage: &Stage, code: &str) -> Value {
    let mut client = stage.client();
    let error = client.request("hello");
    assert_eq!(error["type"], "error", "{error}");
    assert_eq!(error["code"], code, "{error}");
    assert_eq!(error["session_id"], client.session_id, "{error}");
    assert!(error["message"].as_str().unwrap().contains("scripted"));
    assert_eq!(client.ask("and now?"), "Better now.");
    let id = client.session_id.clone();
    let messages = client.load(&id);
    let states: Vec<&Value> = messages
        .iter()
        .filter(|message| message["role"] == "user")
        .map(|message| &message["state"])
        .collect();
    assert_eq!(states, ["failed", "done"], "{messages:#?}");
    let all = stage.model.received().len();
    let last = stage.requests(all)[all - 1].texts("user").concat();
    assert!(last.contains("hello"), "the first question is lost: {last}");
    error
}

#[test]
fn it_never_answers() {
    let gate = Gate::new();
    let stage = impatient([
        Answer::text("never").held(&gate),
        Answer::text("Better now."),
    ]);
    let error = fails_and_recovers(&stage, "timeout");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("did not answer in 1 s"), "{message}");
    gate.wait_hung_up();
    stage.requests(2);
}

/// Asks a service that breaks off and then works: what was said is the answer, and marked.
#[track_caller]
fn is_marked_and_recovers(stage: &Stage, said: &str) {
    let mut client = stage.client();
    let cut = client.ask("hello");
    assert_eq!(cut, format!("{said}\n\n[cut off]"));
    assert_eq!(client.ask("and now?"), "Better now.");
    assert_eq!(stage.requests(2)[1].texts("assistant")[0].trim_end(), said);
}

#[test]
fn it_falls_silent_in_the_middle() {
    let gate = Gate::new();
    let stage = impatient([
        Answer::text("one two three").held_after(3, &gate),
        Answer::text("Better now."),
    ]);
    is_marked_and_recovers(&stage, "one two");
    gate.wait_hung_up();
}

#[test]
fn it_refuses_connections() {
    let model = ModelServer::queue([]);
    let home = Home::with_model(&model);
    drop(model);
    let gateway = Gateway::start(&home);
    let mut client = Client::hello(gateway.port(), &[]);
    client.say("hello");
    // After three more tries.
    let log = gateway.process().stderr();
    assert!(log.has("cannot reach the service"), "{}", log.text());
    let error = client.until(&["error"]).pop().unwrap();
    assert_eq!(error["code"], "provider", "{error}");
    assert_eq!(gateway.health()["status"], "ok");
    assert_eq!(gateway.health()["parts"]["provider"]["status"], "degraded");
}

#[test]
fn it_talks_nonsense() {
    let html = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 26\r\n\r\n\
        <html>Please log in</html>";
    let wrong = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n\
        {\"choices\": 17}";
    let lying =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {\"choices\": [}\n\n";
    for bytes in [&html[..], wrong, lying] {
        let stage = Stage::new([Answer::raw(bytes), Answer::text("Better now.")]);
        let error = fails_and_recovers(&stage, "provider");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("cannot be understood"), "{message}");
        stage.requests(2);
    }
}

#[test]
fn it_is_no_http_server() {
    let stage = Stage::new([
        Answer::raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
        Answer::text("Here."),
    ]);
    let mut client = stage.client();
    let reply = client.request("hello");
    // Either asked again at once or reported: nothing is lost.
    if reply["type"] == "error" {
        assert_eq!(reply["code"], "provider", "{reply}");
        assert_eq!(client.ask("and now?"), "Here.");
    } else {
        assert_eq!(reply["content"], "Here.");
    }
    stage.requests(2);
}

#[test]
fn it_cuts_off_a_text() {
    let stage = Stage::new([
        Answer::text("one two three four five six").cut_after(900),
        Answer::text("Better now."),
    ]);
    is_marked_and_recovers(&stage, "one two three four");
}

#[test]
fn it_cuts_off_a_call() {
    let stage = Stage::new([
        Answer::calls([Call::new(
            "c1",
            "bash",
            json!({"command": "echo half > half.txt"}),
        )])
        .cut_after(600),
        Answer::text("Here."),
    ]);
    let mut client = stage.client();
    let reply = client.request("hello");
    assert!(!stage.home.workspace().join("half.txt").exists());
    if reply["type"] == "error" {
        assert_eq!(client.ask("and now?"), "Here.");
    } else {
        assert_eq!(reply["content"], "Here.");
    }
    stage.requests(2);
}

#[test]
fn its_errors_are_told_in_words() {
    for (answer, code, words) in [
        (Answer::error(401, "bad key"), "auth", "api_key"),
        (Answer::error(402, "no money"), "auth", "balance"),
        (Answer::error(404, "no model"), "provider", "model_id"),
        (Answer::error(400, "bad field"), "provider", "bad field"),
    ] {
        let stage = Stage::new([answer, Answer::text("Better now.")]);
        let error = fails_and_recovers(&stage, code);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
        stage.requests(2);
    }
}

#[test]
fn a_second_signal_ends_a_hanging_turn_at_once() {
    let gate = Gate::new();
    let model = ModelServer::queue([
        Answer::text("never").held(&gate),
        Answer::text("Late."),
        Answer::text("And now this."),
    ]);
    let home = Home::with_model(&model);
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    client.say("hello");
    gate.wait_reached();
    gateway.process().signal(Signal::TERM);
    assert!(
        gateway
            .process()
            .stderr()
            .has("a second signal stops at once")
    );
    gateway.process().signal(Signal::INT);
    // Less than the grace that running turns have.
    assert!(gateway.process().ends_within(CEILING), "{}", gateway.log());
    assert_eq!(gateway.end().code, Some(130));
    // The turn is as safe as after any other sudden end.
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    assert_eq!(client.ask("and this?"), "And now this.");
    let id = client.session_id.clone();
    assert_eq!(client.load(&id).len(), 4);
}
