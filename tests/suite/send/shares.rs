//! Several processes and one database: `send` beside a gateway, beside another `send`, and after a gateway that died.

use std::fs::{File, OpenOptions};
use std::io::Write;

use rustix::process::Signal;
use serde_json::json;

use super::{Desk, assert_said, assert_told};
use crate::support::gate::Gate;
use crate::support::gateway::Gateway;
use crate::support::model::ModelServer;
use crate::support::script::Answer;
use crate::support::ws::Client;

/// Takes the lock of a home as a `send` of this process id would.
fn hold_lock(desk: &Desk) -> File {
    let mut lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(desk.home.lock_file())
        .unwrap();
    lock.try_lock().unwrap();
    lock.write_all(b"{\"pid\":4711,\"kind\":\"one_shot\"}")
        .unwrap();
    lock
}

#[test]
fn a_running_gateway_is_used() {
    let desk = Desk::new([Answer::text("Hello.")]);
    let gateway = Gateway::start(&desk.home);
    let mut client = Client::connect(gateway.port());
    assert_said(&desk.send(&["hello"]), "Hello.");
    let id = client.session_id.clone();
    assert_eq!(client.load(&id).len(), 2, "the same dialog");
    // The log line comes by another pipe than the answer.
    let log = gateway.process().stderr();
    assert!(log.has("turn 1 in"), "{}", log.text());
}

#[test]
fn a_gateway_finds_what_was_sent_without_it() {
    let desk = Desk::new([Answer::text("Hello."), Answer::text("You said hello.")]);
    assert_said(&desk.send(&["hello"]), "Hello.");
    let gateway = Gateway::start(&desk.home);
    let answer = Client::connect(gateway.port()).ask("what did I say?");
    assert_eq!(answer, "You said hello.");
    assert_eq!(desk.model.received()[1].texts("user").len(), 2);
}

#[test]
fn the_second_send_waits_for_the_first() {
    let gate = Gate::new();
    let desk = Desk::new([Answer::text("First.").held(&gate), Answer::text("Second.")]);
    let first = desk.start(&["one"]);
    gate.wait_reached();
    let second = desk.start(&["two"]);
    let note = format!(
        "picobot: waiting for another picobot (pid {})\n",
        first.pid()
    );
    assert!(second.stderr().has(&note), "{}", second.stderr().text());
    gate.release();
    assert_said(&first.finish(), "First.");
    let second = second.finish();
    assert_eq!((second.code, &*second.stdout), (Some(0), "Second.\n"));
    assert_eq!(second.stderr, note, "said once");
}

#[test]
fn waiting_ends_with_the_deadline() {
    let desk = Desk::new([]);
    let _lock = hold_lock(&desk);
    let ended = desk.send(&["hello", "--quiet", "--timeout", "1"]);
    assert_told(&ended, 7, "another picobot used the database");
    assert_eq!(desk.model.received().len(), 0);
}

#[test]
fn waiting_ends_with_a_signal() {
    let mut signals = vec![(Signal::TERM, 143)];
    // Who is started behind a script's `&` ignores it, and so does what that starts.
    if !is_ignored(Signal::INT) {
        signals.push((Signal::INT, 130));
    }
    for (signal, code) in signals {
        let desk = Desk::new([]);
        let _lock = hold_lock(&desk);
        let process = desk.start(&["hello"]);
        assert!(process.stderr().has("waiting for"));
        process.signal(signal);
        let ended = process.finish();
        let shell_code = ended.code.or_else(|| {
            use std::os::unix::process::ExitStatusExt;
            ended.status.signal().map(|signal| 128 + signal)
        });
        assert_eq!(shell_code, Some(code), "{ended:?}");
    }
}

/// Whether this process ignores a signal, and so whatever it starts.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .unwrap();
    let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
    mask >> (signal.as_raw() - 1) & 1 == 1
}

#[test]
fn a_gateway_that_takes_the_lock_meanwhile_is_used() {
    let desk = Desk::new([Answer::text("From the gateway.")]);
    let lock = hold_lock(&desk);
    let process = desk.start(&["hello"]);
    assert!(process.stderr().has("(pid 4711)"));
    // Stopped, so that the gateway is surely first.
    process.signal(Signal::STOP);
    drop(lock);
    let gateway = Gateway::start(&desk.home);
    process.signal(Signal::CONT);
    let ended = process.finish();
    assert_eq!(
        (ended.code, &*ended.stdout),
        (Some(0), "From the gateway.\n")
    );
    let mut client = Client::connect(gateway.port());
    let id = client.session_id.clone();
    assert_eq!(client.load(&id).len(), 2);
    // The log line comes by another pipe than the answer.
    let log = gateway.process().stderr();
    assert!(log.has("turn 1 in"), "{}", log.text());
}

#[test]
fn the_lock_of_a_dead_process_is_nothing() {
    let gate = Gate::new();
    let desk = Desk::new([Answer::text("lost").held(&gate), Answer::text("Hello.")]);
    let first = desk.start(&["one", "--new"]);
    gate.wait_reached();
    first.kill9();
    assert_said(&desk.send(&["two"]), "Hello.");
}

#[test]
fn what_a_dead_gateway_left_is_the_next_gateways_business() {
    let gate = Gate::new();
    let held = gate.clone();
    let model = ModelServer::start(move |received| {
        let asked = received.texts("user").pop().unwrap();
        match (received.index, asked.rsplit('\n').next().unwrap()) {
            (0, _) => Answer::text("lost").held(&held),
            (_, asked) => Answer::text(&format!("re: {asked}")),
        }
    });
    let desk = Desk::with_model(model);
    let gateway = Gateway::start(&desk.home);
    let mut client = Client::connect(gateway.port());
    for asked in ["running", "queued"] {
        client.send_json(&json!({"type": "user_input", "content": asked, "request_id": asked}));
    }
    client.ping();
    gate.wait_reached();
    gateway.kill9();

    let ended = desk.send(&["quick", "--new", "--local"]);
    assert_said(&ended, "re: quick");
    assert_eq!(desk.model.received().len(), 2, "only its own turn");

    let gateway = Gateway::start(&desk.home);
    let mut client = Client::connect(gateway.port());
    for asked in ["running", "queued"] {
        client.send_json(&json!({"type": "user_input", "content": asked, "request_id": asked}));
        assert_eq!(client.next()["content"], format!("re: {asked}"));
    }
    let id = client.session_id.clone();
    assert_eq!(client.load(&id).len(), 4);
    assert_eq!(desk.model.received().len(), 4);
}
