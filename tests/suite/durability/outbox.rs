//! `picobot outbox`, with a gateway and without, and deliveries that are too old.

use std::fs::File;

use serde_json::{Value, json};

use super::picobot;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::python::sqlite;
use crate::support::ws::Client;

/// Makes a home whose database has deliveries to a channel that is not configured, this many milliseconds old.
fn with_deliveries(ages: &[i64]) -> Home {
    let home = Home::fresh();
    let sent = picobot(&home, "send", &["what is 6*7?"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let rows: Vec<String> = ages
        .iter()
        .enumerate()
        .map(|(index, age)| {
            format!(
                "INSERT INTO outbox (channel, chat, body, idempotency_key, state, created_at, queued_at)
                 SELECT 'nowhere', 'oc_1', 'text {index} 中文', 'key-{index}', 'pending', at, at
                 FROM (SELECT unixepoch() * 1000 - {age} AS at)"
            )
        })
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    sqlite(&home.database(), &rows);
    home
}

fn listed(home: &Home, arguments: &[&str]) -> Vec<Value> {
    let ended = picobot(home, "outbox", arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["schema"], 1);
    document["deliveries"].as_array().unwrap().clone()
}

fn states(rows: &[Value]) -> Vec<(i64, &str)> {
    rows.iter()
        .map(|row| (row["id"].as_i64().unwrap(), row["state"].as_str().unwrap()))
        .collect()
}

#[test]
fn without_a_gateway() {
    let home = with_deliveries(&[0, 0]);
    let rows = listed(&home, &["--json"]);
    assert_eq!(states(&rows), [(2, "pending"), (1, "pending")]);
    assert_eq!(rows[0]["to"], "nowhere:oc_1");
    assert_eq!(rows[0]["content"], "text 1 中文");
    let table = picobot(&home, "outbox", &["-q", "list"]);
    assert!(table.stdout.contains("text 0 中文"), "{table:?}");

    let unasked = picobot(&home, "outbox", &["drop", "1"]);
    assert_eq!(unasked.code, Some(2), "{unasked:?}");
    let dropped = picobot(&home, "outbox", &["drop", "1", "-y"]);
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    assert_eq!(dropped.stdout, "1 dropped\n");
    assert_eq!(states(&listed(&home, &["--json"])), [(2, "pending")]);
    let all = listed(&home, &["list", "--all", "--json"]);
    assert_eq!(states(&all), [(2, "pending"), (1, "dropped")]);
    let missed = picobot(&home, "outbox", &["retry", "1", "77"]);
    assert_eq!(missed.code, Some(1), "{missed:?}");
    assert_eq!(missed.stdout, "1 queued again\n");
    assert!(missed.stderr.contains("not queued again: 77"), "{missed:?}");
    for wrong in [
        &["retry"][..],
        &["retry", "x"],
        &["retry", "1", "--all"],
        &["drop"],
        &["--all", "list"],
    ] {
        let ended = picobot(&home, "outbox", wrong);
        assert_eq!(ended.code, Some(2), "{wrong:?}: {ended:?}");
    }
}

/// Who only looks waits for nobody who has the database, and needs no lock.
#[test]
fn listing_goes_on_beside_whoever_works() {
    let home = with_deliveries(&[0]);
    let lock = File::options().write(true).open(home.lock_file()).unwrap();
    lock.try_lock().unwrap();
    assert_eq!(states(&listed(&home, &["--json"])), [(1, "pending")]);
    let approvals = picobot(&home, "approvals", &["list"]);
    assert_eq!(approvals.code, Some(0), "{approvals:?}");
    let refused = picobot(&home, "outbox", &["drop", "1", "-y"]);
    assert_eq!(refused.code, Some(12), "{refused:?}");
}

#[test]
fn a_fresh_home_has_none() {
    let home = Home::fresh();
    let ended = picobot(&home, "outbox", &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("Nothing waits"), "{ended:?}");
    assert!(!home.database().exists(), "looking made a database");
}

#[test]
fn through_the_gateway_dead_letters_are_tried_again() {
    let home = with_deliveries(&[0]);
    let gateway = Gateway::start(&home);
    assert!(gateway.process().stderr().has("delivery 1 failed"));
    let rows = listed(&home, &["--json"]);
    assert_eq!(states(&rows), [(1, "failed")]);
    assert_eq!(rows[0]["error"], "channel nowhere is not configured");
    assert_eq!(rows[0]["attempts"], 1);
    let retried = picobot(&home, "outbox", &["retry", "--all"]);
    assert_eq!(retried.stdout, "1 queued again\n", "{retried:?}");
    // It fails again, from the beginning.
    while states(&listed(&home, &["--json"])) != [(1, "failed")] {}
    assert_eq!(gateway.log().matches("delivery 1 failed").count(), 2);
    let dropped = picobot(&home, "outbox", &["drop", "--all", "-y"]);
    assert_eq!(dropped.stdout, "1 dropped\n", "{dropped:?}");
    assert_eq!(listed(&home, &["--json"]), Vec::<Value>::new());

    // Whoever has not shown the token sees nothing of other channels.
    let ask = json!({"type": "outbox", "action": "list"});
    let mut stranger = Client::connect(gateway.port());
    stranger.send_json(&ask);
    assert_eq!(stranger.next()["code"], "forbidden");
    let mut owner = Client::with_token(gateway.port(), &home.token());
    owner.send_json(&ask);
    assert_eq!(
        owner.next(),
        json!({"type": "outbox_list", "deliveries": []})
    );
    for wrong in [
        json!({"type": "outbox"}),
        json!({"type": "outbox", "action": "删除"}),
        json!({"type": "outbox", "action": "drop", "ids": "1"}),
        json!({"type": "outbox", "action": "drop", "ids": [1.5]}),
        json!({"type": "outbox", "action": "drop", "ids": vec![1; 1_001]}),
        json!({"type": "outbox", "action": "list", "include_sent": 1}),
    ] {
        owner.send_json(&wrong);
        let reply = owner.next();
        assert_eq!(reply["code"], "bad_request", "{wrong}: {reply}");
    }
}

#[test]
fn what_is_too_old_is_not_sent_but_said() {
    const HOUR: i64 = 3_600_000;
    let home = with_deliveries(&[3 * HOUR, 2 * HOUR, 0]);
    let gateway = Gateway::start(&home);
    assert!(gateway.process().stderr().has("delivery 4 failed"));
    let mut rows = listed(&home, &["--json"]);
    rows.reverse();
    let expected = [(1, "expired"), (2, "expired"), (3, "failed"), (4, "failed")];
    assert_eq!(states(&rows), expected);
    assert_eq!(rows[0]["attempts"], 0);
    let notice = rows[3]["content"].as_str().unwrap();
    assert!(notice.starts_with("2 messages of PicoBot could not be delivered in time"));
    assert!(gateway.term().success());
}
