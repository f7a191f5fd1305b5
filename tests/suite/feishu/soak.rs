//! Thousands of events with repeats, dropped and silent connections and kills: nothing lost, nothing answered twice.
//!
//! A short form runs with the suite. `make feishu-soak` runs the figures of the goal and prints what it measured; times are
//! asserted there only, on a machine that does nothing else.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use super::Office;
use super::service::message;
use crate::support::model::{ModelServer, Received};
use crate::support::script::Answer;

/// How much of everything.
struct Plan {
    events: usize,
    drops: usize,
    silences: usize,
    kills: usize,
    /// Chats, each with its own sender.
    chats: usize,
}

/// What is done to the bot.
#[derive(Clone, Copy)]
enum Blow {
    Drop,
    Silence,
    Kill,
}

impl Plan {
    /// All blows, each kind spread evenly over the run, so that each meets every phase of the work.
    fn blows(&self) -> Vec<Blow> {
        let kinds = [
            (Blow::Drop, self.drops),
            (Blow::Silence, self.silences),
            (Blow::Kill, self.kills),
        ];
        let spread =
            |(blow, n): (Blow, usize)| (0..n).map(move |k| ((k as f64 + 0.5) / n as f64, blow));
        let mut all: Vec<(f64, Blow)> = kinds.into_iter().flat_map(spread).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all.into_iter().map(|(_, blow)| blow).collect()
    }
}

const SHORT: Plan = Plan {
    events: 240,
    drops: 4,
    silences: 1,
    kills: 4,
    chats: 60,
};
const FULL: Plan = Plan {
    events: 10_000,
    drops: 100,
    silences: 20,
    kills: 50,
    chats: 600,
};

/// What the service asks for.
const PING_SECS: u64 = 1;
/// Events that may wait for their answers.
const MAX_BACKLOG: usize = 300;
/// What a busy machine may add to a silence.
const SLACK_MS: f64 = 1_500.0;

fn is_full() -> bool {
    std::env::var("PICOBOT_FEISHU_SOAK").is_ok_and(|wish| wish == "full")
}

/// Not `eprintln!`: the test harness would keep that for itself.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "feishu soak: {text}");
}

/// The model echoes the number of the newest task.
fn echo(received: &Received) -> Answer {
    let texts = received.texts("user");
    let newest = texts.last().map(String::as_str).unwrap_or_default();
    let number = newest.rsplit_once("task ").map(|(_, rest)| rest.trim());
    Answer::text(&format!("done {}", number.unwrap_or("?")))
}

fn task(plan: &Plan, n: usize) -> Value {
    message(
        &format!("om_{n}"),
        "text",
        &json!({"text": format!("task {n}")}),
        |event| {
            event["sender"]["sender_id"]["open_id"] = json!(format!("ou_{}", n % plan.chats));
            event["message"]["chat_id"] = json!(format!("oc_{}", n % plan.chats));
        },
    )
}

#[test]
fn nothing_is_lost_and_nothing_answered_twice() {
    let plan = if is_full() { FULL } else { SHORT };
    let bot = json!({"allow_from": ["*"], "streaming": false, "reaction_emoji": ""});
    let Some(mut office) = Office::with(ModelServer::start(echo), bot) else {
        return;
    };
    office.service.control(
        "config",
        &json!({"ping_interval": PING_SECS, "redeliver_after": 5.0}),
    );
    office.service.control("drop", &json!({}));
    let blows = plan.blows();
    let mut sent = 0;
    for (step, blow) in blows.iter().enumerate() {
        let until = plan.events * (step + 1) / blows.len();
        let mut events: Vec<Value> = (sent..until).map(|n| task(&plan, n)).collect();
        // Three of ten come again, some of them at once, some of an earlier time.
        let again = (sent..until)
            .filter(|n| n % 10 < 3)
            .map(|n| task(&plan, n - n % 7 % (n + 1)));
        events.extend(again.collect::<Vec<_>>());
        sent = until;
        office.service.control("events", &json!({"events": events}));
        // A load that can be borne: otherwise this would measure how a backlog grows.
        let answered = until.saturating_sub(MAX_BACKLOG);
        office
            .service
            .wait(&lean(&json!({"links": 1, "sent": answered})));
        match blow {
            Blow::Kill => office = office.crash(),
            Blow::Drop => {
                let connects = connects(&office);
                office.service.control("drop", &json!({}));
                // What is to fall silent next must stand first.
                if let Some(Blow::Silence) = blows.get(step + 1) {
                    office
                        .service
                        .wait(&lean(&json!({"connects": connects + 1})));
                }
            }
            Blow::Silence => {
                let connects = connects(&office);
                office.service.control("silence", &json!({}));
                office
                    .service
                    .wait(&lean(&json!({"connects": connects + 1})));
            }
        }
    }
    let log = wait_for_all(&office, plan.events);
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for one in log["sent"].as_array().unwrap() {
        *answers.entry(super::service::text_of(one)).or_default() += 1;
    }
    let lost: Vec<usize> = (0..plan.events)
        .filter(|n| !answers.contains_key(&format!("done {n}")))
        .collect();
    let twice: Vec<&String> = answers
        .iter()
        .filter(|(_, n)| **n > 1)
        .map(|(text, _)| text)
        .collect();
    // A silent connection is found out when its socket closes.
    let silences = log["silent_ms"].as_array().unwrap().iter();
    let found: Vec<f64> = silences.filter_map(Value::as_f64).collect();
    let latest = found.iter().copied().fold(0.0, f64::max);
    say(&format!(
        "{} events, {} connections, {} acks, {} answers, {} lost, {} twice, {}; {} silent, found after {latest:.0} ms at most",
        plan.events,
        log["counts"]["connects"],
        log["counts"]["acks"],
        log["sent"].as_array().unwrap().len(),
        lost.len(),
        twice.len(),
        ack_times(&log),
        found.len(),
    ));
    assert_eq!(lost, Vec::<usize>::new());
    assert_eq!(twice, Vec::<&String>::new());
    assert_eq!(log["counts"]["bad_frames"], 0);
    assert_eq!(found.len(), plan.silences, "{found:?}");
    if is_full() {
        let limit = (2.0 * PING_SECS as f64 + 10.0) * 1000.0;
        assert!(latest < limit + SLACK_MS, "{found:?}");
        assert!(log["ack_p99_ms"].as_f64().unwrap() < 1000.0, "{log:#}");
    }
}

