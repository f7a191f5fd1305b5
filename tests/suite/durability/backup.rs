//! `picobot backup` and `picobot restore`, and what a damaged database says of them.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use serde_json::Value;

use super::picobot;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::python::sqlite;
use crate::support::script::Answer;
use crate::support::ws::Client;

fn talkative() -> (ModelServer, Home) {
    let model = ModelServer::start(|_| Answer::text("Understood. 明白。"));
    let home = Home::with_model(&model);
    (model, home)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_running_gateway_is_copied_and_restored() {
    let (_model, home) = talkative();
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    client.ask("remember the first thing");
    let file = home.path().join("copy of it.db");
    let name = file.to_str().unwrap();

    let made = picobot(&home, "backup", &[name, "--verify", "--json"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let said: Value = serde_json::from_str(&made.stdout).unwrap();
    assert_eq!(said["schema"], 1);
    assert_eq!(said["verified"]["messages"], 2, "{said}");
    assert_eq!(mode(&file), 0o600);
    assert!(!home.path().join("copy of it.db-wal").exists());

    client.ask("and this came later");
    let refused = picobot(&home, "restore", &[name, "-y"]);
    assert_eq!(refused.code, Some(12), "{refused:?}");
    assert!(refused.stderr.contains("a gateway (pid "), "{refused:?}");
    assert!(
        refused.stderr.contains("\nhint: stop it first"),
        "{refused:?}"
    );
    assert!(gateway.term().success());

    let dry = picobot(&home, "restore", &[name, "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(
        dry.stdout.contains("whole, 1 dialog, 2 messages"),
        "{dry:?}"
    );
    assert!(dry.stdout.contains("It would replace"), "{dry:?}");
    let unasked = picobot(&home, "restore", &[name]);
    assert_eq!(unasked.code, Some(2), "{unasked:?}");
    assert!(unasked.stderr.contains("hint: add -y"), "{unasked:?}");
    let count = || sqlite(&home.database(), &["SELECT count(*) FROM messages"]);
    assert_eq!(count(), "[(4,)]\n");

    let restored = picobot(&home, "restore", &[name, "-y"]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert!(
        restored.stdout.contains("The old database is now "),
        "{restored:?}"
    );
    assert_eq!(mode(&home.database()), 0o600);
    assert_eq!(count(), "[(2,)]\n");
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    let session = client.session_id.clone();
    assert_eq!(client.load(&session).len(), 2);
    client.ask("go on");
}

#[test]
fn a_damaged_database_names_its_newest_backup() {
    let (_model, home) = talkative();
    let gateway = Gateway::start(&home);
    Client::connect(gateway.port()).ask("hello");
    let made = picobot(&home, "backup", &[]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let folder = home.path().join(".picobot/backups");
    assert_eq!(mode(&folder), 0o700);
    // In order, so that no log holds a sound copy of what is damaged next.
    assert!(gateway.term().success());

    let file = fs::OpenOptions::new()
        .write(true)
        .open(home.database())
        .unwrap();
    file.write_all_at(&[0xA5; 2048], 0).unwrap();
    let refused = picobot(&home, "gateway", &["--port", "0"]);
    assert_eq!(refused.code, Some(12), "{refused:?}");
    assert!(
        refused.stderr.contains("picobot.db is damaged"),
        "{refused:?}"
    );
    assert!(
        refused.stderr.contains("hint: a backup from 2"),
        "{refused:?}"
    );
    assert!(
        refused.stderr.contains("run `picobot restore`"),
        "{refused:?}"
    );
    // It was left as it is.
    let mut head = [0; 16];
    fs::File::open(home.database())
        .unwrap()
        .read_exact_at(&mut head, 0)
        .unwrap();
    assert_eq!(head, [0xA5; 16]);

    let restored = picobot(&home, "restore", &["-y"]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    let session = client.session_id.clone();
    assert_eq!(client.load(&session).len(), 2);
    assert!(gateway.term().success());
}

#[test]
fn what_cannot_be_done_is_said() {
    let (_model, home) = talkative();
    let none = picobot(&home, "backup", &[]);
    assert_eq!(none.code, Some(12), "{none:?}");
    assert!(none.stderr.contains("there is no database"), "{none:?}");
    let none = picobot(&home, "restore", &["-y"]);
    assert_eq!(none.code, Some(12), "{none:?}");
    assert!(none.stderr.contains("there is no backup in"), "{none:?}");
    let sent = picobot(&home, "send", &["hello"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let missing = picobot(&home, "restore", &["nothing-here.db", "-y"]);
    assert_eq!(missing.code, Some(12), "{missing:?}");
    assert!(missing.stderr.contains("nothing-here.db"), "{missing:?}");
    let hint = "\nhint: name a whole copy";
    assert!(missing.stderr.contains(hint), "{missing:?}");
    let text = home.path().join("notes.txt");
    fs::write(&text, "日记 ".repeat(2_000)).unwrap();
    let bad = picobot(&home, "restore", &[text.to_str().unwrap(), "-y"]);
    assert_eq!(bad.code, Some(12), "{bad:?}");
    assert!(bad.stderr.contains("notes.txt is damaged"), "{bad:?}");
    assert!(bad.stderr.contains(hint), "{bad:?}");
    let database = home.database();
    let itself = picobot(&home, "restore", &[database.to_str().unwrap(), "-y"]);
    assert_eq!(itself.code, Some(2), "{itself:?}");
    let nowhere = picobot(&home, "backup", &["no/such/folder/copy.db"]);
    assert_eq!(nowhere.code, Some(12), "{nowhere:?}");
    assert!(nowhere.stderr.contains("no/such/folder"), "{nowhere:?}");
    assert_eq!(picobot(&home, "send", &["still there?"]).code, Some(0));
}

#[test]
fn an_older_database_is_kept_before_it_is_changed() {
    let (_model, home) = talkative();
    fs::create_dir_all(home.workspace()).unwrap();
    let schema = include_str!("../../../src/storage/schema.sql");
    let script = format!("BEGIN;{schema};COMMIT;PRAGMA user_version = 1;");
    let python = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        db.executescript(sys.argv[2])";
    let made = std::process::Command::new(crate::support::python::python())
        .args(["-c", python])
        .arg(home.database())
        .arg(script)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let gateway = Gateway::start(&home);
    let log = gateway.log();
    assert!(log.contains("of an older version; a backup is at"), "{log}");
    Client::connect(gateway.port()).ask("hello");
    assert!(gateway.term().success());
    let folder = home.path().join(".picobot/backups");
    let files: Vec<_> = fs::read_dir(folder).unwrap().collect();
    assert_eq!(files.len(), 1);
    let old = files[0].as_ref().unwrap().path();
    assert_eq!(sqlite(&old, &["PRAGMA user_version"]), "[(1,)]\n");
}
