//! `picobot send`: one message in, one answer out, for scripts and pipes.
//!
//! Talks to the gateway that holds the database's lock or to a given one; where none runs, starts the same stack
//! in-process under the lock. Either way it speaks the WebSocket contract, so there is one way of asking ([`talk`]) and
//! two links to do it over. stdout carries the answer only.

mod approve;
mod input;
mod link;
mod local;
mod remote;
mod render;
mod talk;

pub(super) use link::{Arrival, Link};
pub(super) use remote::RemoteLink;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::Global;
use super::exit::Failure;
use super::setup::{load_config, start_log};
use crate::gateway::Launch;
use crate::observability::LogFormat;

/// Options of `send`.
#[derive(Args)]
pub(super) struct SendArgs {
    /// The message; @FILE reads it from a file, - from stdin. Piped stdin is attached to a given message
    prompt: Option<String>,
    /// Attach a text file or an image (may be given several times)
    #[arg(short, long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Do not look at stdin
    #[arg(long)]
    no_stdin: bool,
    /// Dialog to speak in: its id, a unique beginning of it, or its title
    #[arg(short, long, value_name = "ID|TITLE", conflicts_with = "new")]
    session: Option<String>,
    /// Begin a new dialog; a text behind it is its title if a message is given too, else the message
    #[arg(short, long, value_name = "TITLE", num_args = 0..=1, default_missing_value = "")]
    new: Option<String>,
    /// Print one JSON object
    #[arg(long, conflicts_with_all = ["jsonl", "stream"])]
    json: bool,
    /// Print every message of the conversation as a JSON line
    #[arg(long, conflicts_with = "stream")]
    jsonl: bool,
    /// Print the answer while it is made [default on a terminal]
    #[arg(long)]
    stream: bool,
    /// Write the answer to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say model, tokens and time on stderr
    #[arg(long)]
    usage: bool,
    /// Which tool calls to allow if the policy asks: none, those that stay in the workspace (safe), or all
    #[arg(long, value_name = "WHICH", default_value = "none")]
    approve: approve::Approve,
    /// Give up and stop the turn after this time: seconds, or 90s, 5m, 2h
    #[arg(short, long, default_value = "600", value_parser = parse_duration, value_name = "TIME")]
    timeout: Duration,
    /// The same key again gets the same answer instead of a second turn
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Run in this process; refuse if a gateway has the database
    #[arg(long, conflicts_with = "gateway_url")]
    local: bool,
    /// Talk to this gateway only
    #[arg(long, value_name = "URL")]
    gateway_url: Option<String>,
}

pub(super) fn run(global: &Global, umask: u32, mut args: SendArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let deadline = started + args.timeout;
    let prompt = input::read(&mut args, deadline)?;
    let loaded = load_config(global)?;
    let level = match (global.quiet, global.verbose) {
        (true, _) => log::LevelFilter::Off,
        (false, 0) => log::LevelFilter::Error,
        (false, 1) => log::LevelFilter::Info,
        (false, _) => log::LevelFilter::Debug,
    };
    let redactor = start_log(level, LogFormat::Text, &loaded)?;
    let launch = Launch {
        config: loaded.config,
        config_path: loaded.path,
        umask,
        redactor,
    };
    let mut link = link::open(&launch, &args, global.quiet, deadline)?;
    let ask = talk::Ask {
        prompt,
        session: args.session.clone(),
        new: args.new.clone(),
        request_id: args.idempotency_key.clone(),
        deadline,
        timeout: args.timeout,
        approve: args.approve,
    };
    let mut output = render::Output::open(&args, global)?;
    let result = talk::talk(&mut *link, &ask, &mut output);
    drop(link);
    output.finish(result, started.elapsed())
}

/// Reads `90`, `90s`, `5m`, `2h` or `1d`; at least a second, at most a week.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => (&text[..at], unit),
        _ => (text, 's'),
    };
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err("expected a time such as 90, 90s, 5m or 2h".to_owned()),
    };
    let n: u64 = digits
        .parse()
        .map_err(|_| "expected a time such as 90, 90s, 5m or 2h".to_owned())?;
    match n.checked_mul(factor) {
        Some(secs @ 1..=604_800) => Ok(Duration::from_secs(secs)),
        _ => Err("expected a time from 1 second to 7 days".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("600"), Ok(Duration::from_secs(600)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        for bad in [
            "",
            "0",
            "8d",
            "1.5",
            "-1",
            "5x",
            "m",
            "99999999999999999999h",
            "五m",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
