//! The daily upkeep of a running gateway; debug builds begin it when a test says so.

use std::fs;

use serde_json::json;

use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::python::sqlite;
use crate::support::script::Answer;
use crate::support::ws::Client;

#[cfg(debug_assertions)]
#[test]
fn old_things_go_and_a_backup_is_made() {
    let model = ModelServer::start(|_| Answer::text("Yes."));
    let home = Home::with_model_and(
        &model,
        json!({"gateway": {"cleanup": {"archive_after_days": 5}}}),
    );
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    let old = client.session_id.clone();
    client.send_json(&json!({"type": "user_input", "content": "old", "request_id": "id-1"}));
    client.until(&["assistant_response"]);
    client.send_json(&json!({"type": "create_session", "title": "new"}));
    client.until(&["session_created"]);
    client.ask("new");
    assert!(gateway.term().success());
    let day = 86_400_000_i64;
    sqlite(
        &home.database(),
        &[
            &format!("UPDATE dialogs SET updated_at = updated_at - 6 * {day} WHERE id = 1"),
            &format!("UPDATE inbox SET received_at = received_at - 8 * {day} WHERE id = 1"),
            &format!(
                "INSERT INTO outbox (channel, chat, body, idempotency_key, state, created_at, finished_at)
                 SELECT 'x', 'y', 'z', 'k', 'sent', at, at FROM (SELECT unixepoch() * 1000 - 8 * {day} AS at)"
            ),
        ],
    );

    let gateway = Gateway::start_with(&home, |command| {
        command.env("PICOBOT_UPKEEP_AFTER_MS", "0");
    });
    assert!(gateway.process().stderr().has("made a backup of "));
    assert!(gateway.process().stderr().has("archived 1 idle dialogs"));
    let forgot = "forgot 1 old inputs and 1 old deliveries";
    assert!(gateway.process().stderr().has(forgot), "{}", gateway.log());
    let mut client = Client::connect(gateway.port());
    client.send_json(&json!({"type": "list_sessions", "include_archived": true}));
    let list = client.next();
    let sessions = list["sessions"].as_array().unwrap();
    let archived: Vec<_> = sessions
        .iter()
        .filter(|session| session["archived"] == true)
        .map(|session| session["session_id"].as_str().unwrap())
        .collect();
    assert_eq!(archived, [old.as_str()]);
    // The messages are all there.
    assert_eq!(client.load(&old).len(), 2);
    assert!(gateway.term().success());
    assert_eq!(
        fs::read_dir(home.path().join(".picobot/backups"))
            .unwrap()
            .count(),
        1
    );

    // The next start finds a backup of today.
    let gateway = Gateway::start_with(&home, |command| {
        command.env("PICOBOT_UPKEEP_AFTER_MS", "0");
    });
    Client::connect(gateway.port()).ask("still there?");
    assert!(gateway.term().success());
    assert_eq!(
        fs::read_dir(home.path().join(".picobot/backups"))
            .unwrap()
            .count(),
        1
    );
}
