//! A real file system that is full: nothing is acknowledged that is not stored, and everything goes on when there is room.
//!
//! Needs the right to mount a tmpfs of 8 MiB; elsewhere the tests say loudly that they did not run.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::http;
use crate::support::model::ModelServer;
use crate::support::python::sqlite;
use crate::support::script::{Answer, Call};
use crate::support::ws::Client;

const DISK: &std::ffi::CStr = c"size=8m";

/// A small disk with a database, and what fills it.
struct Disk {
    folder: PathBuf,
    // Behind the mount, so that it is removed after it.
    _place: tempfile::TempDir,
}

impl Disk {
    /// Mounts it; `None`, with a word on stderr, where that is not allowed.
    fn mount() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("disk");
        fs::create_dir(&folder).unwrap();
        if let Err(error) = mount("tmpfs", &folder, "tmpfs", MountFlags::NOSUID, DISK) {
            let _ = writeln!(
                std::io::stderr(),
                "NOT RUN: no file system can be mounted here ({error}), so a full disk was not tested"
            );
            return None;
        }
        Some(Self {
            folder,
            _place: place,
        })
    }

    fn database(&self) -> PathBuf {
        self.folder.join("picobot.db")
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        for size in [1 << 16, 1 << 12] {
            while file.write_all(&vec![0xAA; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn home(&self, model: &ModelServer) -> Home {
        Home::with_model_and(
            model,
            json!({"gateway": {"session_db_path": self.database()}}),
        )
    }

    fn start(&self, home: &Home) -> Gateway {
        let process = Gateway::launch(home, |command| {
            command.env("PICOBOT_STORAGE_RETRY_MS", "100");
        });
        Gateway::when_ready_at(&self.folder.join("picobot.lock"), process)
            .unwrap_or_else(|process| panic!("no gateway:\n{}", process.stderr().text()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.folder, UnmountFlags::DETACH);
    }
}

fn health(gateway: &Gateway) -> (String, Value) {
    let (status, body) = http::get(gateway.port(), "/health").unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

fn sound(database: &Path) {
    let said = sqlite(
        database,
        &[
            "PRAGMA integrity_check",
            "SELECT count(*) FROM inbox WHERE outcome IS NULL",
            "SELECT count(*) FROM turns WHERE state = 'running'",
        ],
    );
    assert_eq!(said, "[('ok',)]\n[(0,)]\n[(0,)]\n");
}

#[test]
fn an_input_that_does_not_fit_is_refused_and_the_next_one_is_not() {
    let Some(disk) = Disk::mount() else { return };
    let model = ModelServer::start(|_| Answer::text("Yes."));
    let home = disk.home(&model);
    let gateway = disk.start(&home);
    let mut client = Client::hello(gateway.port(), &["input_accepted"]);
    client.say("before");
    client.until(&["assistant_response"]);

    disk.fill();
    let long = "这是一段很长的话。".repeat(20_000);
    client.say(&long);
    let refused = client.next();
    assert_eq!(refused["type"], "error", "{refused}");
    assert_eq!(refused["code"], "storage");
    assert_eq!(
        refused["message"],
        "Message not saved: the disk is full. Free space and send again."
    );
    let (status, body) = health(&gateway);
    assert!(status.contains("503"), "{status}");
    assert_eq!(
        (&body["status"], &body["reason"]),
        (&json!("degraded"), &json!("storage"))
    );
    // What needs no disk is answered, and proves nothing about it.
    client.ping();
    assert!(health(&gateway).0.contains("503"));

    disk.free();
    assert!(
        gateway
            .process()
            .stderr()
            .has("the database can be written again")
    );
    let (status, body) = health(&gateway);
    assert!(status.contains("200"), "{status} {body}");
    client.say(&long);
    let seen = client.until(&["assistant_response", "error"]);
    assert_eq!(seen[0]["type"], "input_accepted", "{seen:?}");
    let session = client.session_id.clone();
    client.send_json(&json!({"type": "load_session", "session_id": session}));
    let loaded = client.until(&["session_loaded"]).pop().unwrap();
    let messages = loaded["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 4);
    assert_eq!(messages[2]["content"], long);
    assert!(gateway.term().success());
    sound(&disk.database());
}

#[test]
fn a_turn_that_does_not_fit_waits_and_goes_on_by_itself() {
    let Some(disk) = Disk::mount() else { return };
    let gate = Gate::new();
    let long = "the answer ".repeat(6_000);
    let model = ModelServer::queue([
        Answer::calls([Call::new("c1", "calculator", json!({"expression": "6*7"}))])
            .saying(&long)
            .held(&gate),
        Answer::text(&long),
    ]);
    let home = disk.home(&model);
    let gateway = disk.start(&home);
    let mut client = Client::connect(gateway.port());
    client.say("go on");
    gate.wait_reached();
    disk.fill();
    gate.release();
    let waits = client.next();
    assert_eq!(waits["type"], "system_notification", "{waits}");
    assert!(
        waits["content"]
            .as_str()
            .unwrap()
            .starts_with("The disk is full")
    );
    assert!(health(&gateway).0.contains("503"));
    // No turn is over, so nothing was told.
    disk.free();
    let seen = client.until(&["assistant_response", "error"]);
    assert_eq!(seen.last().unwrap()["content"], long.as_str());
    assert_eq!(model.received().len(), 2, "a request was made again");
    assert!(
        gateway
            .process()
            .stderr()
            .has("the database can be written again")
    );
    assert!(health(&gateway).0.contains("200"));
    gateway.kill9();
    let gateway = disk.start(&home);
    let mut client = Client::connect(gateway.port());
    let session = client.session_id.clone();
    assert_eq!(client.load(&session).len(), 3);
    assert!(gateway.term().success());
    sound(&disk.database());
}

#[test]
fn a_turn_that_waits_for_the_disk_can_be_stopped() {
    let Some(disk) = Disk::mount() else { return };
    let gate = Gate::new();
    let long = "the answer ".repeat(6_000);
    let model = ModelServer::queue([Answer::text(&long).held(&gate), Answer::text("Again.")]);
    let home = disk.home(&model);
    let gateway = disk.start(&home);
    let mut client = Client::connect(gateway.port());
    let input = json!({"type": "user_input", "content": "go on", "request_id": "r1"});
    client.send_json(&input);
    gate.wait_reached();
    disk.fill();
    gate.release();
    client.until(&["system_notification"]);
    client.say("/stop");
    let mut replies = [client.next(), client.next()];
    replies.sort_by_key(|reply| reply["type"].to_string());
    assert_eq!(replies[0]["command"], "/stop", "{replies:?}");
    assert_eq!(replies[1]["code"], "stopped", "{replies:?}");
    disk.free();
    assert!(
        gateway
            .process()
            .stderr()
            .has("the database can be written again")
    );
    // The end of the stopped turn was stored late; it is not begun again, and a repeat is told the same.
    client.send_json(&input);
    assert_eq!(client.next()["code"], "stopped");
    assert_eq!(client.ask("and now?"), "Again.");
    assert_eq!(model.received().len(), 2);
    assert!(gateway.term().success());
    sound(&disk.database());
}
