//! Tests of backups: under load, within the budget, and back again.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::chat::{ChannelId, ChatId, Message, Role, Route};
use crate::storage::{Db, NewInput, Outcome};

const STACK: usize = 256 * 1024;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn database(&self) -> PathBuf {
        self.dir.path().join("workspace/picobot.db")
    }

    fn backups(&self, max_bytes: u64) -> Backups {
        Backups::new(&self.dir.path().join("state"), &self.database(), max_bytes)
    }

    fn open(&self) -> Db {
        Db::open_with(&self.database(), false, Some(self.backups(1 << 30))).unwrap()
    }
}

fn route() -> Route {
    Route {
        channel: ChannelId::new("c").unwrap(),
        chat: ChatId::new("d").unwrap(),
    }
}

/// Appends a message of some size.
fn say(db: &Db, text: &str) {
    let now = SystemTime::now();
    db.write(|tx| {
        let dialog = tx.current_dialog(&route(), now)?.key;
        let turn = tx.begin_turn(dialog, now)?;
        tx.append_messages(dialog, turn, [&Message::text(Role::User, text)], now)?;
        tx.end_turn(turn, crate::storage::TurnState::Done, now)?;
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_hundred_backups_under_load_are_all_whole() {
    let place = Place::new();
    let db = place.open();
    let text = "many words 很多字 ".repeat(400);
    for _ in 0..50 {
        say(&db, &text);
    }
    let backups = place.backups(1 << 30);
    let stop = AtomicBool::new(false);
    let jobs: Vec<Box<dyn FnOnce() -> usize + Send + '_>> = vec![
        Box::new(|| {
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                say(&db, &text);
                written += 1;
            }
            written
        }),
        Box::new(|| {
            let mut last = 0;
            for _ in 0..100 {
                let backup = backups.make().unwrap().unwrap();
                let contents = inspect(&backup.path).unwrap();
                assert!(contents.messages >= last.max(50), "{contents:?}");
                last = contents.messages;
            }
            stop.store(true, Ordering::Relaxed);
            0
        }),
    ];
    let written = crate::threads::run_parallel("load", STACK, 2, jobs);
    assert!(written[0] > 0, "nothing was written meanwhile");
    let kept = backups.list();
    assert_eq!(kept.len(), MAX_BACKUPS);
    for file in fs::read_dir(backups.folder()).unwrap() {
        let meta = file.unwrap().metadata().unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    }
    let mode = fs::metadata(backups.folder()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_backup_can_be_given_up() {
    let place = Place::new();
    let db = place.open();
    // More than one step.
    for _ in 0..30 {
        say(&db, &"x".repeat(100_000));
    }
    let backups = place.backups(1 << 30);
    let given_up = backups.make_unless(&|| true);
    assert!(matches!(given_up, Err(StorageError::Busy)), "{given_up:?}");
    assert_eq!(fs::read_dir(backups.folder()).unwrap().count(), 0);
    assert!(backups.make().unwrap().is_some());
}

#[test]
fn the_budget_holds() {
    let place = Place::new();
    let db = place.open();
    say(&db, "hello");
    let size = inspect(&place.database()).unwrap().bytes;
    assert_eq!(place.backups(0).make().unwrap(), None);
    assert_eq!(place.backups(size - 1).make().unwrap(), None);
    let two = place.backups(2 * size + 1);
    for _ in 0..4 {
        two.make().unwrap().unwrap();
    }
    let kept = two.list();
    // The database's size counts its log, which a backup does not have: more than two may fit.
    assert!((1..4).contains(&kept.len()), "{kept:?}");
    assert!(kept.iter().map(|backup| backup.bytes).sum::<u64>() <= 2 * size + 1);
    // Those of another database in the same folder are none of its business.
    let other = Backups::new(
        &place.dir.path().join("state"),
        &place.dir.path().join("other/picobot.db"),
        1 << 30,
    );
    assert_eq!(other.newest(), None);
}

#[test]
fn an_older_file_is_backed_up_before_it_is_changed() {
    let place = Place::new();
    fs::create_dir_all(place.database().parent().unwrap()).unwrap();
    let raw = Connection::open(place.database()).unwrap();
    raw.execute_batch(include_str!("schema.sql")).unwrap();
    raw.pragma_update(None, "user_version", 1).unwrap();
    drop(raw);
    let backups = place.backups(1 << 30);
    drop(place.open());
    let made = backups.list();
    assert_eq!(made.len(), 1);
    let raw = Connection::open(&made[0].path).unwrap();
    let version: i64 = raw
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1);
    // Once is enough.
    drop(place.open());
    assert_eq!(backups.list().len(), 1);
}

#[test]
fn restoring_brings_the_old_state_back_and_begins_nothing() {
    let place = Place::new();
    let db = place.open();
    say(&db, "before");
    let now = SystemTime::now();
    db.write(|tx| {
        let dialog = tx.current_dialog(&route(), now)?.key;
        tx.insert_input(&NewInput {
            source: "c",
            external_id: Some("waits"),
            dialog: Some(dialog),
            sender: None,
            content: "waits",
            files: &[],
            received_at: now,
        })
    })
    .unwrap();
    let backup = place.backups(1 << 30).make().unwrap().unwrap();
    say(&db, "after");
    drop(db);
    let contents = inspect(&backup.path).unwrap();
    assert_eq!((contents.messages, contents.open_inputs), (1, 1));

    let restored = place.backups(1 << 30).restore(&backup.path).unwrap();
    assert_eq!(inspect(&restored.old.unwrap()).unwrap().messages, 2);
    let db = place.open();
    db.read(|tx| {
        assert_eq!(tx.open_inputs()?, []);
        let input = tx.find_input("c", "waits")?.unwrap();
        assert!(input.closed);
        assert!(input.reply.unwrap().text.contains("restored"));
        Ok(())
    })
    .unwrap();
    let input = db.read(|tx| tx.find_input("c", "waits")).unwrap().unwrap();
    assert_eq!(input.reply.unwrap().code, Outcome::Stopped.as_str());
    drop(db);
    assert_eq!(inspect(&place.database()).unwrap().messages, 1);
}

#[test]
fn what_is_no_backup_is_refused_and_nothing_changes() {
    let place = Place::new();
    say(&place.open(), "hello");
    let bad = place.dir.path().join("bad.db");
    fs::write(&bad, "no database at all".repeat(500)).unwrap();
    assert!(matches!(
        inspect(&bad),
        Err(StorageError::Damaged { name, .. }) if name == "bad.db"
    ));
    let raw = Connection::open(place.dir.path().join("foreign.db")).unwrap();
    raw.execute_batch("CREATE TABLE t (a)").unwrap();
    drop(raw);
    let foreign = inspect(&place.dir.path().join("foreign.db"));
    assert!(
        foreign
            .unwrap_err()
            .to_string()
            .contains("no database of PicoBot")
    );
    let missing = inspect(&place.dir.path().join("missing.db"));
    assert!(matches!(missing, Err(StorageError::Open { .. })));
    assert!(place.backups(1 << 30).restore(&bad).is_err());
    assert_eq!(inspect(&place.database()).unwrap().messages, 1);
    assert!(!beside(&place.database(), ".restoring").exists());
    assert!(!place.backups(1 << 30).is_restoring());
}

#[test]
fn a_copy_without_media_is_smaller_and_sound() {
    let place = Place::new();
    let db = place.open();
    say(&db, "hello");
    db.write(|tx| {
        tx.sql.execute(
            "INSERT INTO media (digest, data) VALUES ('x', zeroblob(1000000))",
            [],
        )?;
        tx.sql.execute(
            "INSERT INTO message_media SELECT messages.id, media.id FROM messages, media",
            [],
        )?;
        Ok(())
    })
    .unwrap();
    let target = place.dir.path().join("copy.db");
    let whole = back_up(&place.database(), &target, true).unwrap();
    assert!(whole > 1_000_000);
    let without = back_up(&place.database(), &target, false).unwrap();
    assert!(without < 500_000, "{without}");
    assert_eq!(inspect(&target).unwrap().messages, 1);
}
