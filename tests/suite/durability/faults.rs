//! Every write and every sync of the database fails once, with an I/O error and with a full disk.
//!
//! A small library (tests/faults/fail_nth.c, compiled here) lets call number k fail. Run after run, k goes up until a run
//! makes no such call. In each run a gateway starts, takes three inputs with tools and ends; another one, without faults,
//! then shows what became of them. Nothing may panic, everything acknowledged must be there once and be answered, and the
//! file must be sound. `PICOBOT_FAULTS=all` tries every k; without it every so many (`make faults`).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use rustix::process::Signal;
use serde_json::{Value, json};
use tungstenite::Error;

use super::picobot;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::model::{ModelServer, Received};
use crate::support::process::PATIENCE;
use crate::support::python::sqlite;
use crate::support::script::{Answer, Call};
use crate::support::ws::Client;

/// Inputs of a run. The second is answered after a call with a side effect.
const INPUTS: [&str; 3] = ["plain 一", "write <note.txt>", "plain 二"];
/// Tries to have one input accepted: the first may meet the fault.
const TRIES: usize = 4;
/// Between the calls that fail in a short run.
const SHORT_STRIDE: usize = 41;

/// Sums of all runs.
#[derive(Default, Debug)]
struct Tally {
    runs: usize,
    /// Gateways that did not start because of the fault, and said so.
    not_started: usize,
    /// Inputs that were refused because of the fault.
    refused: usize,
    /// Inputs that were acknowledged.
    acknowledged: usize,
}

#[test]
fn every_write_and_sync_fails_once() {
    let all = std::env::var("PICOBOT_FAULTS").is_ok_and(|text| text == "all");
    let stride = if all { 1 } else { SHORT_STRIDE };
    let place = tempfile::tempdir().unwrap();
    let library = compile(place.path());
    let model = ModelServer::start(answer);
    for (errno, name) in [(Errno::IO, "EIO"), (Errno::NOSPC, "ENOSPC")] {
        let mut tally = Tally::default();
        // The second row of a short run fails other calls than the first.
        let mut nth = if all || errno == Errno::IO {
            1
        } else {
            1 + stride / 2
        };
        loop {
            let fault = Fault {
                library: &library,
                errno,
                nth,
                fired: place.path().join(format!("{name}-{nth}")),
            };
            run(&model, &fault, &mut tally);
            if !fault.fired.exists() {
                break;
            }
            nth += stride;
        }
        assert!(nth > 60, "hardly a call failed: is the library loaded?");
        let _ = writeln!(
            std::io::stderr(),
            "faults: {name} at {} of about {nth} calls: {tally:?}, 0 panics, 0 lost, 0 doubled",
            tally.runs - 1
        );
    }
}

struct Fault<'a> {
    library: &'a Path,
    errno: Errno,
    nth: usize,
    fired: PathBuf,
}

fn compile(folder: &Path) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/fail_nth.c");
    let library = folder.join("fail_nth.so");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .args([source, "-ldl"])
        .output()
        .expect("a C compiler");
    assert!(made.status.success(), "{made:?}");
    library
}

/// Answers as the model: one call for a wish to write, else a sentence.
fn answer(received: &Received) -> Answer {
    let messages = received.body["messages"].as_array().unwrap();
    let last = messages.last().unwrap();
    let newest = received.texts("user").pop().unwrap();
    let name = newest
        .rsplit_once('<')
        .and_then(|(_, rest)| rest.split_once('>'))
        .map(|(name, _)| name);
    match name {
        Some(name) if last["role"] == "user" => Answer::calls([Call::new(
            "w1",
            "file_write",
            json!({"path": name, "content": "noted\n"}),
        )]),
        _ => Answer::text("Done. 好了。"),
    }
}

