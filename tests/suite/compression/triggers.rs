//! What makes a dialog shorter, and what people and the model see of it.

use serde_json::{Value, json};

use super::{all_text, asked, home, newest, too_long, wants_summary};
use crate::support::gate::Gate;
use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::model::{ModelServer, Received};
use crate::support::script::{Answer, Call};
use crate::support::stage::check_all;
use crate::support::ws::Client;

/// About 1,000 tokens of prose.
fn essay(about: &str) -> String {
    format!("{about}: {}", "every word of it counts here ".repeat(150))
}

fn summaries(model: &ModelServer) -> usize {
    model
        .received()
        .iter()
        .filter(|one| wants_summary(one))
        .count()
}

fn answer_or_summary(received: &Received) -> Answer {
    if wants_summary(received) {
        Answer::text("Goal: trees. Apples were chosen.")
    } else {
        Answer::text("I see.")
    }
}

#[test]
fn a_dialog_that_grows_is_compressed_and_stays_readable() {
    let model = ModelServer::start(answer_or_summary);
    let home = home(&model, 9_000);
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    let session = client.session_id.clone();
    assert_eq!(
        client.ask("Plant trees in garden/plan.md for order-4711"),
        "I see."
    );
    let mut n = 1;
    while summaries(&model) == 0 {
        assert!(n < 20, "never compressed");
        client.ask(&essay(&format!("essay {n}")));
        n += 1;
    }
    let received = model.received();
    check_all(&received);
    let last = received.last().unwrap();
    let text = all_text(last);
    for kept in [
        "Apples were chosen",
        "garden/plan.md",
        "order-4711",
        "Plant trees in",
    ] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
    assert!(newest(last).contains(&format!("essay {}", n - 1)));
    // People see everything that was said.
    let shown = client.load(&session);
    assert_eq!(shown.len(), 2 * n);
    assert!(
        shown[0]["content"]
            .as_str()
            .unwrap()
            .contains("Plant trees")
    );
    let rows = asked(
        &home.database(),
        &[
            "SELECT count(*) FROM timeline WHERE content LIKE '%Apples%'",
            "SELECT count(*) FROM model_calls WHERE purpose = 'compression' AND outcome = 'ok'",
        ],
    );
    assert_eq!(rows, "[(1,)]\n[(1,)]\n");
}

#[test]
fn people_are_told_in_a_sentence() {
    let model = ModelServer::start(answer_or_summary);
    let home = home(&model, 9_000);
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    for n in 0..20 {
        client.say(&essay(&format!("essay {n}")));
        let seen = client.until(&["assistant_response", "error"]);
        if seen.len() > 1 {
            let said = seen[0]["content"].as_str().unwrap();
            assert_eq!(seen[0]["type"], "system_notification", "{seen:?}");
            assert!(said.starts_with("Compressed "), "{said}");
            assert_eq!(seen.len(), 2, "{seen:?}");
            return;
        }
    }
    panic!("nobody was told");
}

/// Both sizes are told as the model counts, which the demo provider does in its own way.
#[test]
fn compact_tells_sizes_that_can_be_compared() {
    let home = Home::fresh();
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    for n in 1..=3 {
        client.ask(&format!("what is 2+{n}?"));
    }
    let said = client.request("/compact")["content"].to_string();
    let (_, sizes) = said.split_once(": about ").unwrap();
    let (sizes, _) = sizes.split_once(" tokens").unwrap();
    let (before, after) = sizes.split_once(" → ").unwrap();
    let count = |size: &str| size.replace(',', "").parse::<u64>().unwrap();
    // A summary of so little is longer than what it stands for, but not by the whole prompt.
    assert!(count(after) < count(before) + 700, "{said}");
}

