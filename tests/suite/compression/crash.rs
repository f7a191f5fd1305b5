//! The gateway dies at each step of a compression and is started again: the dialog is as it was before, or as it is after,
//! and what the model is asked is what it would have been asked without the crash.

#![cfg_attr(not(debug_assertions), allow(unused_imports))] // The labels stand only in builds with debug assertions.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{all_text, asked, home, too_long, wants_summary};
use crate::support::gateway::Gateway;
use crate::support::model::{ModelServer, Received};
use crate::support::script::{Answer, Call};
use crate::support::stage::check_all;
use crate::support::ws::Client;

fn answer_or_summary(received: &Received) -> Answer {
    if wants_summary(received) {
        Answer::text("The summary.")
    } else {
        Answer::text("I see.")
    }
}

/// A request without what changes by itself: the time in the context blocks.
fn timeless(received: &Received) -> String {
    let mut body = received.body.clone();
    for message in body["messages"].as_array_mut().unwrap() {
        let text = message["content"].to_string();
        if let Some((before, rest)) = text.split_once("Time: ") {
            let (_, after) = rest.split_once("\\n").unwrap();
            message["content"] = Value::String(format!("{before}{after}"));
        }
    }
    body.to_string()
}

/// Tells the same story with this done between the messages; returns what the model was asked in the end.
fn story(between: impl Fn(Gateway, &crate::support::home::Home) -> Gateway) -> Vec<String> {
    let model = ModelServer::start(answer_or_summary);
    let home = home(&model, 128_000);
    let mut gateway = Gateway::start(&home);
    for said in [
        "one", "two", "/compact", "three", "four", "/compact", "five",
    ] {
        let mut client = Client::connect(gateway.port());
        client.request(said);
        gateway = between(gateway, &home);
    }
    model.received().iter().map(timeless).collect()
}

#[test]
fn requests_are_the_same_with_and_without_restarts() {
    let without = story(|gateway, _| gateway);
    let with = story(Gateway::restart);
    assert_eq!(without.len(), 7);
    for (n, (without, with)) in without.iter().zip(&with).enumerate() {
        assert_eq!(without, with, "request {n}");
    }
    assert_eq!(without.len(), with.len());
}

#[cfg(debug_assertions)]
#[track_caller]
fn crash_at(label: &str, compressed: bool) {
    let model = ModelServer::start(answer_or_summary);
    let home = home(&model, 128_000);
    let gateway = Gateway::start_with(&home, |command| {
        command.env("PICOBOT_CRASH_AT", label);
    });
    let mut client = Client::connect(gateway.port());
    let session = client.session_id.clone();
    client.request("one");
    client.request("two");
    client.request("three");
    client.say("/compact");
    let _ = gateway.end();
    let state = summary_in(&home.database());
    assert_eq!(!state.is_empty(), compressed, "{state}");
    // The command is taken up again.
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    client.request("four");
    let last = model.received().pop().unwrap();
    let users = last.texts("user");
    assert!(
        users[0].contains("The summary.") && users[0].contains("three"),
        "{users:?}"
    );
    assert_eq!(users.len(), 2, "{users:?}");
    assert!(all_text(&last).contains("First request: one"));
    assert_eq!(client.load(&session).len(), 8, "nothing is lost for people");
    let said = asked(
        &home.database(),
        &[
            "PRAGMA integrity_check",
            "PRAGMA foreign_key_check",
            "SELECT count(*) FROM inbox WHERE outcome IS NULL",
        ],
    );
    assert_eq!(said, "[('ok',)]\n[]\n[(0,)]\n");
}

/// A turn whose context is refused dies in the compression that makes room for it, and goes on after the restart. What the
/// model is asked in the end is what it is asked without a crash.
#[cfg(debug_assertions)]
fn turn_with_crash(label: Option<&str>) -> (String, String) {
    let refused = AtomicBool::new(false);
    let model = ModelServer::start(move |received| {
        if wants_summary(received) {
            return Answer::text("The summary.");
        }
        let done = received.texts("tool").len();
        let asked = received.texts("user").concat().contains("the long task");
        if asked && done == 3 && !refused.swap(true, Ordering::SeqCst) {
            return too_long();
        }
        let summarised = all_text(received).contains("<summary>");
        if !asked || summarised {
            return Answer::text("I see.");
        }
        if done == 3 {
            // Asked again after a crash that left no summary.
            return too_long();
        }
        let command = format!("echo step {done} >> steps.txt; seq 200");
        Answer::calls([Call::new(
            &format!("s{done}"),
            "bash",
            json!({"command": command}),
        )])
    });
    let home = home(&model, 128_000);
    let gateway = Gateway::start_with(&home, |command| {
        command.envs(label.map(|label| ("PICOBOT_CRASH_AT", label)));
    });
    let mut client = Client::connect(gateway.port());
    client.request("before it");
    client.say("the long task");
    let gateway = match label {
        None => {
            client.until(&["assistant_response"]);
            gateway
        }
        Some(_) => {
            let _ = gateway.end();
            Gateway::start(&home)
        }
    };
    let mut client = Client::connect(gateway.port());
    client.request("after it");
    let received = model.received();
    let turns: Vec<_> = received.iter().filter(|one| !wants_summary(one)).collect();
    check_all(&received);
    let steps = std::fs::read_to_string(home.workspace().join("steps.txt")).unwrap();
    assert_eq!(steps, "step 0\nstep 1\nstep 2\n", "no step is repeated");
    let [.., in_turn, after] = turns.as_slice() else {
        panic!("{} requests", turns.len())
    };
    (timeless(in_turn), timeless(after))
}

#[cfg(debug_assertions)]
fn summary_in(database: &Path) -> String {
    let said = asked(database, &["SELECT summary FROM contexts WHERE upto > 0"]);
    said.trim().trim_matches(['[', ']']).to_owned()
}

#[cfg(debug_assertions)]
mod labels {
    use super::{crash_at, turn_with_crash};

    #[test]
    fn inside_a_turn_that_then_goes_on() {
        let without = turn_with_crash(None);
        for label in [
            "compaction-begun",
            "compaction-summarised",
            "compaction-stored",
        ] {
            assert_eq!(turn_with_crash(Some(label)), without, "{label}");
        }
    }

    #[test]
    fn when_it_has_begun() {
        crash_at("compaction-begun", false);
    }

    #[test]
    fn when_the_summary_is_there() {
        crash_at("compaction-summarised", false);
    }

    #[test]
    fn when_it_is_stored() {
        crash_at("compaction-stored", true);
    }
}
