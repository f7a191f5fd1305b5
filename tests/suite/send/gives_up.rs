//! Ends before the answer: signals, the deadline, and somebody's `/stop`. The turn is stopped with the command.

use rustix::process::Signal;

use super::{Desk, assert_said, assert_told};
use crate::support::gate::Gate;
use crate::support::gateway::Gateway;
use crate::support::script::Answer;
use crate::support::ws::Client;

/// Holds an answer, gives up in some way and checks that the model's connection was closed; the next turn works.
#[track_caller]
fn given_up(with_gateway: bool, arguments: &[&str], signal: Option<Signal>, code: i32, why: &str) {
    let gate = Gate::new();
    let desk = Desk::new([
        Answer::text("one two three").held_after(2, &gate),
        Answer::text("Here I am."),
    ]);
    let gateway = with_gateway.then(|| Gateway::start(&desk.home));
    let process = desk.start(&[&["count"], arguments].concat());
    gate.wait_reached();
    if let Some(signal) = signal {
        process.signal(signal);
    }
    assert_told(&process.finish(), code, why);
    gate.wait_hung_up();
    assert_said(&desk.send(&["are you there?"]), "Here I am.");
    if let Some(gateway) = gateway {
        let mut client = Client::connect(gateway.port());
        let id = client.session_id.clone();
        let messages = client.load(&id);
        let state = messages[0]["state"].as_str();
        assert_eq!(state, Some("stopped"), "{messages:?}");
    }
}

#[test]
fn sigint_stops_the_turn_of_the_gateway() {
    given_up(true, &[], Some(Signal::INT), 130, "interrupted");
}

#[test]
fn sigint_stops_the_turn_in_process() {
    given_up(false, &[], Some(Signal::INT), 130, "interrupted");
}

#[test]
fn sigterm_stops_the_turn_of_the_gateway() {
    given_up(true, &[], Some(Signal::TERM), 143, "terminated");
}

#[test]
fn sigterm_stops_the_turn_in_process() {
    given_up(false, &[], Some(Signal::TERM), 143, "terminated");
}

#[test]
fn the_deadline_stops_the_turn_of_the_gateway() {
    given_up(true, &["--timeout", "1"], None, 7, "no answer within 1 s");
}

#[test]
fn the_deadline_stops_the_turn_in_process() {
    given_up(false, &["-t", "1s"], None, 7, "no answer within 1 s");
}

#[test]
fn a_stopped_stream_ends_its_line() {
    let gate = Gate::new();
    let desk = Desk::new([Answer::text("one two").held_after(2, &gate)]);
    let process = desk.start(&["count", "--stream"]);
    assert!(process.stdout().has("one "));
    process.signal(Signal::INT);
    let ended = process.finish();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(ended.stdout, "one \n", "{ended:?}");
}

#[test]
fn only_the_own_dialog_is_stopped() {
    let (first, second) = (Gate::new(), Gate::new());
    let desk = Desk::new([
        Answer::text("goes on").held(&first),
        Answer::text("is stopped").held(&second),
    ]);
    let gateway = Gateway::start(&desk.home);
    let mut other = Client::connect(gateway.port());
    other.say("hello");
    first.wait_reached();
    let process = desk.start(&["hello", "--new"]);
    second.wait_reached();
    process.signal(Signal::INT);
    assert_told(&process.finish(), 130, "interrupted");
    second.wait_hung_up();
    first.release();
    assert_eq!(other.next()["content"], "goes on");
}
