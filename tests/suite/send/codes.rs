//! One way to each exit code that is not elsewhere: 0 and 2 are in `input` and `output`, 7, 130 and 143 in `gives_up`.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{Desk, assert_told};
use crate::support::gate::Gate;
use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::process::run;
use crate::support::script::Answer;
use crate::support::ws::Client;

#[test]
fn code_1_the_queue_is_full() {
    let gate = Gate::new();
    let desk = Desk::new([Answer::text("late").held(&gate)]);
    let gateway = Gateway::start(&desk.home);
    let mut client = Client::connect(gateway.port());
    for n in 0..101 {
        client.say(&format!("{n}"));
    }
    client.ping();
    assert_told(&desk.send(&["one more"]), 1, "Queue full");
}

#[test]
fn code_1_the_answer_cannot_be_written() {
    let desk = Desk::new([Answer::text("Hello.")]);
    let ended = desk.send(&["hello", "-o", "/dev/full"]);
    assert_told(&ended, 1, "cannot write the answer");
}

#[test]
fn code_3_a_fault_in_the_configuration() {
    let home = Home::empty();
    fs::write(home.config(), "{\"agents\": 7}").unwrap();
    let ended = run(command(&home, "send").arg("hello"));
    assert_told(&ended, 3, "configuration");
    assert!(ended.stderr.contains("config.json:1:12"), "{ended:?}");
    let ended = run(command(&Home::empty(), "send").args(["hello", "--config", "nowhere.json"]));
    assert_told(&ended, 3, "configuration");
    assert!(ended.stderr.contains("nowhere.json"), "{ended:?}");
}

#[test]
fn code_4_no_gateway_answers() {
    let desk = Desk::new([]);
    // Bound and dropped: nobody listens there.
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = port.local_addr().unwrap().port();
    let url = format!("ws://127.0.0.1:{port}/ws");
    let ended = desk.send(&["hello", "--gateway-url", &url]);
    assert_told(&ended, 4, &url);
    assert!(
        ended
            .stderr
            .contains("hint: start one with: picobot gateway")
    );
    assert_eq!(desk.model.received().len(), 0);
    let ended = desk.send(&["hello", "--gateway-url", "http://127.0.0.1/"]);
    assert_told(&ended, 2, "not a gateway URL");
}

#[test]
fn code_5_the_key_is_refused() {
    let desk = Desk::new([Answer::error(401, "Incorrect API key provided: test-key")]);
    let ended = desk.send(&["hello"]);
    assert_told(&ended, 5, "refused the key");
    assert!(!ended.stderr.contains("test-key"), "{ended:?}");
}

#[test]
fn code_5_the_token_is_refused_or_unsafe() {
    let desk = Desk::new([]);
    let _gateway = Gateway::start(&desk.home);
    let path = desk.home.path().join(".picobot/gateway.token");
    fs::write(&path, "0".repeat(64)).unwrap();
    assert_told(&desk.send(&["hello"]), 5, "refused the token");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert_told(&desk.send(&["hello"]), 5, "gateway.token");
}

#[test]
fn code_6_the_model_service_fails() {
    let desk = Desk::new([Answer::error(400, "no such parameter")]);
    let ended = desk.send(&["hello"]);
    assert_told(&ended, 6, "no such parameter");
    assert!(ended.stderr.contains("scripted"), "it is named: {ended:?}");
}

#[test]
fn code_7_the_model_service_is_silent() {
    let gate = Gate::new();
    let desk = Desk::new([Answer::text("never").held(&gate)]);
    let mut config = desk.home.config_for(&desk.model);
    config["providers"]["scripted"]["first_byte_timeout_secs"] = json!(1);
    desk.home.write_config(&config);
    assert_told(&desk.send(&["hello"]), 7, "did not answer in 1 s");
}

#[test]
fn code_8_somebody_stopped_it() {
    let gate = Gate::new();
    let desk = Desk::new([Answer::text("never").held(&gate)]);
    let gateway = Gateway::start(&desk.home);
    let process = desk.start(&["hello"]);
    gate.wait_reached();
    let reply = Client::connect(gateway.port()).request("/stop");
    assert_eq!(reply["type"], "command_executed", "{reply}");
    assert_told(&process.finish(), 8, "Stopped");
}

#[test]
fn code_12_the_database_is_damaged() {
    let desk = Desk::new([]);
    fs::write(desk.home.database(), "no database at all, just a text").unwrap();
    let ended = desk.send(&["hello"]);
    assert_told(&ended, 12, "damaged");
    assert!(ended.stderr.contains("\nhint: "), "{ended:?}");
}

#[test]
fn code_12_local_is_refused_beside_a_gateway() {
    let desk = Desk::new([]);
    let gateway = Gateway::start(&desk.home);
    let ended = desk.send(&["hello", "--local"]);
    assert_told(&ended, 12, &format!("pid {}", gateway.process().pid()));
    assert!(ended.stderr.contains("hint: leave out --local"));
    assert_eq!(desk.model.received().len(), 0);
}
