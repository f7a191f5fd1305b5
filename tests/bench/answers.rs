//! Rows about answers: what a long one costs, how much memory a big one takes, how many connections a row of calls.

use serde_json::{Value, json};

use crate::Setup;
use crate::model::{BIG, LONG, Model, PLAIN};
use crate::peer::{Client, Gateway, Home};
use crate::process;
use crate::row::{Row, quantile};
use crate::stream::Format;

/// The default of `gateway.max_concurrent_turns`.
const DEFAULT_TURNS: usize = 64;

const FORMATS: [(&str, Format); 2] = [("openai", Format::Chat), ("anthropic", Format::Messages)];

fn provider(model: &Model, kind: &str) -> Value {
    json!({"type": kind, "base_url": model.base_url(), "api_key": "bench"})
}

/// What reading 20,000 tokens costs beyond a turn with a short answer.
pub(crate) fn long(setup: &Setup) -> Vec<Row> {
    let turns = setup.times(40, 10);
    FORMATS
        .iter()
        .map(|(kind, _)| {
            let model = Model::start();
            let home = Home::with_provider(&provider(&model, kind), DEFAULT_TURNS);
            let gateway = Gateway::start(setup, &home);
            let mut client = Client::connect(&gateway, "bench");
            let mut each = |text: &str| {
                let mut spent = 0.0;
                for _ in 0..turns {
                    // A dialog with a long answer would make the next request long too.
                    client.renew();
                    let before = process::cpu_ms(gateway.pid());
                    client.ask(text);
                    spent += process::cpu_ms(gateway.pid()) - before;
                }
                spent / turns as f64
            };
            each(LONG);
            let cpu = each(LONG) - each(PLAIN);
            Row::at_most(
                &format!("20,000-token answer, {kind}, CPU"),
                cpu,
                "ms",
                20.0,
            )
        })
        .collect()
}

/// How much larger the gateway gets while it takes an answer of 1 MiB and passes it on.
pub(crate) fn big(setup: &Setup) -> Vec<Row> {
    FORMATS
        .iter()
        .map(|(kind, _)| {
            let model = Model::start();
            let home = Home::with_provider(&provider(&model, kind), DEFAULT_TURNS);
            let mut peaks: Vec<f64> = (0..setup.times(5, 2))
                .map(|_| {
                    let gateway = Gateway::start(setup, &home);
                    let mut client = Client::connect(&gateway, "bench");
                    client.renew();
                    client.ask(PLAIN);
                    client.renew();
                    let idle = process::rss_mb(gateway.pid());
                    process::reset_peak(gateway.pid());
                    client.ask(BIG);
                    process::peak_mb(gateway.pid()).unwrap() - idle
                })
                .collect();
            Row::at_most(
                &format!("1 MiB answer, {kind}, peak RSS over idle"),
                quantile(&mut peaks, 0.5),
                "MB",
                8.0,
            )
        })
        .collect()
}

/// How many connections five calls in a row use.
pub(crate) fn connections(setup: &Setup) -> Vec<Row> {
    let model = Model::start();
    let home = Home::new(&model, DEFAULT_TURNS);
    let gateway = Gateway::start(setup, &home);
    let mut client = Client::connect(&gateway, "bench");
    model.take_connections();
    for _ in 0..5 {
        client.ask(PLAIN);
    }
    vec![Row::at_most(
        "5 calls in a row, connections",
        model.take_connections() as f64,
        "",
        1.0,
    )]
}
