//! The gateway's port from outside: the health page, who may enter, broken and slow requests, and a port or database
//! that somebody else has.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::Error;

use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::process::{PATIENCE, run};
use crate::support::script::Answer;
use crate::support::stage::Stage;
use crate::support::ws::Client;
use crate::support::{CEILING, http};

/// A gateway with the demo as its model: most of what is asked here ends at the door.
struct Rig {
    gateway: Gateway,
    home: Home,
}

impl Rig {
    fn new() -> Self {
        Self::with(json!({}))
    }

    fn with(gateway: Value) -> Self {
        let home = Home::empty();
        home.write_config(&json!({"workspace_dir": home.workspace(), "gateway": gateway}));
        let gateway = Gateway::start(&home);
        Self { gateway, home }
    }

    fn port(&self) -> u16 {
        self.gateway.port()
    }

    /// Sends a head with these lines and returns status and the whole answer.
    fn send(&self, first: &str, lines: &[&str]) -> (u16, String) {
        let request = format!("{first}\r\n{}\r\n\r\n", lines.join("\r\n"));
        let answer = http::exchange(self.port(), request.as_bytes()).unwrap();
        let status = answer.split(' ').nth(1).map(|status| status.parse());
        let status = status.unwrap_or_else(|| panic!("no answer to {request}: {answer}"));
        (status.unwrap(), answer)
    }

    /// Returns a `Host` line with the real port.
    fn host(&self) -> String {
        format!("Host: 127.0.0.1:{}", self.port())
    }

    /// The status of a request for a WebSocket with further header lines; 101 if it becomes one.
    fn knock(&self, headers: &[(&str, &str)]) -> u16 {
        match Client::with_headers(self.port(), headers) {
            Ok(_) => 101,
            Err(Error::Http(response)) => response.status().as_u16(),
            Err(error) => panic!("{error}"),
        }
    }

    #[track_caller]
    fn is_well(&self) {
        assert_eq!(self.gateway.health()["status"], "ok");
        let answer = Client::connect(self.port()).ask("what is 6*7?");
        assert!(answer.contains("42"), "{answer}");
    }
}

#[test]
fn the_health_page() {
    let stage = Stage::new([Answer::text("Hello.")]);
    let mut client = stage.client();
    client.ask("hello");
    client.ping();
    let health = stage.gateway.health();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(health["uptime_secs"].is_u64(), "{health}");
    let parts = json!({"storage": {"status": "ok"}, "provider": {"status": "ok"}});
    assert_eq!(health["parts"], parts);
    let counters = &health["counters"];
    assert_eq!(counters["clients"], 1, "{health}");
    assert_eq!(counters["queued"], 0, "{health}");
    for counter in ["turns_running", "turns_done"] {
        assert!(counters[counter].is_u64(), "{health}");
    }
    let text = health.to_string();
    let home = stage.home.path().to_str().unwrap();
    assert!(!text.contains(home) && !text.contains("test-key"), "{text}");
}