/// The same wish, without the messages and calls so far: putting thousands of them together would hold the service up.
fn lean(wish: &Value) -> Value {
    let mut wish = wish.clone();
    for (key, value) in [
        ("from", json!(u32::MAX)),
        ("calls", json!(false)),
        ("cards", json!(false)),
    ] {
        wish[key] = value;
    }
    wish
}

/// How long pushes waited for their answers. Each push counts from when it was sent; one that was never answered, because
/// the gateway was killed, is pushed again as a new one.
fn ack_times(log: &Value) -> String {
    let ms = |key: &str| log[key].as_f64().unwrap_or(0.0);
    format!(
        "ack p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms",
        ms("ack_p50_ms"),
        ms("ack_p99_ms"),
        ms("ack_max_ms")
    )
}

fn connects(office: &Office) -> u64 {
    let log = office.service.control("log", &lean(&json!({})));
    log["counts"]["connects"].as_u64().unwrap()
}

fn wait_for_all(office: &Office, n: usize) -> Value {
    let mut before = usize::MAX;
    loop {
        let log = office
            .service
            .wait(&lean(&json!({"sent": n, "idle": true})));
        let sent = usize::try_from(log["n_sent"].as_u64().unwrap()).unwrap();
        // A wait that brought nothing new will bring nothing more.
        if sent >= n && log["open"] == 0 || sent == before {
            return office.service.log();
        }
        before = sent;
    }
}

#[test]
fn events_are_acknowledged_while_turns_run_and_strangers_cost_nothing() {
    let gate = crate::support::gate::Gate::new();
    let held = gate.clone();
    let model = ModelServer::start(move |_| Answer::text("at last").held(&held));
    let bot = json!({"allow_from": ["ou_0", "ou_1", "ou_2", "ou_3", "ou_4"], "reaction_emoji": ""});
    let Some(office) = Office::with(model, bot) else {
        return;
    };
    let busy: Vec<Value> = (0..20)
        .map(|n| {
            message(
                &format!("om_{n}"),
                "text",
                &json!({"text": "work"}),
                |event| {
                    event["sender"]["sender_id"]["open_id"] = json!(format!("ou_{}", n % 5));
                    event["message"]["chat_id"] = json!(format!("oc_{n}"));
                },
            )
        })
        .collect();
    office.service.control("events", &json!({"events": busy}));
    office.service.wait(&json!({"acks": 20}));
    office.model.wait_for(20);
    let strangers: Vec<Value> = (0..1000)
        .map(|n| {
            message(
                &format!("om_s{n}"),
                "text",
                &json!({"text": "let me in"}),
                |event| {
                    event["sender"]["sender_id"]["open_id"] = json!(format!("ou_s{n}"));
                },
            )
        })
        .collect();
    let more: Vec<Value> = (20..80)
        .map(|n| {
            message(
                &format!("om_{n}"),
                "text",
                &json!({"text": "more"}),
                |event| {
                    event["sender"]["sender_id"]["open_id"] = json!(format!("ou_{}", n % 5));
                    event["message"]["chat_id"] = json!(format!("oc_{}", n % 20));
                },
            )
        })
        .collect();
    office
        .service
        .control("events", &json!({"events": strangers}));
    office.service.control("events", &json!({"events": more}));
    let log = office.service.wait(&json!({"acks": 1080}));
    let p99 = &log["ack_p99_ms"];
    say(&format!(
        "1,080 events in one burst with 20 turns running, {}; strangers {}",
        ack_times(&log),
        office.health()["strangers"]
    ));
    assert_eq!(log["counts"]["acks"], 1080);
    assert_eq!(office.health()["strangers"], 1000);
    assert_eq!(office.model.received().len(), 20);
    if is_full() {
        assert!(p99.as_f64().unwrap() < 1000.0, "{p99}");
    }
    gate.release();
}
