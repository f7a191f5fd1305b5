//! `picobot restore` is killed at each of its steps: whoever opens the database next finds the old one or the restored one,
//! whole, and never an empty one.

use std::fs;
use std::path::PathBuf;

use super::picobot;
use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::process::{Finished, run};
use crate::support::python::sqlite;
use crate::support::script::Answer;
use crate::support::ws::Client;

const MESSAGES: &str = "SELECT count(*) FROM messages";

/// A home whose backup has two messages, and whose database has four, two of them in the log only.
struct Place {
    // Must live as long as the home that names it.
    _model: ModelServer,
    home: Home,
    backup: PathBuf,
}

impl Place {
    fn new() -> Self {
        let model = ModelServer::start(|_| Answer::text("Understood. 明白。"));
        let home = Home::with_model(&model);
        let gateway = Gateway::start(&home);
        let mut client = Client::connect(gateway.port());
        client.ask("remember the first thing");
        let backup = home.path().join("copy.db");
        let made = picobot(&home, "backup", &[backup.to_str().unwrap()]);
        assert_eq!(made.code, Some(0), "{made:?}");
        client.ask("and this came later");
        gateway.kill9();
        assert!(log(&home).metadata().unwrap().len() > 0);
        Self {
            _model: model,
            home,
            backup,
        }
    }

    /// Restores the backup in a process that is killed at a step.
    fn killed_at(label: &str) -> Self {
        let place = Self::new();
        let killed = place.restore(label);
        assert_eq!(killed.code, None, "it passed {label}: {killed:?}");
        place
    }

    fn restore(&self, label: &str) -> Finished {
        let mut restore = command(&self.home, "restore");
        restore
            .arg(&self.backup)
            .arg("-y")
            .env("PICOBOT_CRASH_AT", label);
        run(&mut restore)
    }

    /// Checks that the restore came to its end, with the old database and its log aside.
    #[track_caller]
    fn is_restored(&self) {
        assert_eq!(sqlite(&self.home.database(), &[MESSAGES]), "[(2,)]\n");
        let old: Vec<PathBuf> = fs::read_dir(self.home.path().join(".picobot/backups"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.to_string_lossy()
                    .contains("picobot.db-before-restore-")
            })
            .filter(|path| path.to_string_lossy().ends_with('Z'))
            .collect();
        assert_eq!(old.len(), 1, "{old:?}");
        assert_eq!(sqlite(&old[0], &[MESSAGES]), "[(4,)]\n");
        self.nothing_is_left();
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        for folder in [
            self.home.workspace(),
            self.home.path().join(".picobot/backups"),
        ] {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let name = entry.unwrap().file_name();
                assert!(!name.to_string_lossy().contains("restoring"), "{name:?}");
            }
        }
    }
}

fn log(home: &Home) -> PathBuf {
    home.database().with_extension("db-wal")
}

/// The labels stand only in builds with debug assertions.
#[cfg(debug_assertions)]
mod labels {
    use super::*;

    #[test]
    fn before_it_is_decided_nothing_has_changed() {
        let place = Place::killed_at("restore-copied");
        assert!(place.home.database().exists());
        let gateway = Gateway::start(&place.home);
        let mut client = Client::connect(gateway.port());
        let session = client.session_id.clone();
        assert_eq!(client.load(&session).len(), 4);
        assert!(gateway.term().success());
        place.nothing_is_left();
        assert_eq!(place.restore("nowhere").code, Some(0));
        place.is_restored();
    }

    #[test]
    fn once_decided_the_next_start_finishes_it() {
        for label in [
            "restore-decided",
            "restore-moving:2",
            "restore-moving:3",
            "restore-moving:4",
            "restore-moved",
            "restore-placed",
        ] {
            let place = Place::killed_at(label);
            let gateway = Gateway::start(&place.home);
            let log = gateway.log();
            assert!(log.contains("a restore that was interrupted"), "{log}");
            let mut client = Client::connect(gateway.port());
            let session = client.session_id.clone();
            assert_eq!(client.load(&session).len(), 2, "{label}");
            assert!(gateway.term().success());
            place.is_restored();
        }
    }

    #[test]
    fn the_start_that_finishes_it_may_be_killed_too() {
        let place = Place::killed_at("restore-moving:2");
        for label in ["restore-moving:3", "restore-moved", "restore-placed"] {
            let gateway = Gateway::launch(&place.home, |command| {
                command.env("PICOBOT_CRASH_AT", label);
            });
            let ended = gateway.finish();
            assert_eq!(ended.code, None, "{label}: {ended:?}");
        }
        let sent = picobot(&place.home, "sessions", &["--json"]);
        assert!(sent.stdout.contains("\"message_count\":2"), "{sent:?}");
        place.is_restored();
    }

    #[test]
    fn every_command_that_opens_the_database_finishes_it() {
        let copy = |place: &Place| place.home.path().join("second.db");
        for verb in ["sessions", "backup", "outbox", "approvals", "restore"] {
            let place = Place::killed_at("restore-moving:2");
            assert!(!place.home.database().exists());
            let copied = copy(&place).to_string_lossy().into_owned();
            let backup = place.backup.to_string_lossy().into_owned();
            let arguments: Vec<&str> = match verb {
                "sessions" => vec!["--json"],
                "backup" => vec![&copied],
                "restore" => vec![&backup, "--yes"],
                _ => vec![],
            };
            let ended = picobot(&place.home, verb, &arguments);
            assert_eq!(ended.code, Some(0), "{verb}: {ended:?}");
            match verb {
                "sessions" => assert!(ended.stdout.contains("\"message_count\":2"), "{ended:?}"),
                "backup" => assert_eq!(sqlite(&copy(&place), &[MESSAGES]), "[(2,)]\n"),
                // Restored once more: the first restored one went aside too.
                "restore" => {
                    assert_eq!(sqlite(&place.home.database(), &[MESSAGES]), "[(2,)]\n");
                    place.nothing_is_left();
                    continue;
                }
                _ => {}
            }
            place.is_restored();
        }
    }
}

#[test]
fn a_file_beside_the_database_decides_nothing() {
    let place = Place::new();
    let planted = place.home.workspace().join("picobot.db.restoring");
    fs::copy(&place.backup, &planted).unwrap();
    let gateway = Gateway::start(&place.home);
    let mut client = Client::connect(gateway.port());
    let session = client.session_id.clone();
    assert_eq!(client.load(&session).len(), 4);
    assert!(gateway.term().success());
    assert!(!planted.exists());

    // Nor does it lead the copy elsewhere.
    let victim = place.home.path().join("diary.txt");
    fs::write(&victim, "日记").unwrap();
    std::os::unix::fs::symlink(&victim, &planted).unwrap();
    assert_eq!(place.restore("nowhere").code, Some(0));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "日记");
    place.is_restored();
}
