//! What comes out: the answer alone on stdout, or its JSON forms; and which dialog was spoken in.

use std::fs;
use std::io::{Read, pipe};

use serde_json::{Value, json};

use super::{Desk, assert_said, assert_told};
use crate::support::gate::Gate;
use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::process::{Process, run};
use crate::support::script::{Answer, Call};
use crate::support::ws::Client;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn calculation() -> Answer {
    let arguments = json!({"expression": "17.5% of 2340"});
    Answer::calls([Call::new("c1", "calculator", arguments)]).saying("Let me see.")
}

#[test]
fn the_demo_answers_with_a_real_calculation_and_nothing_else() {
    let home = Home::empty();
    let question = "what is 17.5% of 2340?";
    let plain = run(command(&home, "send").arg(question));
    let as_json = run(command(&home, "send").args([question, "--json"]));
    let answer = parsed(&as_json.stdout)["answer"].clone();
    let answer = answer.as_str().unwrap();
    assert!(answer.contains("409.5"), "{answer}");
    assert_said(&plain, answer.trim_end_matches('\n'));
    assert!(!plain.stdout.contains('\u{1b}'), "colours in a pipe");
}

#[test]
fn the_final_answer_only() {
    let desk = Desk::new([calculation(), Answer::text("It is 409.5.\n")]);
    assert_said(&desk.send(&["what is 17.5% of 2340?"]), "It is 409.5.");
    assert_eq!(desk.model.received().len(), 2);
}

#[test]
fn one_json_object() {
    let desk = Desk::new([
        calculation(),
        Answer::text("It is 409.5."),
        Answer::error(400, "no such thing"),
    ]);
    let ended = desk.send(&["--json", "what is 17.5% of 2340?"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 1);
    let object = parsed(&ended.stdout);
    let keys: Vec<&String> = object.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "schema",
            "ok",
            "answer",
            "session_id",
            "model",
            "stop_reason",
            "usage",
            "took_ms"
        ]
    );
    assert_eq!(object["schema"], 1);
    assert_eq!(object["ok"], true);
    assert_eq!(object["answer"], "It is 409.5.");
    assert_eq!(object["model"], "scripted-1");
    assert_eq!(object["stop_reason"], "complete");
    let id = object["session_id"].as_str().unwrap();
    assert!(id.starts_with("cli_chat:local:"), "{id}");
    for tokens in ["input_tokens", "output_tokens"] {
        assert!(object["usage"][tokens].as_u64() > Some(0), "{object}");
    }
    let ended = desk.send(&["--json", "again"]);
    assert_eq!(ended.code, Some(6), "{ended:?}");
    let object = parsed(&ended.stdout);
    assert_eq!(object["ok"], false);
    assert_eq!(object["answer"], Value::Null);
    assert_eq!(object["error"]["exit_code"], 6);
    let message = object["error"]["message"].as_str().unwrap();
    assert!(message.contains("no such thing"), "{message}");
}

#[test]
fn json_lines_are_the_frames() {
    let desk = Desk::new([calculation(), Answer::text("It is 409.5.")]);
    let ended = desk.send(&["--jsonl", "what is 17.5% of 2340?"]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    let lines: Vec<Value> = ended.stdout.lines().map(parsed).collect();
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(line["v"], 1, "{line}");
        assert_eq!(line["seq"], n + 1, "{line}");
        let time = line["ts"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.contains('T'), "{line}");
        assert!(line["type"].is_string(), "{line}");
    }
    let mut types: Vec<&str> = lines.iter().filter_map(|l| l["type"].as_str()).collect();
    types.dedup();
    assert_eq!(
        types,
        [
            "session_established",
            "input_accepted",
            "turn_started",
            "assistant_delta",
            "tool_started",
            "tool_finished",
            "assistant_delta",
            "turn_finished",
            "assistant_response",
        ]
    );
    assert_eq!(lines.last().unwrap()["content"], "It is 409.5.");
}

#[test]
fn a_stream_shows_pieces_and_ends_as_the_answer() {
    let gate = Gate::new();
    let desk = Desk::new([Answer::text("one two three").held_after(2, &gate)]);
    let process = desk.start(&["--stream", "count"]);
    assert!(process.stdout().has("one "), "nothing before the end");
    assert_eq!(process.stdout().text(), "one ");
    gate.release();
    assert_said(&process.finish(), "one two three");
}

