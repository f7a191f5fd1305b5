//! Commands in the background through the real gateway: started, looked at, typed into, listed, ended, and gone with their
//! dialog and with the gateway.

use std::time::Instant;

use serde_json::json;

use crate::support::model::{ModelServer, Received};
use crate::support::process::PATIENCE;
use crate::support::script::{Answer, Call};
use crate::support::stage::Stage;
use crate::support::ws::Client;

/// The id of the newest process that a tool result tells of.
fn id_in(received: &Received) -> String {
    let results = received.texts("tool").join("\n");
    let (_, behind) = results
        .rsplit_once("Background process ")
        .unwrap_or_else(|| panic!("no process in {results}"));
    behind
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect()
}

/// A model that does what the newest user message says: `bash …` in the background, or `process {…}` with `ID` for the
/// newest id; then it answers with the result.
fn obedient() -> ModelServer {
    ModelServer::start(|received| {
        let last = received.body["messages"]
            .as_array()
            .unwrap()
            .last()
            .unwrap();
        if last["role"] == "tool" {
            return Answer::text(last["content"].as_str().unwrap());
        }
        let said = received.texts("user").pop().unwrap();
        let said = said.rsplit("\n\n").next().unwrap().trim().to_owned();
        let n = received.body["messages"].as_array().unwrap().len();
        let id = format!("call{n}");
        if let Some(command) = said.strip_prefix("bash ") {
            return Answer::calls([Call::new(
                &id,
                "bash",
                json!({"command": command, "background": true}),
            )]);
        }
        let arguments = said
            .strip_prefix("process ")
            .unwrap_or_else(|| panic!("{said}"));
        let arguments = match arguments.contains("ID") {
            true => arguments.replace("ID", &id_in(received)),
            false => arguments.to_owned(),
        };
        Answer::calls([Call::with_text(&id, "process", &arguments)])
    })
}

/// Lists the living processes whose command line holds the marker.
fn marked(marker: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(marker))
        .count()
}

/// Waits until no marked process is left.
fn wait_until_gone(marker: &str) {
    let end = Instant::now() + PATIENCE;
    while marked(marker) > 0 {
        assert!(Instant::now() < end, "still there");
        std::thread::yield_now();
    }
}

#[test]
fn a_process_outlives_its_turn_and_takes_input() {
    let stage = Stage::with_model(obedient());
    let mut client = stage.client();
    let started =
        client.ask("bash echo ready; while read -r x; do echo \"got $x\"; done; echo over");
    assert!(started.contains("ready\n[running for "), "{started}");
    let shown = client.ask(r#"process {"id": "ID", "input": "one\n二\n", "wait_secs": 5}"#);
    assert!(shown.starts_with("got one\n"), "{shown}");
    let listed = client.ask("process {}");
    assert!(
        listed.contains(" running ") && listed.contains("echo ready"),
        "{listed}"
    );
    let ps = client.request("/ps");
    assert!(
        ps["content"].as_str().unwrap().contains(" runs for "),
        "{ps}"
    );
    // Another dialog sees nothing of it.
    client.request("/new");
    assert_eq!(
        client.request("/ps")["content"],
        "No background processes here."
    );
    assert_eq!(client.ask("process {}"), "No background processes.");
    client.request("/switch d1");
    let mut ended = client.ask(r#"process {"id": "ID", "input": "", "wait_secs": 4}"#);
    // A look returns at the first news: what is printed and the end may come one after the other.
    for _ in 0..5 {
        if !ended.contains("[exit 0]") {
            ended += &client.ask(r#"process {"id": "ID", "wait_secs": 4}"#);
        }
    }
    assert!(
        ended.contains("over\n") && ended.ends_with("[exit 0]"),
        "{ended}"
    );
    let refused = client.ask(r#"process {"id": "ID", "input": "more\n"}"#);
    assert!(refused.contains("has ended"), "{refused}");
}

#[test]
fn what_fails_at_once_says_so_and_bad_calls_are_refused() {
    let stage = Stage::with_model(obedient());
    let mut client = stage.client();
    let failed = client.ask("bash no-such-program-x; exit 7");
    assert!(
        failed.contains("not found") && failed.ends_with("[exit 7]"),
        "{failed}"
    );
    for (arguments, words) in [
        (r#"{"id": "p000000"}"#, "There is no background process"),
        (r#"{"input": "x"}"#, "id is missing"),
        (r#"{"id": "ID", "wait_secs": 9999}"#, "wait_secs"),
        (r#"{"id": 7}"#, "There is no background process \"7\""),
    ] {
        let answer = client.ask(&format!("process {arguments}"));
        assert!(answer.contains(words), "{arguments}: {answer}");
    }
}

#[test]
fn processes_end_by_command_with_their_dialog_and_with_the_gateway() {
    let stage = Stage::with_model(obedient());
    let mut client = stage.client();
    let marker = format!("marker-{}", uuid::Uuid::now_v7().simple());
    let start = format!("bash trap '' TERM HUP; setsid sleep 1000 & exec -a {marker} sleep 1000");
    let started = client.ask(&start);
    assert!(started.contains("[running for "), "{started}");
    let killed = client.ask(r#"process {"id": "ID", "kill": true}"#);
    assert_eq!(killed, "[killed]");
    assert_eq!(marked(&marker), 0);

    client.ask(&start);
    assert!(marked(&marker) > 0);
    let said = client.request("/ps kill all");
    assert!(
        said["content"].as_str().unwrap().starts_with("Ended p"),
        "{said}"
    );
    wait_until_gone(&marker);
    assert_eq!(
        client.request("/ps kill all")["content"],
        "No such process runs here."
    );

    client.ask(&start);
    client.request("/delete");
    wait_until_gone(&marker);

    client.ask(&start);
    assert!(marked(&marker) > 0);
    assert!(stage.gateway.term().success());
    assert_eq!(marked(&marker), 0);
}

#[test]
fn a_killed_gateway_leaves_none_and_too_many_are_refused() {
    let stage = Stage::with_model(obedient());
    let mut client = stage.client();
    let marker = format!("marker-{}", uuid::Uuid::now_v7().simple());
    for _ in 0..8 {
        let started = client.ask(&format!("bash exec -a {marker} sleep 1000"));
        assert!(started.contains("[running for "), "{started}");
    }
    let refused = client.ask("bash echo one more");
    assert!(
        refused.contains("Too many background processes"),
        "{refused}"
    );
    assert!(marked(&marker) >= 8);
    stage.gateway.kill9();
    wait_until_gone(&marker);
}

#[test]
fn looking_again_and_again_at_what_runs_is_no_circle() {
    let model = ModelServer::start(|received| {
        let messages = received.body["messages"].as_array().unwrap();
        let n = messages.iter().filter(|m| m["role"] == "tool").count();
        match n {
            0 => Answer::calls([Call::new(
                "c0",
                "bash",
                json!({"command": "sleep 1000", "background": true}),
            )]),
            1..=6 => Answer::calls([Call::with_text(
                &format!("c{n}"),
                "process",
                &format!(r#"{{"id": "{}", "wait_secs": 0}}"#, id_in(received)),
            )]),
            _ => Answer::text("still building"),
        }
    });
    let stage = Stage::with_model(model);
    let mut client = Client::hello(stage.gateway.port(), &["stream"]);
    client.send_json(&json!({"type": "user_input", "content": "build"}));
    let answer = client
        .until(&["assistant_response", "error"])
        .pop()
        .unwrap();
    assert_eq!(answer["content"], "still building");
    stage.requests(8);
}
