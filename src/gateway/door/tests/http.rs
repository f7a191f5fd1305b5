//! The HTTP side: the health page, refusals, opening the port.

use super::*;
use crate::observability::Part;

#[test]
fn health_is_shown_and_the_connection_closes() {
    let rig = Rig::new();
    let answer = rig.health();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let page: serde_json::Value =
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(page["status"], "ok");
    assert_eq!(page["counters"]["clients"], 0);

    let _client = rig.connect();
    assert!(rig.health().contains(r#""clients":1"#));
    rig.health.degraded(Part::Storage);
    assert!(rig.health().starts_with("HTTP/1.1 503 "));
    rig.health.ok(Part::Storage);
    assert!(rig.health().starts_with("HTTP/1.1 200 "));
}

#[test]
fn refusals_reach_the_client() {
    let rig = Rig::new();
    let host = rig.addr;
    for (request, expected, holds) in [
        (
            "GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(),
            "403 Forbidden",
            "Host not allowed",
        ),
        (
            format!("GET /health HTTP/1.1\r\nHost: {host}\r\nOrigin: null\r\n\r\n"),
            "403 Forbidden",
            "Origin not allowed",
        ),
        (
            format!("GET /ws HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n\r\n"),
            "403 Forbidden",
            "Origin not allowed",
        ),
        (
            format!("GET http://{host}/health HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            "400 Bad Request",
            "target",
        ),
        (
            format!("POST /ws HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            "405 Method Not Allowed",
            "Allow: GET\r\n",
        ),
        (
            format!("GET /ws HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            "426 Upgrade Required",
            "Sec-WebSocket-Version: 13\r\n",
        ),
        (
            format!("GET /secret HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            "404 Not Found",
            "Not found",
        ),
        (
            format!("GET /health HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\n123456789"),
            "400 Bad Request",
            "body",
        ),
        (
            "\x16\x03\x01\x02\x00\x01\x00\x01\u{7f}garbage".to_owned(),
            "400 Bad Request",
            "Not a valid",
        ),
    ] {
        let answer = rig.ask(&request);
        let start = format!("HTTP/1.1 {expected}\r\n");
        assert!(answer.starts_with(&start), "{request}\n{answer}");
        assert!(answer.contains(holds), "{request}\n{answer}");
        assert!(!answer.to_lowercase().contains("access-control"));
    }
    assert!(rig.told.is_empty());
}

#[test]
fn a_configured_host_and_origin_are_let_in() {
    let rig = Rig::with(|setup| {
        setup.config.allowed_hosts = vec!["bot.example".to_owned()];
        setup.config.allowed_origins = vec!["https://app.example".to_owned()];
    });
    let answer =
        rig.ask("GET /health HTTP/1.1\r\nHost: Bot.Example\r\nOrigin: https://App.example\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(!answer.to_lowercase().contains("access-control"));
}

#[test]
fn what_follows_a_request_is_ignored() {
    let rig = Rig::new();
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", rig.addr);
    let answer = rig.ask(&format!("{request}{request}garbage\0\r\n\r\n"));
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[test]
fn opening_fails_with_the_reason() {
    let bind = |change: &dyn Fn(&mut DoorConfig)| {
        let mut config = Setup::default().config;
        change(&mut config);
        Door::bind(config, Arc::default(), &Secret::new(TOKEN)).map(|door| door.local_addr())
    };
    let rig = Rig::new();
    let taken = bind(&|config| config.port = rig.addr.port()).unwrap_err();
    assert!(matches!(taken, DoorError::PortInUse { addr } if addr == rig.addr));
    assert!(taken.to_string().contains("gateway.port"), "{taken}");

    let foreign = bind(&|config| config.host = "192.0.2.1".to_owned()).unwrap_err();
    assert!(matches!(foreign, DoorError::NotLocal { .. }), "{foreign}");
    let unknown = bind(&|config| config.host = "no such host".to_owned()).unwrap_err();
    assert!(
        matches!(unknown, DoorError::UnknownHost { .. }),
        "{unknown}"
    );
    let bad_entry = bind(&|config| config.allowed_hosts = vec!["*".to_owned()]).unwrap_err();
    assert!(matches!(bad_entry, DoorError::BadAllowedHost { .. }));
    assert!(
        bind(&|config| config.host = "[::1]".to_owned())
            .unwrap()
            .is_ipv6()
    );
}
