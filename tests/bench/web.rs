//! A row about the web tools: how fast `/stop` ends a call that waits for an answer.

use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Setup;
use crate::peer::{Client, Gateway, Home};
use crate::row::{Row, quantile};

/// How long after `/stop` a server that does not answer sees its connection closed.
pub(crate) fn stop(setup: &Setup) -> Vec<Row> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let home = Home::with_provider(&json!({"type": "demo"}), 4);
    home.change(|config| {
        config["tools"] = json!({"http": {"allow_private": ["127.0.0.1"], "ports": [port]}});
    });
    let gateway = Gateway::start(setup, &home);
    let mut client = Client::connect(&gateway, "bench");
    let mut waits: Vec<f64> = (0..setup.times(50, 10))
        .map(|_| {
            client.say(&format!("request http://127.0.0.1:{port}/"));
            let (mut stream, _) = listener.accept().unwrap();
            let patience = Some(Duration::from_secs(10));
            stream.set_read_timeout(patience).unwrap();
            let mut bytes = [0; 4096];
            assert!(stream.read(&mut bytes).unwrap() > 0, "no request came");
            let since = Instant::now();
            client.say("/stop");
            while stream.read(&mut bytes).unwrap() > 0 {}
            let wait = since.elapsed();
            // The command's reply and the turn's error, in either order.
            client.next();
            client.next();
            wait.as_secs_f64() * 1e3
        })
        .collect();
    vec![Row::at_most(
        "/stop to a web tool's socket closed p50",
        quantile(&mut waits, 0.5),
        "ms",
        20.0,
    )]
}
