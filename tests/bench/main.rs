//! Measures the release binary from outside: `make bench`, or `PICOBOT_BIN=… cargo bench --bench gateway -- [--quick]
//! [--only NAME]…`.
//!
//! The binary talks to a scripted model on loopback that answers at once unless a row says otherwise, with durable writes
//! on a real disk (the target folder). Prints a Markdown table with the goal of each row and writes `target/bench.json`.
//! What it measures is what a client sees; only `allocations` and the edits of `tools` call into the library, because nothing
//! outside can count those. One MB is 1,000,000 bytes.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)] // A program for developers.

mod allocations;
mod answers;
mod chat;
mod control;
mod feishu;
mod idle;
mod long_dialog;
mod model;
mod oneshot;
mod peer;
mod process;
mod row;
mod sandbox;
mod scale;
mod stream;
#[path = "../suite/support/tls.rs"]
#[allow(dead_code)] // The tests use more of it.
mod tls;
mod tools;
mod turns;
mod web;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

use row::Row;

/// What every measurement needs to know.
struct Setup {
    /// The binary under test.
    binary: PathBuf,
    /// Whether to be quick rather than exact.
    quick: bool,
}

impl Setup {
    /// Picks the number of repetitions.
    fn times(&self, exact: usize, quick: usize) -> usize {
        if self.quick { quick } else { exact }
    }
}

type Measure = fn(&Setup) -> Vec<Row>;

/// Every measurement by the name that `--only` takes.
const MEASURES: [(&str, Measure); 28] = [
    ("turn", turns::overhead),
    ("throughput", turns::throughput),
    ("cpu", turns::cpu),
    ("rounds", turns::tool_rounds),
    ("parallel50", turns::fifty),
    ("parallel256", turns::two_hundred_fifty_six),
    ("stop", turns::stop),
    ("stop-https", turns::stop_https),
    ("stop-web", web::stop),
    ("control", control::control),
    ("long", answers::long),
    ("big", answers::big),
    ("connections", answers::connections),
    ("allocations", allocations::per_piece),
    ("growth", turns::growth),
    ("search", tools::search),
    ("edits", tools::edits),
    ("growth5000", turns::long_growth),
    ("ready", idle::ready),
    ("idle", idle::idle),
    ("clients", idle::clients),
    ("feishu", feishu::connection),
    ("scale", scale::scale),
    ("oneshot", oneshot::oneshot),
    ("chat", chat::process),
    ("size", oneshot::sizes),
    ("sandbox", sandbox::spawn),
    ("staying", sandbox::staying),
];

fn main() -> ExitCode {
    let (setup, only) = match arguments() {
        Ok(read) => read,
        Err(complaint) => {
            eprintln!("bench: {complaint}");
            return ExitCode::from(2);
        }
    };
    process::raise_open_files();
    println!("{}\n", process::machine());
    println!("{}", row::HEAD);
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for (name, measure) in MEASURES {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == name) {
            continue;
        }
        match catch_unwind(AssertUnwindSafe(|| measure(&setup))) {
            Ok(found) => {
                for row in &found {
                    println!("{row}");
                }
                rows.extend(found);
            }
            Err(_) => failed.push(name),
        }
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench.json");
    std::fs::write(file, row::json(&rows, &process::machine(), setup.quick)).unwrap();
    eprintln!("\nwrote {file}");
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "bench: not measured because of an error above: {}",
        failed.join(", ")
    );
    ExitCode::FAILURE
}

fn arguments() -> Result<(Setup, Vec<String>), String> {
    let mut quick = false;
    let mut only = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            // Cargo adds it.
            "--bench" => {}
            "--quick" => quick = true,
            "--only" => only.push(words.next().ok_or("--only wants a name")?),
            other => return Err(format!("unknown argument {other}")),
        }
    }
    let known: Vec<&str> = MEASURES.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = only.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("no row {unknown}; there are: {}", known.join(", ")));
    }
    let binary = std::env::var_os("PICOBOT_BIN").map(PathBuf::from);
    let binary = binary.ok_or("PICOBOT_BIN names the release binary; `make bench` sets it")?;
    if !binary.is_file() {
        return Err(format!("there is no {}", binary.display()));
    }
    Ok((Setup { binary, quick }, only))
}
