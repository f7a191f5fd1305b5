//! Rows about turns: what they cost, how many go at once, how fast one stops.
//!
//! Long runs go on in a new dialog every [`DIALOG`] turns, outside the measured time, so that the length of the history
//! does not become the thing measured.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Setup;
use crate::model::{HANG, Model, PLAIN, ROUNDS, SLOW};
use crate::peer::{Client, Gateway, Home};
use crate::process;
use crate::row::{Row, quantile};
use crate::tls::{TlsFront, certificate};

/// Turns in one dialog.
const DIALOG: usize = 50;
/// Turns before a measurement, so that threads, caches and connections exist.
const WARM_UP: usize = 50;
/// The default of `gateway.max_concurrent_turns`.
const DEFAULT_TURNS: usize = 64;

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn run(client: &mut Client, turns: usize) {
    for turn in 0..turns {
        if turn % DIALOG == 0 {
            client.renew();
        }
        client.ask(PLAIN);
    }
}

/// Asks so many times and returns each wait without the model's part, in ms.
fn waits(client: &mut Client, model: &Model, text: &str, turns: usize, dialog: usize) -> Vec<f64> {
    (0..turns)
        .map(|turn| {
            if turn % dialog == 0 {
                client.renew();
            }
            model.take_busy();
            let since = Instant::now();
            client.ask(text);
            let waited = since.elapsed();
            ms(waited.saturating_sub(model.take_busy()))
        })
        .collect()
}

/// What a client waits beyond the model.
pub(crate) fn overhead(setup: &Setup) -> Vec<Row> {
    let model = Model::start();
    let home = Home::new(&model, DEFAULT_TURNS);
    let gateway = Gateway::start(setup, &home);
    let mut client = Client::connect(&gateway, "bench");
    run(&mut client, WARM_UP);
    let mut waits = waits(&mut client, &model, PLAIN, setup.times(1_000, 200), DIALOG);
    vec![
        Row::at_most("turn overhead p50", quantile(&mut waits, 0.5), "ms", 1.2),
        Row::at_most("turn overhead p99", quantile(&mut waits, 0.99), "ms", 3.0),
    ]
}

/// How many turns a second ten dialogs get.
pub(crate) fn throughput(setup: &Setup) -> Vec<Row> {
    const DIALOGS: usize = 10;
    let turns = setup.times(200, 50);
    let model = Model::start();
    let home = Home::new(&model, DEFAULT_TURNS);
    let gateway = Gateway::start(setup, &home);
    let mut clients: Vec<Client> = (0..DIALOGS)
        .map(|n| Client::connect(&gateway, format!("bench-{n}")))
        .collect();
    for client in &mut clients {
        run(client, 5);
    }
    let since = Instant::now();
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(move || run(client, turns));
        }
    });
    let per_second = (DIALOGS * turns) as f64 / since.elapsed().as_secs_f64();
    vec![Row::at_least(
        "turns/s, 10 dialogs at once",
        per_second,
        "/s",
        800.0,
    )]
}

/// What a turn costs the gateway.
pub(crate) fn cpu(setup: &Setup) -> Vec<Row> {
    let turns = setup.times(1_000, 300);
    let model = Model::start();
    let home = Home::new(&model, DEFAULT_TURNS);
    let gateway = Gateway::start(setup, &home);
    let mut client = Client::connect(&gateway, "bench");
    run(&mut client, WARM_UP);
    let before = process::cpu_ms(gateway.pid());
    run(&mut client, turns);
    let per_turn = (process::cpu_ms(gateway.pid()) - before) / turns as f64;
    vec![Row::at_most("CPU per turn", per_turn, "ms", 1.0)]
}

/// A turn with five rounds of the calculator.
pub(crate) fn tool_rounds(setup: &Setup) -> Vec<Row> {
    let model = Model::start();
    let home = Home::new(&model, DEFAULT_TURNS);
    let gateway = Gateway::start(setup, &home);
    let mut client = Client::connect(&gateway, "bench");
    waits(&mut client, &model, ROUNDS, 5, 5);
    let mut waits = waits(&mut client, &model, ROUNDS, setup.times(100, 25), 10);
    vec![Row::at_most(
        "5 tool rounds, overhead p50",
        quantile(&mut waits, 0.5),
        "ms",
        10.0,
    )]
}

/// Fifty dialogs that wait for a slow model at the same time.
pub(crate) fn fifty(setup: &Setup) -> Vec<Row> {
    let (wall, peak) = at_once(setup, 50, DEFAULT_TURNS);
    vec![
        Row::at_most("50 dialogs × 2 s model, wall", wall, "s", 2.1),
        Row::at_most("50 dialogs × 2 s model, peak RSS", peak, "MB", 30.0),
    ]
}

