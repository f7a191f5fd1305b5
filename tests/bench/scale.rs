//! Rows about a database that has grown: 10,000 dialogs of 200 messages.
//!
//! The file is made once by plain SQL and kept in the target folder, as the newest schema has it; messages of a dialog lie
//! as far apart in it as they would after years of use. A quick run uses a twentieth.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::Connection;

use crate::Setup;
use crate::idle::SETTLE;
use crate::model::{Model, pause};
use crate::peer::{Client, Gateway, Home};
use crate::process;
use crate::row::{Row, quantile};

/// Turns of each dialog; each has a message of the person and an answer.
const TURNS: usize = 100;
/// Dialogs of one chat.
const DIALOGS_OF_CHAT: usize = 100;

/// Start, memory and the opening of dialogs with two million messages stored.
pub(crate) fn scale(setup: &Setup) -> Vec<Row> {
    let dialogs = setup.times(10_000, 500);
    let model = Model::start();
    let empty = Home::new(&model, 64);
    let gateway = Gateway::start(setup, &empty);
    pause(SETTLE);
    let rss_empty = process::rss_mb(gateway.pid());
    gateway.stop();

    let home = Home::new(&model, 64);
    let file = filled(setup, &empty, dialogs);
    home.use_database(&file);
    Gateway::start(setup, &home).stop();
    let mut starts: Vec<f64> = (0..setup.times(20, 5))
        .map(|_| {
            let since = Instant::now();
            let gateway = Gateway::start(setup, &home);
            let took = since.elapsed();
            gateway.stop();
            took.as_secs_f64() * 1_000.0
        })
        .collect();
    let gateway = Gateway::start(setup, &home);
    pause(SETTLE);
    let more = process::rss_mb(gateway.pid()) - rss_empty;
    let mut client = Client::connect(&gateway, "bench");
    let n_opened = setup.times(200, 40);
    let mut opened: Vec<f64> = (0..n_opened)
        .map(|n| {
            let dialog = 1 + n * (dialogs / n_opened);
            let since = Instant::now();
            client.load(&session_id(dialog));
            since.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    client.ask(crate::model::PLAIN);
    gateway.stop();
    let name = |what: &str| format!("{} messages stored: {what}", dialogs * TURNS * 2);
    vec![
        Row::at_most(
            &name("exec to ready, median"),
            quantile(&mut starts, 0.5),
            "ms",
            50.0,
        ),
        Row::at_most(&name("idle RSS over an empty gateway"), more, "MB", 2.0),
        Row::at_most(
            &name("opening a dialog, median"),
            quantile(&mut opened, 0.5),
            "ms",
            20.0,
        ),
        Row::at_most(
            &name("opening a dialog, p99"),
            quantile(&mut opened, 0.99),
            "ms",
            20.0,
        ),
    ]
}

fn chat_of(dialog: usize) -> String {
    format!("chat-{}", dialog / DIALOGS_OF_CHAT)
}

fn session_id(dialog: usize) -> String {
    format!("cli_chat:{}:{dialog}", chat_of(dialog))
}

/// Returns the large file, made from the empty one of a home where it is missing.
fn filled(setup: &Setup, empty: &Home, dialogs: usize) -> PathBuf {
    let source = Connection::open(empty.database()).unwrap();
    let version: i64 = source
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    drop(source);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let quick = if setup.quick { "-quick" } else { "" };
    let file = folder.join(format!("scale-{version}{quick}.db"));
    if file.exists() {
        return file;
    }
    let unfinished = folder.join("scale-unfinished.db");
    std::fs::copy(empty.database(), &unfinished).unwrap();
    eprintln!(
        "bench: making a database of {} messages",
        dialogs * TURNS * 2
    );
    fill(&unfinished, dialogs).unwrap();
    std::fs::rename(&unfinished, &file).unwrap();
    file
}

fn fill(file: &Path, dialogs: usize) -> rusqlite::Result<()> {
    let db = Connection::open(file)?;
    let _: String = db.query_row("PRAGMA journal_mode=OFF", [], |row| row.get(0))?;
    let text = "Some words that somebody said or was told, 还有一些中文, and a few more of them. "
        .repeat(3);
    db.execute_batch(&format!(
        "PRAGMA synchronous=OFF;
         PRAGMA foreign_keys=OFF;
         PRAGMA cache_size=-200000;
         BEGIN;
         DELETE FROM chats; DELETE FROM dialogs; DELETE FROM inbox; DELETE FROM messages; DELETE FROM turns;
         CREATE TEMP TABLE d AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {dialogs})
             SELECT i FROM n;
         CREATE TEMP TABLE t AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {TURNS} - 1)
             SELECT i FROM n;
         INSERT INTO dialogs (id, channel, chat, name, title, created_at, updated_at, n_messages)
             SELECT i, 'cli_chat', 'chat-' || (i / {DIALOGS_OF_CHAT}), i, 'Dialog ' || i, 1700000000000 + i,
                    1760000000000 + i, 2 * {TURNS} FROM d;
         INSERT INTO turns (id, dialog, state, started_at, finished_at)
             SELECT t.i * {dialogs} + d.i, d.i, 'done', 1700000000000 + t.i, 1700000000000 + t.i
             FROM t CROSS JOIN d ORDER BY 1;
         INSERT INTO messages (id, dialog, turn, role, parts, created_at)
             SELECT 2 * turns.id + r.i, turns.dialog, turns.id, iif(r.i = 0, 'user', 'assistant'), ?1,
                    turns.started_at
             FROM turns CROSS JOIN (SELECT 0 AS i UNION ALL SELECT 1) AS r ORDER BY 1;
         COMMIT;"
    )
    .replace("?1", &parts(&text)))?;
    Ok(())
}

/// The stored form of a message with one text, as an SQL literal.
fn parts(text: &str) -> String {
    format!("'{}'", serde_json::json!([{"t": "text", "text": text}]))
}