#[test]
fn pages_and_methods() {
    let rig = Rig::new();
    let host = rig.host();
    for (first, status) in [
        ("GET /health HTTP/1.1", 200),
        ("GET /health?x=1 HTTP/1.1", 200),
        ("GET /health HTTP/1.0", 200),
        ("HEAD /health HTTP/1.1", 200),
        ("POST /health HTTP/1.1", 405),
        ("DELETE /ws HTTP/1.1", 405),
        ("GET /ws HTTP/1.1", 426),
        ("GET / HTTP/1.1", 404),
        ("GET /health/ HTTP/1.1", 404),
        ("GET /../etc/passwd HTTP/1.1", 404),
        ("GET http://127.0.0.1/health HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
        ("CONNECT 127.0.0.1:1 HTTP/1.1", 400),
        ("GET /health HTTP/2.0", 505),
        ("nonsense", 400),
    ] {
        let (got, answer) = rig.send(first, &[&host]);
        assert_eq!(got, status, "{first}: {answer}");
        assert!(answer.to_lowercase().contains("connection: close"));
        assert!(!answer.to_lowercase().contains("access-control-"));
    }
    let (_, head) = rig.send("HEAD /health HTTP/1.1", &[&host]);
    assert!(head.ends_with("\r\n\r\n"), "a body after HEAD: {head}");
    let (status, answer) = rig.send("POST /health HTTP/1.1", &[&host, "Content-Length: 3"]);
    assert_eq!(status, 400, "{answer}");
    let (status, _) = rig.send(
        "GET /health HTTP/1.1",
        &[&host, &format!("X: {}", "y".repeat(9_000))],
    );
    assert_eq!(status, 431);
    rig.is_well();
}

#[test]
fn only_known_hosts_and_origins() {
    let rig = Rig::with(json!({
        "allowed_hosts": ["pi.lan"],
        "allowed_origins": ["https://chat.lan"],
    }));
    let port = rig.port();
    let status = |lines: &[&str]| rig.send("GET /health HTTP/1.1", lines).0;
    for host in ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"] {
        assert_eq!(status(&[&format!("Host: {host}:{port}")]), 200, "{host}");
    }
    assert_eq!(status(&["Host: pi.lan"]), 200);
    assert_eq!(status(&["Host: pi.lan:8080"]), 200);
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        &format!("localhost.evil.example:{port}"),
        &format!("evil-localhost:{port}"),
        "127.0.0.1:1",
        "localhost",
        "not-pi.lan",
        "",
    ] {
        assert_eq!(status(&[&format!("Host: {host}")]), 403, "{host}");
    }
    assert_eq!(status(&[]), 403, "no host");
    assert_eq!(status(&[&rig.host(), &rig.host()]), 403, "two hosts");
    let host = rig.host();
    for (origin, expected) in [
        ("https://chat.lan", 200),
        ("http://chat.lan", 403),
        ("https://chat.lan.evil.example", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        let line = format!("Origin: {origin}");
        assert_eq!(status(&[&host, &line]), expected, "{origin}");
        let expected = if expected == 200 { 101 } else { expected };
        assert_eq!(rig.knock(&[("origin", origin)]), expected, "{origin}");
    }
    assert_eq!(rig.knock(&[]), 101);
}

#[test]
fn a_token_is_right_or_refused() {
    let rig = Rig::new();
    let token = rig.home.token();
    let path = rig.home.path().join(".picobot/gateway.token");
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let with = |value: &str| rig.knock(&[("authorization", value)]);
    assert_eq!(with(&format!("Bearer {token}")), 101);
    for wrong in [
        "Bearer ",
        "Bearer wrong",
        &format!("Bearer {}", &token[..63]),
        &format!("Basic {token}"),
    ] {
        assert_eq!(with(wrong), 401, "{wrong}");
    }
    let both = format!("Bearer {token}");
    let twice = [("authorization", &*both), ("authorization", &*both)];
    assert_eq!(rig.knock(&twice), 401, "given twice");
    assert_eq!(rig.knock(&[]), 101, "our own user needs none");
    assert!(!rig.gateway.log().contains(&token), "the token was logged");
}

#[test]
fn with_auth_token_everyone_needs_it() {
    let rig = Rig::with(json!({"auth": "token"}));
    assert_eq!(rig.knock(&[]), 401);
    assert_eq!(rig.knock(&[("authorization", "Bearer wrong")]), 401);
    let bearer = format!("Bearer {}", rig.home.token());
    assert_eq!(rig.knock(&[("authorization", &bearer)]), 101);
    assert_eq!(rig.gateway.health()["status"], "ok", "no secret in it");
    // Our own commands find the token themselves.
    let sent = run(command(&rig.home, "send").arg("what is 6*7?"));
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert!(sent.stdout.contains("42"), "{sent:?}");
}

#[test]
fn a_token_survives_a_restart() {
    let rig = Rig::new();
    let before = rig.home.token();
    let Rig { gateway, home } = rig;
    let _gateway = gateway.restart(&home);
    assert_eq!(home.token(), before);
}

