//! Rows about `picobot send`, the binary's size and the first request of a dialog.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use crate::Setup;
use crate::model::{Model, PLAIN};
use crate::peer::{Client, Gateway, Home};
use crate::process;
use crate::row::{Row, quantile};

/// The flags of a `send` without a gateway. `--new` may take a title, so it does not come last.
const ALONE: [&str; 2] = ["--new", "--local"];

/// `send` without a gateway and through one.
pub(crate) fn oneshot(setup: &Setup) -> Vec<Row> {
    let model = Model::start();
    let home = Home::new(&model, 64);
    let runs = setup.times(30, 10);
    send(setup, &home, &ALONE);
    let mut alone = times(runs, || send(setup, &home, &ALONE));
    let mut peaks: Vec<f64> = (0..setup.times(10, 5))
        .map(|_| send_peak_mb(setup, &home))
        .collect();
    let gateway = Gateway::start(setup, &home);
    send(setup, &home, &via(&gateway));
    let mut through = times(runs, || send(setup, &home, &via(&gateway)));
    vec![
        Row::at_most(
            "one-shot without a gateway, median",
            quantile(&mut alone, 0.5),
            "ms",
            15.0,
        ),
        Row::at_most(
            "one-shot without a gateway, peak RSS",
            quantile(&mut peaks, 1.0),
            "MB",
            15.0,
        ),
        Row::at_most(
            "one-shot through a gateway, median",
            quantile(&mut through, 0.5),
            "ms",
            5.0,
        ),
    ]
}

/// The flags that point `send` at this gateway, whose port is not the configured one.
fn via(gateway: &Gateway) -> [String; 3] {
    let url = format!("ws://127.0.0.1:{}/ws", gateway.port());
    ["--new", "--gateway-url", &url].map(str::to_owned)
}

fn times(runs: usize, run: impl Fn()) -> Vec<f64> {
    (0..runs)
        .map(|_| {
            let since = Instant::now();
            run();
            since.elapsed().as_secs_f64() * 1_000.0
        })
        .collect()
}

fn send(setup: &Setup, home: &Home, flags: &[impl AsRef<str>]) {
    let output = home
        .command(setup, "send")
        .args(flags.iter().map(AsRef::as_ref))
        .arg(PLAIN)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("the answer"),
        "send: {}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs `send` while looking at its peak all the time; a child's final peak cannot be asked for without unsafe code.
fn send_peak_mb(setup: &Setup, home: &Home) -> f64 {
    let mut child = home
        .command(setup, "send")
        .args(ALONE)
        .arg(PLAIN)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0.0;
    while child.try_wait().unwrap().is_none() {
        peak = process::peak_mb(child.id()).unwrap_or(peak).max(peak);
    }
    peak
}

/// The binary on disk, and the first request of a dialog.
pub(crate) fn sizes(setup: &Setup) -> Vec<Row> {
    let binary = fs::metadata(&setup.binary).unwrap().len() as f64 / 1e6;
    let model = Model::start();
    let home = Home::new(&model, 64);
    let gateway = Gateway::start(setup, &home);
    Client::connect(&gateway, "bench").ask("hi");
    let body: Value = serde_json::from_slice(&model.last_body()).unwrap();
    let system = &body["messages"][0];
    assert_eq!(system["role"], "system", "{system}");
    let prompt = system["content"].to_string().len() + body["tools"].to_string().len();
    vec![
        Row::at_most("binary, stripped", binary, "MB", 20.0),
        Row::at_most(
            "first \"hi\": system and tools",
            prompt as f64,
            "bytes",
            12_000.0,
        ),
    ]
}
