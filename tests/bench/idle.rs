//! Rows about a gateway that has nothing to do: its start, its size, its wake-ups, its idle clients.

use std::time::{Duration, Instant};

use crate::Setup;
use crate::model::{Model, pause};
use crate::peer::{Client, Gateway, Home};
use crate::process;
use crate::row::{Row, quantile};

/// Lets a fresh gateway finish what it does after its start.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);

/// How long from exec to the first answered `/health`, with a database that exists.
pub(crate) fn ready(setup: &Setup) -> Vec<Row> {
    let model = Model::start();
    let home = Home::new(&model, 64);
    drop(Gateway::start(setup, &home));
    let mut times: Vec<f64> = (0..setup.times(20, 10))
        .map(|_| {
            let since = Instant::now();
            let gateway = Gateway::start(setup, &home);
            let took = since.elapsed();
            drop(gateway);
            took.as_secs_f64() * 1_000.0
        })
        .collect();
    vec![Row::at_most(
        "exec to ready, median",
        quantile(&mut times, 0.5),
        "ms",
        10.0,
    )]
}

/// Memory and wake-ups without a client.
pub(crate) fn idle(setup: &Setup) -> Vec<Row> {
    let model = Model::start();
    let home = Home::new(&model, 64);
    let gateway = Gateway::start(setup, &home);
    let pid = gateway.pid();
    pause(SETTLE);
    let rss = process::rss_mb(pid);
    let pss = process::pss_mb(pid);
    // A quick run watches a sixth of the time and scales.
    let (secs, scale) = if setup.quick { (5, 6.0) } else { (30, 1.0) };
    let before = process::context_switches(pid);
    pause(Duration::from_secs(secs));
    let switches = (process::context_switches(pid) - before) * scale;
    vec![
        Row::at_most("idle RSS", rss, "MB", 10.0),
        Row::at_most("idle PSS", pss, "MB", 7.0),
        Row::at_most("idle context switches in 30 s", switches, "", 5.0),
    ]
}

/// What 2,000 connected clients cost that say nothing.
pub(crate) fn clients(setup: &Setup) -> Vec<Row> {
    const CLIENTS: usize = 2_000;
    let model = Model::start();
    let home = Home::new(&model, 64);
    let gateway = Gateway::start(setup, &home);
    let pid = gateway.pid();
    // One client first: what the first connection of all sets up belongs to no later one.
    let first = Client::connect(&gateway, "bench");
    pause(SETTLE);
    let (rss, threads) = (process::rss_mb(pid), process::threads(pid));
    let clients: Vec<Client> = (0..CLIENTS)
        .map(|n| Client::connect(&gateway, format!("bench-{n}")))
        .collect();
    pause(SETTLE);
    let each = (process::rss_mb(pid) - rss) * 1_000.0 / CLIENTS as f64;
    let more = process::threads(pid) - threads;
    drop((first, clients));
    vec![
        Row::at_most("2,000 idle clients, each", each, "KB", 8.0),
        Row::at_most("2,000 idle clients, more threads", more, "", 0.0),
    ]
}
