//! Rows about a Feishu bot that is connected and has nothing to do, over TLS as to the real service. The other side is the
//! scripted service of the tests, which needs their Python environment.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::Setup;
use crate::idle::SETTLE;
use crate::model::{Model, pause};
use crate::peer::{Gateway, Home};
use crate::process;
use crate::row::Row;
use crate::tls::{TlsFront, certificate};

/// The service's program; ends with this value.
struct Service {
    child: Child,
    _stdin: ChildStdin,
    port: u16,
}

impl Service {
    fn start() -> Self {
        let python = std::env::var_os("PICOBOT_TEST_PYTHON").map(PathBuf::from);
        let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/python/feishu_server.py");
        let mut child = Command::new(python.unwrap_or(made))
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python with the SDK; tests/suite/python/setup target/venv makes it");
        let stdin = child.stdin.take().unwrap();
        let mut base = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut base).unwrap();
        let port = base.trim().rsplit_once(':').unwrap().1.parse().unwrap();
        Self {
            child,
            _stdin: stdin,
            port,
        }
    }

    /// Tells or asks it something.
    fn control(&self, what: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = format!(
            "POST /control/{what} HTTP/1.0\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body.as_bytes()).unwrap();
        let mut lines = BufReader::new(socket).lines();
        let answer = lines
            .by_ref()
            .map(Result::unwrap)
            .skip_while(|line| !line.is_empty());
        let answer: Vec<String> = answer.skip(1).collect();
        serde_json::from_str(&answer.join("\n")).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a connected bot costs beside a gateway without one: memory, and wake-ups besides those of its pings.
pub(crate) fn connection(setup: &Setup) -> Vec<Row> {
    let service = Service::start();
    let log = service.control("log", &json!({}));
    let ws_port = u16::try_from(log["ws_port"].as_u64().unwrap()).unwrap();
    let (api, socket) = (TlsFront::start(service.port), TlsFront::start(ws_port));
    let base = socket.origin().replace("https", "wss");
    service.control("config", &json!({"ws_base": base, "ping_interval": 120}));
    let model = Model::start();
    let bot = json!({
        "app_id": "cli_0123456789abcdef", "app_secret": "right-secret", "base_url": api.origin(),
        "ca_file": certificate(), "allow_from": ["ou_1"],
    });
    let with = Home::new(&model, 64);
    with.change(|config| config["channels"] = json!({"feishu": bot}));
    let without = Home::new(&model, 64);
    let start = |home: &Home, connects: u64| {
        let gateway = Gateway::start(setup, home);
        service.control("wait", &json!({"connects": connects, "pings": connects}));
        pause(SETTLE);
        gateway
    };
    // The second start of each home is what counts: the first makes its database.
    drop(start(&without, 0));
    let gateway = start(&without, 0);
    let alone = process::rss_mb(gateway.pid());
    drop(gateway);
    drop(start(&with, 1));
    let gateway = start(&with, 2);
    let connected = process::rss_mb(gateway.pid());
    // A quick run watches a sixth of the time and scales.
    let (secs, scale) = if setup.quick { (5, 6.0) } else { (30, 1.0) };
    let before = process::context_switches(gateway.pid());
    pause(Duration::from_secs(secs));
    let switches = (process::context_switches(gateway.pid()) - before) * scale;
    let pings = &service.control("log", &json!({}))["counts"]["pings"];
    assert_eq!(*pings, 2, "one ping for each start");
    vec![
        Row::at_most(
            "Feishu bot connected over TLS: RSS",
            connected - alone,
            "MB",
            1.5,
        ),
        Row::at_most(
            "Feishu bot connected: context switches in 30 s between pings",
            switches,
            "",
            0.0,
        ),
    ]
}
