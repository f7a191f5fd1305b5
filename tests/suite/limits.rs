//! What ends a turn or a result that grows too long, through the real gateway.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::model::ModelServer;
use crate::support::script::{Answer, Call};
use crate::support::stage::Stage;

/// Returns the tool message that answers a call.
fn result_of(body: &serde_json::Value, id: &str) -> String {
    let messages = body["messages"].as_array().unwrap();
    let result = messages.iter().find(|m| m["tool_call_id"] == id).unwrap();
    result["content"].as_str().unwrap().to_owned()
}

/// Does what a shortened result proposes.
fn read_on(shown: &str) -> Call {
    let (_, rest) = shown.split_once(" is in ").unwrap();
    let (name, rest) = rest.split_once(';').unwrap();
    let offset: u32 = rest
        .split_once("offset ")
        .and_then(|(_, rest)| rest.split_once(','))
        .and_then(|(number, _)| number.parse().ok())
        .unwrap();
    let arguments = json!({"path": name, "offset": offset, "limit": 3});
    Call::new("c2", "file_read", arguments)
}

#[test]
fn a_long_result_is_kept_and_can_be_read_on() {
    let model = ModelServer::start(|request| {
        match request.body["messages"].as_array().map_or(0, Vec::len) {
            2 => Answer::calls([Call::new("c1", "bash", json!({"command": "seq 1 20000"}))]),
            4 => Answer::calls([read_on(&result_of(&request.body, "c1"))]),
            _ => Answer::text("done"),
        }
    });
    let stage = Stage::with_model(model);
    assert_eq!(stage.client().ask("count"), "done");
    let requests = stage.judged_requests(3);
    let shown = result_of(&requests[1].body, "c1");
    assert!(shown.chars().count() <= 16_000, "{}", shown.len());
    assert!(shown.starts_with("1\n2\n3\n"), "{shown:.100}");
    assert!(shown.contains("20000\n[exit 0]"), "the tail is shown");
    let read = result_of(&requests[2].body, "c2");
    assert!(read.starts_with("<untrusted-"), "{read}");
    let first: u32 = read.lines().nth(2).unwrap().parse().unwrap();
    assert!(read.contains(&format!("\n{first}\n{}\n{}\n", first + 1, first + 2)));
    assert!(shown.contains(&format!("\n{first}\n[… ")), "{first}");
}

#[test]
fn calls_that_are_too_long_go_back_with_what_to_do() {
    let content = "字".repeat(100_000);
    let command = format!("echo {}", "x".repeat(140_000));
    let model = ModelServer::queue([
        Answer::calls([
            Call::new(
                "c1",
                "file_write",
                json!({"path": "a.txt", "content": content}),
            ),
            Call::new("c2", "bash", json!({"command": command})),
            Call::new("c3", "calculator", json!({"expression": "1+1"})),
        ]),
        Answer::text("done"),
    ]);
    let stage = Stage::with_model(model);
    assert_eq!(stage.client().ask("write"), "done");
    let requests = stage.judged_requests(2);
    let result = |id: &str| result_of(&requests[1].body, id);
    assert!(
        result("c1").contains("in smaller parts"),
        "{}",
        result("c1")
    );
    assert!(result("c2").contains("file_write"), "{}", result("c2"));
    assert!(result("c3").contains('2'), "{}", result("c3"));
    assert!(!stage.home.workspace().join("a.txt").exists());
}

#[test]
fn what_no_service_takes_in_a_result_is_not_stored() {
    let stage = Stage::new([
        Answer::calls([Call::new("c1", "file_read", json!({"path": "wide.txt"}))]),
        Answer::text("done"),
        Answer::text("again"),
    ]);
    // UTF-32, which is read as UTF-16 with a NUL behind every letter.
    let text = [0xFF, 0xFE, 0, 0, b'h', 0, 0, 0, b'i', 0, 0, 0];
    std::fs::write(stage.home.workspace().join("wide.txt"), text).unwrap();
    let mut client = stage.client();
    assert_eq!(client.ask("read"), "done");
    assert_eq!(client.ask("more"), "again");
    let requests = stage.judged_requests(3);
    let shown = result_of(&requests[1].body, "c1");
    assert!(shown.contains('h') && !shown.contains('\0'), "{shown:?}");
    assert_eq!(shown, result_of(&requests[2].body, "c1"));
    let log = stage.gateway.log();
    assert!(!log.contains("mended"), "{log}");
}

#[test]
fn going_in_circles_ends_the_turn_and_is_told() {
    let same = |n: usize| {
        let id = format!("c{n}");
        Answer::calls([Call::new(&id, "calculator", json!({"expression": "1+1"}))])
    };
    let answers = (0..6).map(same).chain([Answer::text("two")]);
    let stage = Stage::new(answers);
    assert_eq!(
        stage.client().ask("again and again"),
        "two\n\nStopped: the same tool calls gave the same results 6 times."
    );
    let requests = stage.judged_requests(7);
    let told = result_of(&requests[3].body, "c2");
    assert!(told.contains("gave the same result 3 times"), "{told}");
    let untold = result_of(&requests[2].body, "c1");
    assert!(!untold.contains("times"), "{untold}");
    assert!(requests[6].body.get("tools").is_none());
}

#[test]
fn what_runs_is_cut_when_the_turns_time_is_over() {
    let bash = |id: &str, command: &str| Call::new(id, "bash", json!({"command": command}));
    let model = ModelServer::queue([
        Answer::calls([
            bash("c1", "echo begun; sleep 500"),
            bash("c2", "echo late > late.txt"),
        ]),
        Answer::text("as far as it went"),
    ]);
    let stage = Stage::with(
        model,
        json!({"agents": {"default": {"provider": "scripted", "model": "scripted", "max_turn_secs": 6}}}),
    );
    let began = Instant::now();
    assert_eq!(
        stage.client().ask("go"),
        "as far as it went\n\nStopped after 6 s."
    );
    assert!(began.elapsed() < Duration::from_secs(100));
    let requests = stage.judged_requests(2);
    let cut = result_of(&requests[1].body, "c1");
    assert_eq!(cut, "begun\n[killed: the time for this request is used up]");
    let late = result_of(&requests[1].body, "c2");
    assert_eq!(late, "Not run: the time for this request is used up.");
    assert!(!stage.home.workspace().join("late.txt").exists());
}
