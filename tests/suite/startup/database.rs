//! A database that is newer, damaged, or no database: refused with the way out, and left as it is.

use std::fs;
use std::os::unix::fs::FileExt;

use super::refused;
use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::process::run;
use crate::support::python::sqlite;
use crate::support::script::Answer;
use crate::support::ws::Client;

/// Makes a home with a database that has been used and closed in order.
fn used() -> Home {
    let home = Home::fresh();
    let sent = run(command(&home, "send").arg("what is 6*7?"));
    assert_eq!(sent.code, Some(0), "{sent:?}");
    home
}

#[test]
fn a_newer_database_is_refused_and_not_touched() {
    let home = used();
    let version = sqlite(&home.database(), &["PRAGMA user_version"]);
    let version: String = version.chars().filter(char::is_ascii_digit).collect();
    sqlite(&home.database(), &["PRAGMA user_version = 9999"]);
    let before = fs::read(home.database()).unwrap();
    for _ in 0..2 {
        let ended = refused(&home);
        assert_eq!(ended.code, Some(12), "{ended:?}");
        assert!(ended.stderr.contains("newer PicoBot"), "{ended:?}");
        assert!(ended.stderr.contains("\nhint: upgrade"), "{ended:?}");
    }
    let sent = run(command(&home, "send").arg("hello"));
    assert_eq!(sent.code, Some(12), "{sent:?}");
    assert_eq!(fs::read(home.database()).unwrap(), before);
    let wal = home.workspace().join("picobot.db-wal");
    assert!(fs::metadata(wal).is_err(), "something was written");
    let back = format!("PRAGMA user_version = {version}");
    sqlite(&home.database(), &[&back]);
    drop(Gateway::start(&home));
}

#[test]
fn what_is_no_database_is_refused_and_not_touched() {
    let home = Home::fresh();
    fs::create_dir_all(home.workspace()).unwrap();
    let text = "These are my notes, not a database.\n".repeat(100);
    fs::write(home.database(), &text).unwrap();
    let ended = refused(&home);
    assert_eq!(ended.code, Some(12), "{ended:?}");
    assert!(ended.stderr.contains("picobot.db is damaged"), "{ended:?}");
    assert!(ended.stderr.contains("\nhint: "), "{ended:?}");
    assert_eq!(fs::read_to_string(home.database()).unwrap(), text);
}

#[test]
fn damage_is_found_after_a_crash() {
    let model = ModelServer::start(|_| Answer::text(&"many words ".repeat(500)));
    let home = Home::with_model(&model);
    let gateway = Gateway::start(&home);
    let mut client = Client::connect(gateway.port());
    for _ in 0..20 {
        client.ask("talk");
    }
    assert!(gateway.term().success());
    // A crash leaves the log of what was not yet moved into the file.
    let gateway = Gateway::start(&home);
    Client::connect(gateway.port()).ask("once more");
    gateway.kill9();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(home.database())
        .unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    for page in pages / 2..pages {
        file.write_all_at(&[0xA5; 4096], page * 4096).unwrap();
    }
    let ended = refused(&home);
    assert_eq!(ended.code, Some(12), "{ended:?}");
    assert!(ended.stderr.contains("picobot.db is damaged"), "{ended:?}");
}