#[test]
fn a_stream_through_a_gateway() {
    let gate = Gate::new();
    let desk = Desk::new([Answer::text("one two three").held_after(2, &gate)]);
    let _gateway = Gateway::start(&desk.home);
    let process = desk.start(&["--stream", "count"]);
    assert!(process.stdout().has("one "), "nothing before the end");
    gate.release();
    assert_said(&process.finish(), "one two three");
}

#[test]
fn into_a_file() {
    let desk = Desk::new([Answer::text("Written."), Answer::text("Again.")]);
    let ended = desk.send(&["hello", "-o", "answer.txt"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
    let written = fs::read_to_string(desk.home.path().join("answer.txt")).unwrap();
    assert_eq!(written, "Written.\n");
    let ended = desk.send(&["hello", "--output", "missing/answer.txt"]);
    assert_told(&ended, 2, "missing/answer.txt");
    assert_eq!(desk.model.received().len(), 1, "asked in vain");
}

#[test]
fn usage_is_told_on_stderr() {
    let desk = Desk::new([Answer::text("Hello.")]);
    let ended = desk.send(&["hello", "--usage"]);
    assert_eq!((ended.code, &*ended.stdout), (Some(0), "Hello.\n"));
    assert!(ended.stderr.contains("scripted-1 · "), "{ended:?}");
    assert!(ended.stderr.contains(" tokens in, "), "{ended:?}");
}

#[test]
fn forms_of_output_exclude_each_other() {
    let desk = Desk::new([]);
    for arguments in [
        ["x", "--json", "--jsonl"],
        ["x", "--json", "--stream"],
        ["x", "--jsonl", "--stream"],
        ["x", "--timeout", "never"],
        ["x", "--timeout", "0"],
        ["x", "--no-such-option", ""],
    ] {
        let ended = desk.send(&arguments);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert_eq!(ended.stdout, "", "{ended:?}");
    }
}

#[test]
fn help_offers_what_is_there() {
    let desk = Desk::new([]);
    let help = desk.send(&["--help"]);
    assert_eq!((help.code, &*help.stderr), (Some(0), ""), "{help:?}");
    for option in [
        "--file",
        "--no-stdin",
        "--session",
        "--new",
        "--json",
        "--jsonl",
        "--stream",
        "--output",
        "--usage",
        "--timeout",
        "--idempotency-key",
        "--local",
        "--gateway-url",
    ] {
        assert!(help.stdout.contains(option), "{option}");
    }
}

/// A model that tells how many user messages it sees, which tells dialogs apart.
fn counting() -> Desk {
    Desk::with_model(ModelServer::start(|received| {
        Answer::text(&format!("{}", received.texts("user").len()))
    }))
}

#[test]
fn a_dialog_goes_on_and_a_new_one_begins() {
    let desk = counting();
    assert_said(&desk.send(&["one"]), "1");
    assert_said(&desk.send(&["two"]), "2");
    assert_said(&desk.send(&["one", "--new"]), "1");
    assert_said(&desk.send(&["one", "-n", "Trip to Kyoto"]), "1");
    // A new dialog does not become the chat's own.
    assert_said(&desk.send(&["three"]), "3");
}

#[test]
fn a_dialog_is_found_by_id_beginning_and_title() {
    let desk = counting();
    let gateway = Gateway::start(&desk.home);
    for title in ["Trip to Kyoto", "Trip to Oslo", "Budget"] {
        assert_said(&desk.send(&["x", "--new", title]), "1");
    }
    let as_json = desk.send(&["x", "--json", "--session", "Budget"]);
    let object = parsed(&as_json.stdout);
    assert_eq!(object["answer"], "2", "{object}");
    let id = object["session_id"].as_str().unwrap();
    let short = id.rsplit(':').next().unwrap();
    for (n, wanted) in [id, short, "Bud", "budget"].iter().enumerate() {
        let ended = desk.send(&["x", "-s", wanted]);
        assert_said(&ended, &format!("{}", n + 3));
    }
    assert_said(&desk.send(&["x", "-s", "Trip to O"]), "2");
    assert_told(&desk.send(&["x", "-s", "Trip"]), 2, "several dialogs");
    assert_told(&desk.send(&["x", "-s", "nowhere"]), 2, "no dialog");
    let gone = desk.send(&["x", "-s", "cli_chat:local:nowhere"]);
    assert_told(&gone, 2, "no such dialog");
    // The same without a gateway.
    gateway.kill9();
    assert_said(&desk.send(&["x", "-s", "Trip to O"]), "3");
}

#[test]
fn a_key_gets_the_same_answer_without_a_gateway() {
    let desk = Desk::new([Answer::text("Once."), Answer::text("Twice.")]);
    let arguments = ["hello", "--idempotency-key", "job-1"];
    assert_said(&desk.send(&arguments), "Once.");
    assert_said(&desk.send(&arguments), "Once.");
    assert_eq!(desk.model.received().len(), 1);
    let other = ["hello", "--idempotency-key", "job-2"];
    assert_said(&desk.send(&other), "Twice.");
}

#[test]
fn a_key_gets_the_same_answer_from_everyone() {
    let desk = Desk::new([Answer::text("Once."), Answer::error(400, "refused")]);
    let arguments = ["hello", "--idempotency-key", "job-1"];
    let gateway = Gateway::start(&desk.home);
    assert_said(&desk.send(&arguments), "Once.");
    let gateway = gateway.restart(&desk.home);
    assert_said(&desk.send(&arguments), "Once.");
    let failing = ["hello", "--idempotency-key", "job-2"];
    assert_told(&desk.send(&failing), 6, "refused");
    gateway.term();
    assert_said(&desk.send(&arguments), "Once.");
    assert_told(&desk.send(&failing), 6, "refused");
    assert_eq!(desk.model.received().len(), 2);
}

#[test]
fn a_key_joins_a_turn_under_way() {
    let gate = Gate::new();
    let desk = Desk::new([Answer::text("Once.").held(&gate)]);
    let gateway = Gateway::start(&desk.home);
    let arguments = ["hello", "--idempotency-key", "job-1"];
    let first = desk.start(&arguments);
    gate.wait_reached();
    let second = desk.start(&[&arguments[..], &["--jsonl"]].concat());
    assert!(second.stdout().has("input_accepted"));
    gate.release();
    assert_said(&first.finish(), "Once.");
    let second = second.finish();
    assert!(
        second.stdout.contains("\"content\":\"Once.\""),
        "{second:?}"
    );
    let mut client = Client::connect(gateway.port());
    let id = client.session_id.clone();
    assert_eq!(client.load(&id).len(), 2);
}

/// Who gave no key is told the one that was made, so that the answer can be had.
#[test]
fn a_dead_gateway_leaves_a_key() {
    let gate = Gate::new();
    let desk = Desk::new([Answer::text("lost").held(&gate), Answer::text("Once.")]);
    let gateway = Gateway::start(&desk.home);
    let first = desk.start(&["hello"]);
    gate.wait_reached();
    gateway.kill9();
    let ended = first.finish();
    assert_told(&ended, 4, "the gateway has gone");
    let (_, key) = ended.stderr.split_once("--idempotency-key ").unwrap();
    let key = key.split_whitespace().next().unwrap();
    let again = ["hello", "--idempotency-key", key];
    assert_said(&desk.send(&again), "Once.");
    assert_said(&desk.send(&again), "Once.");
    assert_eq!(desk.model.received().len(), 2);
}

#[test]
fn a_key_takes_up_what_a_dead_gateway_left() {
    let gate = Gate::new();
    let desk = Desk::new([Answer::text("lost").held(&gate), Answer::text("Once.")]);
    let gateway = Gateway::start(&desk.home);
    let arguments = ["hello", "--idempotency-key", "job-1"];
    let first = desk.start(&arguments);
    gate.wait_reached();
    gateway.kill9();
    assert_told(&first.finish(), 4, "the gateway has gone");
    assert_said(&desk.send(&arguments), "Once.");
    assert_said(&desk.send(&arguments), "Once.");
    let gateway = Gateway::start(&desk.home);
    let mut client = Client::connect(gateway.port());
    let id = client.session_id.clone();
    assert_eq!(client.load(&id).len(), 2);
    assert_eq!(desk.model.received().len(), 2);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    for mode in [&[][..], &["--stream"], &["--jsonl"], &["--json"]] {
        let desk = Desk::new([Answer::text(&"word ".repeat(50_000))]);
        let (reader, writer) = pipe().unwrap();
        let mut command = desk.command(&[&["talk"], mode].concat());
        let process = Process::with_stdout(&mut command, writer);
        // What holds the other end open here.
        drop(command);
        let mut first = [0];
        let mut reader = reader;
        reader.read_exact(&mut first).unwrap();
        drop(reader);
        let ended = process.finish();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{mode:?}");
    }
}
