//! Rows about commands: what the sandbox costs, and what is left of those that want to stay.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Setup;
use crate::model::pause;
use crate::peer::{Client, Gateway, Home};
use crate::row::{Row, quantile};

/// How long a command of the second kind runs before it is stopped.
const RUNS: Duration = Duration::from_secs(2);
/// When waiting for its end is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Commands that want to stay; `MARKER` is in the command lines of all they start.
const STAYING: [(&str, &str); 4] = [
    ("fork bomb", "bomb() { bomb | bomb & }; bomb; : MARKER"),
    ("10 GB of output", "yes MARKER | head -c 10000000000"),
    (
        "child deaf to SIGTERM",
        "trap \"\" TERM INT HUP; while :; do sleep 1; done; : MARKER",
    ),
    (
        "grandchild holding the pipe",
        "(setsid bash -c \"sleep 1000; : MARKER\" &); sleep 1000; : MARKER",
    ),
];

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// What a confined command costs beyond the same command without PicoBot.
pub(crate) fn spawn(setup: &Setup) -> Vec<Row> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-sandbox");
    for folder in ["workspace", "home", "tmp", "masks"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::write(root.join("workspace/picobot.db"), "").unwrap();
    let line = format!("{}\n", instruction(&root));
    let (mut plain, mut confined) = (Vec::new(), Vec::new());
    for _ in 0..setup.times(300, 40) {
        let since = Instant::now();
        let ended = Command::new("/bin/bash")
            .args(["-c", "true"])
            .stdin(Stdio::null())
            .status();
        plain.push(ms(since.elapsed()));
        assert!(ended.unwrap().success());
        let since = Instant::now();
        let mut helper = Command::new(&setup.binary)
            .arg("--sandbox-exec")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lifeline = helper.stdin.take().unwrap();
        lifeline.write_all(line.as_bytes()).unwrap();
        let report = helper.wait_with_output().unwrap();
        confined.push(ms(since.elapsed()));
        drop(lifeline);
        let report = String::from_utf8_lossy(&report.stdout);
        assert!(report.contains("\"exited\":0"), "{report}");
    }
    let cost = quantile(&mut confined, 0.5) - quantile(&mut plain, 0.5);
    vec![Row::at_most(
        "sandbox cost per command over plain bash p50",
        cost,
        "ms",
        5.0,
    )]
}

/// What the gateway tells its supervisor, see `src/sandbox/protocol.rs`.
fn instruction(root: &Path) -> Value {
    let text = |text: &str| json!({"Unix": text.as_bytes()});
    let path = |name: &str| text(root.join(name).to_str().unwrap());
    json!({
        "argv": [text("/bin/bash"), text("-c"), text("true")],
        "cwd": path("workspace"),
        "env": [[text("PATH"), text("/usr/bin:/bin")]],
        "deadline_ms": 60_000,
        "umask": 0o22,
        "confine": {
            "required": true,
            "network": false,
            "read": [],
            "write": [path("workspace"), path("home"), path("tmp")],
            "private": [path("workspace/picobot.db")],
            "masks": path("masks"),
            "tmp": path("tmp"),
        },
    })
}

/// How long it takes until nothing is left of commands that want to stay, and how `/health` answers meanwhile.
pub(crate) fn staying(setup: &Setup) -> Vec<Row> {
    let home = Home::with_provider(&json!({"type": "demo"}), 64);
    let gateway = Gateway::start(setup, &home);
    let mut client = Client::connect(&gateway, "bench");
    let (mut left, mut health) = (Vec::new(), Vec::new());
    for (number, (name, command)) in STAYING.iter().enumerate() {
        let marker = format!("stays-{}-{number}", std::process::id());
        let command = command.replace("MARKER", &marker);
        let stopped = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask_health(gateway.port(), &stopped));
            client.say(&format!("run `{command}`"));
            pause(RUNS);
            // A fork bomb may have been ended by its supervisor already.
            let since = Instant::now();
            client.say("/stop");
            while is_there(&marker) {
                assert!(since.elapsed() < PATIENCE, "{name} is still there");
            }
            left.push(ms(since.elapsed()));
            stopped.store(true, Ordering::Relaxed);
            health.extend(asking.join().unwrap());
        });
        // The command's reply and the turn's error, in either order.
        client.next();
        client.next();
    }
    vec![
        Row::at_most(
            "worst of fork bomb, 10 GB, deaf child, held pipe: until nothing is left",
            quantile(&mut left, 1.0),
            "ms",
            2_000.0,
        ),
        Row::at_most(
            "/health meanwhile, worst",
            quantile(&mut health, 1.0),
            "ms",
            100.0,
        ),
    ]
}

fn ask_health(port: u16, stopped: &AtomicBool) -> Vec<f64> {
    let mut waits = Vec::new();
    while !stopped.load(Ordering::Relaxed) {
        let since = Instant::now();
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(
            socket,
            "GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("200 OK"), "{answer}");
        waits.push(ms(since.elapsed()));
        pause(Duration::from_millis(20));
    }
    waits
}

/// Whether a living process has the marker in its command line.
pub(crate) fn is_there(marker: &str) -> bool {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(marker))
}