#[test]
fn compact_keeps_the_focus_and_the_last_exchange() {
    let model = ModelServer::start(answer_or_summary);
    let home = home(&model, 128_000);
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    client.ask("first about /srv/data/trees.csv");
    client.ask("second");
    client.ask("third");
    let reply = client.request("/compact the trees 树");
    assert_eq!(reply["type"], "command_executed", "{reply}");
    assert_eq!(reply["command"], "/compact");
    let said = reply["content"].as_str().unwrap();
    assert!(
        said.starts_with("Compressed 4 messages into a summary"),
        "{said}"
    );
    let wish = model.received().pop().unwrap();
    assert!(newest(&wish).contains("what concerns this: the trees 树"));
    assert!(wish.body.get("tools").is_none());
    client.ask("fourth");
    let last = model.received().pop().unwrap();
    let users = last.texts("user");
    assert_eq!(users.len(), 2, "{users:?}");
    assert!(users[0].contains("/srv/data/trees.csv") && users[0].contains("third"));
    assert!(!users[0].contains("second exchange") && users[1].contains("fourth"));
    check_all(&model.received());
    // Nothing but the last exchange is left to compress again.
    client.request("/compact");
    let reply = client.request("/compact");
    let said = reply["content"].as_str().unwrap();
    assert!(said.contains("nothing to compress"), "{said}");
    let list = client_commands(&mut client);
    assert!(list.contains("/compact [focus]"), "{list}");
}

fn client_commands(client: &mut Client) -> String {
    client.send_json(&json!({"type": "get_slash_commands"}));
    client
        .until(&["slash_commands_list"])
        .pop()
        .unwrap()
        .to_string()
}

#[test]
fn a_refused_length_is_made_to_fit() {
    // Takes two whole essays at most, except to summarise them.
    let model = ModelServer::start(|received| {
        let words = all_text(received)
            .matches("every word of it counts")
            .count();
        match (
            wants_summary(received),
            words > 2 * 150 && received.index > 2,
        ) {
            (true, _) => Answer::text("Essays were read."),
            (false, true) => too_long(),
            (false, false) => Answer::text("I see."),
        }
    });
    let home = home(&model, 128_000);
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    for n in 0..3 {
        assert_eq!(client.ask(&essay(&format!("essay {n}"))), "I see.");
    }
    assert_eq!(client.ask("and now?"), "I see.");
    let received = model.received();
    assert_eq!(received.len(), 6, "refused, summarised, asked again");
    let text = all_text(received.last().unwrap());
    assert!(text.contains("Essays were read.") && text.contains("and now?"));
    check_all(&received);
}

#[test]
fn old_results_are_shortened_before_anything_is_summarised() {
    let model = ModelServer::start(|received| {
        assert!(!wants_summary(received), "no summary is needed");
        let done = received.texts("tool").len();
        if done < 8 {
            let n = done + 1;
            let arguments = json!({"path": format!("big{n}.txt")});
            Answer::calls([Call::new(&format!("c{n}"), "file_read", arguments)])
        } else {
            Answer::text("All read.")
        }
    });
    let home = home(&model, 30_000);
    for n in 1..=8 {
        let lines: String = (0..900).map(|i| format!("line {i} of {n}\n")).collect();
        std::fs::write(home.workspace().join(format!("big{n}.txt")), lines).unwrap();
    }
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    assert_eq!(client.ask("read all"), "All read.");
    let received = model.received();
    check_all(&received);
    let results = received.last().unwrap().texts("tool");
    assert!(
        results[0].contains("left out to save room"),
        "{}",
        results[0]
    );
    assert!(
        results[7].contains("line 200 of 8"),
        "the newest stays whole"
    );
    let whole = asked(
        &home.database(),
        &["SELECT count(*) FROM messages WHERE parts LIKE '%line 200 of 1%'"],
    );
    assert_eq!(whole, "[(1,)]\n", "the stored result stays whole");
}

/// A model that answers everything but summaries, of which it fails the first so many.
fn failing_summaries(n_failing: usize) -> ModelServer {
    let failed = std::sync::atomic::AtomicUsize::new(0);
    ModelServer::start(move |received| {
        if !wants_summary(received) {
            return Answer::text("I see.");
        }
        if failed.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < n_failing {
            Answer::error(401, "no credit")
        } else {
            Answer::text("A summary at last.")
        }
    })
}

