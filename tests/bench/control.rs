//! Rows about the control lane: how fast commands are answered, and how fast a stop has an end, in each state of a turn.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Setup;
use crate::model::{BASH, DEAF, HANG, LATER, Model, PLAIN, pause};
use crate::peer::{Client, Gateway, Home};
use crate::row::{Row, quantile};
use crate::sandbox::is_there;

/// When waiting for a state, or for its end, is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// A moment in which the gateway takes in what it was sent.
const MOMENT: Duration = Duration::from_millis(50);
/// The chat of all clients.
const CHAT: &str = "bench";

/// What a turn is doing when it is asked about and stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Headers,
    MidStream,
    Retry,
    Bash,
    Compression,
    Approval,
    Queued,
}

const STATES: [(State, &str); 7] = [
    (State::Headers, "waiting for headers"),
    (State::MidStream, "mid-stream"),
    (State::Retry, "pausing before a retry"),
    (State::Bash, "running bash"),
    (State::Compression, "compressing"),
    (State::Approval, "waiting for approval"),
    (State::Queued, "queued"),
];

/// How long commands and stops take while a turn is in each state.
pub(crate) fn control(setup: &Setup) -> Vec<Row> {
    let mut rows = Vec::new();
    for (state, name) in STATES {
        let (mut answers, mut stops) = waits(setup, state);
        rows.push(Row::at_most(
            &format!("{name}: /info, /help, /mcp, /status, worst"),
            quantile(&mut answers, 1.0),
            "ms",
            200.0,
        ));
        rows.push(Row::at_most(
            &format!("{name}: stopped, worst"),
            quantile(&mut stops, 1.0),
            "ms",
            2_000.0,
        ));
    }
    rows
}

/// Returns the waits for answers and for ends, in ms.
fn waits(setup: &Setup, state: State) -> (Vec<f64>, Vec<f64>) {
    let model = Model::start();
    let slots = if state == State::Queued { 1 } else { 64 };
    let home = Home::new(&model, slots);
    if state == State::Approval {
        home.change(|config| {
            config["approvals"] = json!({"rules": [{"tool": "bash", "decision": "ask"}]});
        });
    }
    let gateway = Gateway::start(setup, &home);
    let reached = model.watch_hangs();
    let mut client = match state {
        State::Approval => Client::approver(&gateway, &home, CHAT),
        _ => Client::connect(&gateway, CHAT),
    };
    // Holds the only slot while others wait.
    let mut other = Client::connect(&gateway, "other");
    if state == State::Queued {
        other.say(HANG);
        reached.recv_timeout(PATIENCE).unwrap();
    }
    let mut asking = Client::connect(&gateway, CHAT);
    let (mut answers, mut stops) = (Vec::new(), Vec::new());
    for run in 0..setup.times(20, 3) {
        let marker = format!("control-{}-{run}", std::process::id());
        enter(state, &mut client, &reached, &marker);
        for command in ["/info", "/help", "/mcp", "/status"] {
            let since = Instant::now();
            asking.say(command);
            asking.expect("command_executed");
            answers.push(ms(since.elapsed()));
        }
        let since = Instant::now();
        asking.say("/stop");
        asking.expect("command_executed");
        // With questions, their end is told too.
        while client.next()["type"] != "error" {}
        while state == State::Bash && is_there(&marker) {
            assert!(since.elapsed() < PATIENCE, "{marker} is still there");
        }
        stops.push(ms(since.elapsed()));
        // The model has seen the other side hang up.
        if matches!(
            state,
            State::Headers | State::MidStream | State::Compression
        ) {
            reached.recv_timeout(PATIENCE).unwrap();
        }
    }
    (answers, stops)
}

/// Brings a turn of the client into the state.
fn enter(state: State, client: &mut Client, reached: &Receiver<Instant>, marker: &str) {
    let bash = format!("{BASH}{marker}");
    match state {
        State::Headers => client.say(DEAF),
        State::MidStream => client.say(HANG),
        State::Retry => {
            // A service that only fails is soon left alone.
            client.ask(PLAIN);
            client.say(LATER);
        }
        State::Bash | State::Approval => client.say(&bash),
        State::Compression => {
            client.renew();
            client.ask(PLAIN);
            client.ask(PLAIN);
            client.say("/compact");
        }
        State::Queued => client.say(PLAIN),
    }
    match state {
        State::Headers | State::MidStream | State::Compression => {
            reached.recv_timeout(PATIENCE).unwrap();
        }
        State::Retry => {
            reached.recv_timeout(PATIENCE).unwrap();
            pause(MOMENT);
        }
        State::Bash => {
            let since = Instant::now();
            while !is_there(marker) {
                assert!(since.elapsed() < PATIENCE, "the command never ran");
            }
        }
        State::Approval => client.expect("approval_request"),
        State::Queued => pause(MOMENT),
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