fn run(model: &ModelServer, fault: &Fault<'_>, tally: &mut Tally) {
    tally.runs += 1;
    let home = Home::with_model(model);
    let process = Gateway::launch(&home, |command| {
        command
            .env("LD_PRELOAD", fault.library)
            .env("FAULT_FILES", "/picobot.db")
            .env("FAULT_NTH", fault.nth.to_string())
            .env("FAULT_ERRNO", fault.errno.raw_os_error().to_string())
            .env("FAULT_FIRED", &fault.fired)
            .env("PICOBOT_STORAGE_RETRY_MS", "20");
    });
    let at = format!("{:?} at call {}", fault.errno, fault.nth);
    let mut acknowledged = Vec::new();
    match Gateway::when_ready(&home, process) {
        Err(process) => {
            let ended = process.finish();
            assert_eq!(ended.code, Some(12), "{at}: {ended:?}");
            assert!(ended.stderr.contains("\npicobot: "), "{at}: {ended:?}");
            assert!(ended.stderr.contains("\nhint: "), "{at}: {ended:?}");
            no_panic(&at, &ended.stderr);
            tally.not_started += 1;
        }
        Ok(gateway) => {
            for (index, text) in INPUTS.iter().enumerate() {
                let reply = ask(gateway.port(), index, text, tally, &at);
                acknowledged.push((index, reply));
            }
            gateway.process().signal(Signal::TERM);
            assert!(
                gateway.process().ends_within(PATIENCE),
                "{at}: it does not end"
            );
            no_panic(&at, &gateway.log());
        }
    }
    tally.acknowledged += acknowledged.len();
    judge(&home, &acknowledged, &at);
}

fn no_panic(at: &str, log: &str) {
    assert!(!log.contains("panicked"), "{at}: {log}");
}

fn input(index: usize, text: &str) -> Value {
    json!({"type": "user_input", "content": text, "request_id": format!("r{index}")})
}

/// Has an input answered; whoever is refused tries again, as people would.
fn ask(port: u16, index: usize, text: &str, tally: &mut Tally, at: &str) -> String {
    let mut seen = Vec::new();
    for _ in 0..TRIES {
        match try_ask(port, &input(index, text)) {
            Ok(reply) if reply["type"] == "assistant_response" => {
                return reply["content"].as_str().unwrap().to_owned();
            }
            Ok(reply) => {
                assert_eq!(reply["code"], "storage", "{at}: {reply}");
                tally.refused += 1;
                seen.push(reply.to_string());
            }
            Err(error) => seen.push(error.to_string()),
        }
    }
    panic!("{at}: {text} is never answered: {seen:?}");
}

/// Sends an input and returns what ends it.
fn try_ask(port: u16, input: &Value) -> Result<Value, Error> {
    let mut client = Client::try_connect(port)?;
    client.try_send(input)?;
    loop {
        let message = client.try_next()?;
        if message["type"] != "system_notification" {
            return Ok(message);
        }
    }
}

/// Lets a gateway without faults show what is there.
fn judge(home: &Home, acknowledged: &[(usize, String)], at: &str) {
    let gateway = Gateway::start(home);
    for (index, before) in acknowledged {
        let reply = try_ask(gateway.port(), &input(*index, INPUTS[*index])).unwrap();
        assert_eq!(reply["content"], before.as_str(), "{at}: {reply}");
    }
    let mut client = Client::connect(gateway.port());
    let session = client.session_id.clone();
    let messages = client.load(&session);
    for (index, _) in acknowledged {
        let n = messages
            .iter()
            .filter(|message| message["content"] == INPUTS[*index])
            .count();
        assert_eq!(
            n, 1,
            "{at}: {} is stored {n} times: {messages:#?}",
            INPUTS[*index]
        );
    }
    if !acknowledged.is_empty() {
        let note = fs::read_to_string(home.workspace().join("note.txt")).unwrap();
        assert_eq!(note, "noted\n", "{at}");
    }
    assert!(gateway.term().success(), "{at}");
    let said = sqlite(
        &home.database(),
        &[
            "PRAGMA integrity_check",
            "PRAGMA foreign_key_check",
            "SELECT count(*) FROM inbox WHERE outcome IS NULL",
            "SELECT count(*) FROM turns WHERE state = 'running'",
        ],
    );
    assert_eq!(said, "[('ok',)]\n[]\n[(0,)]\n[(0,)]\n", "{at}");
}

#[test]
fn a_failing_disk_at_the_start_is_told() {
    let home = Home::fresh();
    let place = tempfile::tempdir().unwrap();
    let library = compile(place.path());
    let sent = picobot(&home, "send", &["what is 6*7?"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let ended = crate::support::process::run(
        crate::support::gateway::command(&home, "send")
            .arg("what is 6*8?")
            .env("LD_PRELOAD", &library)
            .env("FAULT_FILES", "/picobot.db")
            .env("FAULT_NTH", "1")
            .env("FAULT_ERRNO", Errno::IO.raw_os_error().to_string()),
    );
    // It was told, or met a call that could be made again.
    assert!(matches!(ended.code, Some(0 | 1 | 12)), "{ended:?}");
    no_panic("send", &ended.stderr);
    let sent = picobot(&home, "send", &["what is 6*7?"]);
    assert!(sent.stdout.contains("42"), "{sent:?}");
}