#[test]
fn a_failed_summary_leaves_the_dialog_as_it_was() {
    let model = failing_summaries(1);
    let home = home(&model, 128_000);
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    client.ask("first");
    client.ask("second");
    let reply = client.request("/compact");
    let said = reply["content"].as_str().unwrap();
    assert!(said.starts_with("Nothing was compressed."), "{said}");
    assert!(!said.contains("test-key"));
    client.ask("third");
    let last = model.received().pop().unwrap();
    assert_eq!(last.texts("user").len(), 3);
    // A person may try again at once.
    let reply = client.request("/compact");
    assert!(
        reply["content"].as_str().unwrap().starts_with("Compressed"),
        "{reply}"
    );
}

#[test]
fn a_failed_summary_rests_across_a_restart_and_a_full_dialog_gets_one_without_a_model() {
    let model = failing_summaries(usize::MAX);
    let home = home(&model, 9_000);
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    client.ask("Remember: never touch /etc/fstab");
    let mut n = 0;
    while summaries(&model) == 0 {
        assert!(n < 20, "never compressed");
        client.ask(&essay(&format!("essay {n}")));
        n += 1;
    }
    let tried = summaries(&model);
    // The next process does not try again, and when the dialog is full, goes by rule.
    let gateway = gateway.restart(&home);
    let mut client = Client::connect(gateway.port());
    let compressed = (0..10).any(|more| {
        client.ask(&essay(&format!("more {more}")));
        let last = model.received().pop().unwrap();
        all_text(&last).contains("<summary>")
    });
    assert!(compressed, "a full dialog must be compressed all the same");
    assert_eq!(summaries(&model), tried, "the rest was not kept");
    let last = model.received().pop().unwrap();
    assert!(all_text(&last).contains("never touch /etc/fstab"));
    check_all(&model.received());
}

#[test]
fn stop_ends_a_compression_and_new_does_not_wait_for_it() {
    let gate = Gate::new();
    let held = gate.clone();
    let model = ModelServer::start(move |received| {
        if wants_summary(received) {
            Answer::text("never said").held(&held)
        } else {
            Answer::text("I see.")
        }
    });
    let home = home(&model, 128_000);
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    client.ask("first");
    client.ask("second");
    let session = client.session_id.clone();
    client.load(&session);
    client.say("/compact");
    gate.wait_reached();
    client.say("waits behind it");
    let mut other = Client::connect(gateway.port());
    let reply = other.request("/new elsewhere");
    assert_eq!(reply["type"], "command_executed", "{reply}");
    assert_eq!(other.ask("hello there"), "I see.");
    client.say("/stop");
    let replies: Vec<Value> = (0..3).map(|_| client.next()).collect();
    let stopped = replies
        .iter()
        .filter(|one| one["code"] == "stopped")
        .count();
    assert_eq!(stopped, 2, "{replies:?}");
    gate.wait_hung_up();
    client.ask("third");
    let last = model.received().pop().unwrap();
    assert_eq!(last.texts("user").len(), 3, "nothing was compressed");
    assert!(!all_text(&last).contains("<summary>"));
}

#[test]
fn stop_ends_a_turn_that_is_being_compressed() {
    let gate = Gate::new();
    let held = gate.clone();
    let model = ModelServer::start(move |received| {
        match (
            wants_summary(received),
            newest(received).ends_with("too much"),
        ) {
            (true, _) => Answer::text("never said").held(&held),
            (false, true) => too_long(),
            (false, false) => Answer::text("I see."),
        }
    });
    let home = home(&model, 128_000);
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    client.ask("first");
    client.say("this is too much");
    gate.wait_reached();
    client.say("/stop");
    let replies: Vec<Value> = (0..2).map(|_| client.next()).collect();
    let stopped = replies
        .iter()
        .filter(|one| one["code"] == "stopped")
        .count();
    assert_eq!(stopped, 1, "{replies:?}");
    gate.wait_hung_up();
    client.ask("third");
    check_all(&model.received());
}