#[test]
fn a_head_that_trickles_is_given_up() {
    let rig = Rig::new();
    let mut slow = http::connect(rig.port()).unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nX: ").unwrap();
    // The pause between two bytes.
    slow.set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let started = Instant::now();
    let mut answer = [0; 12];
    while let Err(error) = slow.read_exact(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(started.elapsed() < PATIENCE, "never given up");
        slow.write_all(b"y").unwrap();
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[test]
fn half_open_connections_do_not_stop_service() {
    let rig = Rig::new();
    let half_open: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = http::connect(rig.port()).unwrap();
            stream.write_all(b"GET /ws HTT").unwrap();
            stream
        })
        .collect();
    rig.is_well();
    let mut dropped = 0;
    for mut stream in &half_open[..44] {
        dropped += usize::from(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    }
    assert_eq!(dropped, 44, "the oldest beyond 256 are dropped");
    rig.is_well();
}

#[test]
fn garbage_and_early_ends_do_not_stop_service() {
    let rig = Rig::new();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost 127.0.0.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\n Host: x\r\n\r\n",
    ] {
        let mut stream = http::connect(rig.port()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // It may be reset, for it was not all read.
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{bytes:?}");
    }
    for _ in 0..50 {
        drop(http::connect(rig.port()).unwrap());
    }
    rig.is_well();
}

#[test]
fn one_client_too_many_is_told_so() {
    let rig = Rig::with(json!({"max_connections": 2}));
    let clients = [Client::connect(rig.port()), Client::connect(rig.port())];
    assert_eq!(rig.knock(&[]), 503);
    assert_eq!(rig.gateway.health()["counters"]["clients"], 2);
    drop(clients);
    // The gateway learns of their end in its own time.
    let freed = (0..1_000).any(|_| rig.knock(&[]) == 101);
    assert!(freed, "the places stay taken");
}

#[test]
fn a_second_gateway_is_refused_at_once() {
    let rig = Rig::new();
    let second = Gateway::launch(&rig.home, |_| {});
    let ended = second.finish();
    assert_eq!(ended.code, Some(12), "{ended:?}");
    let pid = rig.gateway.process().pid().to_string();
    assert!(ended.stderr.contains(&format!("pid {pid}")), "{ended:?}");
    assert!(ended.stderr.contains("\nhint: "), "{ended:?}");
    assert_eq!(ended.stdout, "");
    rig.is_well();
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let model = ModelServer::queue([Answer::text("Hello.")]);
    let home = Home::with_model(&model);
    let ended = run(command(&home, "gateway").args(["--port", &port]));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let told = format!("127.0.0.1:{port} is in use");
    assert!(ended.stderr.contains(&told), "{ended:?}");
    assert!(ended.stderr.contains("hint: ") && ended.stderr.contains("--port"));
    // It gave the database back.
    let gateway = Gateway::start(&home);
    assert_eq!(Client::connect(gateway.port()).ask("hello"), "Hello.");
}

#[test]
fn a_host_that_is_not_ours_is_named() {
    let home = Home::empty();
    for host in ["192.0.2.1", "no.such.host.invalid"] {
        let ended = run(command(&home, "gateway").args(["--port", "0", "--host", host]));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(host), "{ended:?}");
        assert!(ended.stderr.contains("\nhint: "), "{ended:?}");
    }
}

#[test]
fn a_client_that_does_not_read_is_dropped_alone() {
    let stage = Stage::with_model(ModelServer::start(|_| {
        Answer::text(&format!("{} ", "word".repeat(250)).repeat(1_000))
    }));
    let mut deaf = Client::hello(stage.gateway.port(), &["stream"]);
    let mut other = stage.client();
    let quick = json!({"type": "user_input", "content": "hi", "chat_id": "other"});
    // Far more than sockets buffer: each answer is a megabyte, told twice.
    for _ in 0..20 {
        deaf.say("talk");
    }
    other.send_json(&quick);
    assert_eq!(other.next()["type"], "assistant_response");
    let started = Instant::now();
    while stage.gateway.health()["counters"]["clients"] != 1 {
        assert!(started.elapsed() < PATIENCE + CEILING, "it is still there");
        other.ping();
    }
}