/// The same with 256 dialogs and the limit raised to that.
pub(crate) fn two_hundred_fifty_six(setup: &Setup) -> Vec<Row> {
    let (wall, peak) = at_once(setup, 256, 256);
    vec![
        Row::at_most("256 dialogs × 2 s model, wall", wall, "s", 2.4),
        Row::at_most("256 dialogs × 2 s model, peak RSS", peak, "MB", 60.0),
    ]
}

/// Returns the seconds until the last answer, and the largest memory meanwhile in MB.
fn at_once(setup: &Setup, dialogs: usize, max_turns: usize) -> (f64, f64) {
    let model = Model::start();
    let home = Home::new(&model, max_turns);
    let gateway = Gateway::start(setup, &home);
    let mut clients: Vec<Client> = (0..dialogs)
        .map(|n| Client::connect(&gateway, format!("bench-{n}")))
        .collect();
    process::reset_peak(gateway.pid());
    let start = Barrier::new(dialogs + 1);
    let mut since = Instant::now();
    std::thread::scope(|scope| {
        for client in &mut clients {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                client.ask(SLOW);
            });
        }
        // Taken before the barrier opens, so that no thread has sent before it.
        since = Instant::now();
        start.wait();
    });
    let wall = since.elapsed().as_secs_f64();
    (wall, process::peak_mb(gateway.pid()).unwrap())
}

/// How long after `/stop` the model sees its connection closed.
pub(crate) fn stop(setup: &Setup) -> Vec<Row> {
    let model = Model::start();
    let home = Home::new(&model, DEFAULT_TURNS);
    let mut waits = stop_waits(setup, &model, &home);
    vec![
        Row::at_most(
            "/stop to socket closed p50",
            quantile(&mut waits, 0.5),
            "ms",
            20.0,
        ),
        Row::at_most(
            "/stop to socket closed, worst",
            quantile(&mut waits, 1.0),
            "ms",
            20.0,
        ),
    ]
}

/// The same over https, with a self-signed certificate.
pub(crate) fn stop_https(setup: &Setup) -> Vec<Row> {
    let model = Model::start();
    let front = TlsFront::start(model.port());
    let provider = json!({
        "type": "openai",
        "base_url": format!("{}/v1", front.origin()),
        "api_key": "bench",
        "ca_file": certificate(),
    });
    let home = Home::with_provider(&provider, DEFAULT_TURNS);
    let mut waits = stop_waits(setup, &model, &home);
    vec![Row::at_most(
        "/stop to https socket closed p50",
        quantile(&mut waits, 0.5),
        "ms",
        20.0,
    )]
}

fn stop_waits(setup: &Setup, model: &Model, home: &Home) -> Vec<f64> {
    let gateway = Gateway::start(setup, home);
    let mut client = Client::connect(&gateway, "bench");
    let hangs = model.watch_hangs();
    let patience = Duration::from_secs(10);
    (0..setup.times(50, 10))
        .map(|_| {
            client.say(HANG);
            hangs.recv_timeout(patience).unwrap();
            let since = Instant::now();
            client.say("/stop");
            let closed = hangs.recv_timeout(patience).unwrap();
            // The command's reply and the turn's error, in either order.
            client.next();
            client.next();
            ms(closed.duration_since(since))
        })
        .collect()
}

/// How much larger the gateway is after many turns.
pub(crate) fn growth(setup: &Setup) -> Vec<Row> {
    vec![Row::at_most(
        "RSS growth over 1,000 turns",
        grown(setup, 1_000),
        "MB",
        1.0,
    )]
}

/// The same over more; a quick run does a tenth of them.
pub(crate) fn long_growth(setup: &Setup) -> Vec<Row> {
    let turns = setup.times(5_000, 500);
    let name = format!("RSS growth over {turns} turns");
    vec![Row::at_most(&name, grown(setup, turns), "MB", 2.0)]
}

/// Returns how much larger the gateway is after so many turns, in MB.
fn grown(setup: &Setup, turns: usize) -> f64 {
    let model = Model::start();
    let home = Home::new(&model, DEFAULT_TURNS);
    let gateway = Gateway::start(setup, &home);
    let mut client = Client::connect(&gateway, "bench");
    run(&mut client, 200);
    let before = process::rss_mb(gateway.pid());
    run(&mut client, turns);
    process::rss_mb(gateway.pid()) - before
}