#[test]
fn in_every_mode_it_waits_for_the_running_turn() {
    for mode in ["steer", "interrupt"] {
        let gate = Gate::new();
        let held = gate.clone();
        let model = ModelServer::start(move |received| {
            if newest(received).ends_with("slowly") {
                Answer::text("Slow answer.").held(&held)
            } else {
                answer_or_summary(received)
            }
        });
        let home = home(&model, 128_000);
        let gateway = Gateway::start(&home);
        let mut client = Client::connect(gateway.port());
        client.request(&format!("/queue {mode}"));
        client.ask("first");
        client.say("slowly");
        gate.wait_reached();
        client.say("/compact");
        client.ping();
        gate.release();
        let answer = client
            .until(&["assistant_response", "error"])
            .pop()
            .unwrap();
        assert_eq!(answer["content"], "Slow answer.", "{mode}");
        let done = client.until(&["command_executed", "error"]).pop().unwrap();
        let said = done["content"].as_str().unwrap();
        assert!(said.starts_with("Compressed 2 messages"), "{mode}: {done}");
        let shown = model.received();
        assert!(!shown.iter().any(|one| all_text(one).contains("/compact")));
    }
}

#[test]
fn a_repeated_compact_is_done_once() {
    let model = ModelServer::start(answer_or_summary);
    let home = home(&model, 128_000);
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    client.ask("first");
    client.ask("second");
    let wish = json!({"type": "user_input", "content": "/compact", "request_id": "c1"});
    client.send_json(&json!({"type": "hello", "capabilities": ["request_id"]}));
    let mut said = Vec::new();
    for _ in 0..2 {
        client.send_json(&wish);
        let reply = client.until(&["command_executed"]).pop().unwrap();
        said.push(reply["content"].as_str().unwrap().to_owned());
    }
    assert_eq!(said[0], said[1]);
    assert!(said[0].starts_with("Compressed 2 messages"), "{said:?}");
    assert_eq!(summaries(&model), 1);
}

#[test]
fn clearing_and_deleting_during_a_compression() {
    for (wish, done) in [
        ("clear_history", "history_cleared"),
        ("delete_session", "session_deleted"),
    ] {
        let gate = Gate::new();
        let held = gate.clone();
        let model = ModelServer::start(move |received| {
            if wants_summary(received) {
                Answer::text("never said").held(&held)
            } else {
                Answer::text("I see.")
            }
        });
        let home = home(&model, 128_000);
        let gateway = Gateway::start(&home);
        let mut client = Client::connect(gateway.port());
        client.ask("first secret");
        client.ask("second");
        client.say("/compact");
        gate.wait_reached();
        client.send_json(&json!({"type": wish}));
        client.until(&[done]);
        gate.wait_hung_up();
        client.ask("again");
        let last = model.received().pop().unwrap();
        assert_eq!(last.texts("user").len(), 1);
        assert!(!all_text(&last).contains("secret"));
        let rows = asked(
            &home.database(),
            &[
                "SELECT count(*) FROM contexts WHERE upto > 0",
                "SELECT count(*) FROM timeline",
            ],
        );
        assert_eq!(rows, "[(0,)]\n[(0,)]\n");
    }
}

#[test]
fn the_system_prompt_is_read_anew() {
    let model = ModelServer::start(answer_or_summary);
    let home = home(&model, 128_000);
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    client.ask("first");
    let rules = "Always answer in verse.";
    std::fs::write(home.workspace().join("AGENTS.md"), rules).unwrap();
    client.ask("second");
    let before = model.received().pop().unwrap();
    assert!(
        !before.texts("system")[0].contains(rules),
        "the prefix must not change"
    );
    client.request("/compact");
    client.ask("third");
    let after = model.received().pop().unwrap();
    assert!(after.texts("system")[0].contains(rules));
}

#[test]
fn the_demo_compresses_too() {
    let home = Home::empty();
    for said in [
        "plant a tree",
        "what is 2+2?",
        "/compact",
        "what did I say first?",
    ] {
        let output = command(&home, "send").arg(said).output().unwrap();
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        match said {
            "/compact" => assert!(answer.contains("Compressed 2 messages"), "{answer}"),
            "what did I say first?" => assert!(answer.contains("plant a tree"), "{answer}"),
            _ => {}
        }
    }
}
