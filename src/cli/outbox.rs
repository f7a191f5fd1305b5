//! `picobot outbox`: what waits to be pushed to channels, and what could not be delivered.
//!
//! Through the gateway where one runs, else on the database under its lock.

use std::borrow::Cow;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Global;
use super::ask;
use super::exit::{self, Failure};
use super::setup::{load_config, start_log};
use super::terminal::{confirm, preview, print};
use crate::config::Config;
use crate::gateway::{database_to_read, one_database};
use crate::observability::LogFormat;
use crate::storage::{DeliveryInfo, Shown, StorageError, Tx};
use crate::wire::{ClientBody, DeliveryEntry, MAX_IDS, OutboxAction, ServerBody, rfc3339};

/// Deliveries in a list unless asked for more or fewer.
const SHOWN: usize = 50;
/// Characters of a text in the table.
const TEXT_CHARS: usize = 40;

/// What waits to be delivered to channels, and what could not be
#[derive(Args)]
pub(super) struct OutboxArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Show what waits or could not be delivered [the default]
    List(ListArgs),
    /// Queue deliveries again that failed or came too late
    Retry(PickArgs),
    /// Give up deliveries that were not sent
    Drop(DropArgs),
}

#[derive(Args)]
struct ListArgs {
    /// Show what was sent or dropped too
    #[arg(long)]
    all: bool,
    /// Show at most so many
    #[arg(short = 'n', long, default_value_t = SHOWN, value_name = "N")]
    limit: usize,
}

#[derive(Args)]
struct PickArgs {
    /// Numbers of deliveries, from the list
    #[arg(
        required_unless_present = "all",
        conflicts_with = "all",
        value_name = "ID"
    )]
    ids: Vec<i64>,
    /// All that can be
    #[arg(long)]
    all: bool,
}

#[derive(Args)]
struct DropArgs {
    #[command(flatten)]
    pick: PickArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl PickArgs {
    fn ids(&self) -> Result<Option<Vec<i64>>, Failure> {
        if self.ids.len() > MAX_IDS {
            let message = format!("at most {MAX_IDS} deliveries can be named at once");
            return Err(Failure::new(exit::USAGE, message));
        }
        Ok((!self.all).then(|| self.ids.clone()))
    }
}

pub(super) fn run(global: &Global, args: OutboxArgs) -> Result<(), Failure> {
    let loaded = load_config(global)?;
    start_log(log::LevelFilter::Error, LogFormat::Text, &loaded)?;
    let config = &loaded.config;
    let as_json = args.json;
    if args.verb.is_some() && (args.list.all || args.list.limit != SHOWN) {
        return Err(Failure::new(
            exit::USAGE,
            "write the options of a verb behind it",
        ));
    }
    match args.verb.unwrap_or(Verb::List(args.list)) {
        Verb::List(args) => {
            let mut found = request(config, OutboxAction::List, None, args.all)?;
            found.truncate(args.limit);
            show(
                &found,
                as_json,
                "Nothing waits, and nothing was left undelivered.",
            )
        }
        Verb::Retry(args) => {
            let changed = request(config, OutboxAction::Retry, args.ids()?, false)?;
            tell(&args, &changed, as_json, "queued again")
        }
        Verb::Drop(DropArgs { pick, yes }) => {
            let ids = pick.ids()?;
            confirm(yes, "Give these deliveries up?")?;
            let changed = request(config, OutboxAction::Drop, ids, false)?;
            tell(&pick, &changed, as_json, "dropped")
        }
    }
}

/// Says what was done; deliveries that were named and are not as they should be are a failure.
fn tell(
    args: &PickArgs,
    changed: &[DeliveryEntry<'_>],
    as_json: bool,
    what: &str,
) -> Result<(), Failure> {
    if as_json {
        show(changed, true, "")?;
    } else {
        print(&format!("{} {what}\n", changed.len()))?;
    }
    let missed: Vec<String> = args
        .ids
        .iter()
        .filter(|id| changed.iter().all(|row| row.id != **id))
        .map(i64::to_string)
        .collect();
    if missed.is_empty() {
        return Ok(());
    }
    let message = format!("not {what}: {}", missed.join(", "));
    Err(Failure::new(exit::AGENT, message).hint("picobot outbox list --all shows what there is"))
}

fn request(
    config: &Config,
    action: OutboxAction,
    ids: Option<Vec<i64>>,
    all: bool,
) -> Result<Vec<DeliveryEntry<'static>>, Failure> {
    if let Some(url) = ask::gateway_url(config) {
        let body = ClientBody::Outbox {
            action,
            ids,
            include_sent: all,
        };
        return match ask::ask(&url, config, body)? {
            ServerBody::OutboxList { deliveries } => Ok(deliveries),
            other => Err(Failure::new(
                exit::UNREACHABLE,
                format!("the gateway answered with something else: {other:?}"),
            )),
        };
    }
    let rows = in_file(config, action, ids.as_deref(), all)?;
    Ok(rows.into_iter().map(entry).collect())
}

/// Does it to the file; nothing if there is none.
fn in_file(
    config: &Config,
    action: OutboxAction,
    ids: Option<&[i64]>,
    all: bool,
) -> anyhow::Result<Vec<DeliveryInfo>> {
    let now = std::time::SystemTime::now();
    let change = |run: &dyn Fn(&Tx<'_>) -> Result<Vec<DeliveryInfo>, StorageError>| {
        let Some(db) = one_database(config)? else {
            return Ok(Vec::new());
        };
        let rows = db.write(run)?;
        db.end();
        Ok(rows)
    };
    match action {
        OutboxAction::List => {
            let shown = if all { Shown::All } else { Shown::Undelivered };
            Ok(match database_to_read(config)? {
                Some(db) => db.read(|tx| tx.deliveries(shown, MAX_IDS))?,
                None => Vec::new(),
            })
        }
        OutboxAction::Retry => change(&|tx| tx.retry_deliveries(ids, now)),
        OutboxAction::Drop => change(&|tx| tx.drop_deliveries(ids, now)),
    }
}

fn entry(row: DeliveryInfo) -> DeliveryEntry<'static> {
    DeliveryEntry {
        id: row.id,
        to: row.to.into(),
        state: row.state.into(),
        attempts: row.attempts,
        error: row.error.map(Cow::from),
        content: row.body.into(),
        created_at: rfc3339(row.created_at).into(),
        finished_at: row.finished_at.map(|at| rfc3339(at).into()),
    }
}

fn show(rows: &[DeliveryEntry<'_>], as_json: bool, nothing: &str) -> Result<(), Failure> {
    if as_json {
        let document = json!({"schema": 1, "deliveries": rows});
        return print(&format!("{document}\n"));
    }
    if rows.is_empty() {
        return print(&format!("{nothing}\n"));
    }
    let mut text = format!(
        "{:>6}  {:<8} {:>5}  {:<17} {:<24} TEXT\n",
        "ID", "STATE", "TRIES", "SINCE (UTC)", "TO"
    );
    for row in rows {
        let since: String = row.created_at.chars().take(16).collect();
        text.push_str(&format!(
            "{:>6}  {:<8} {:>5}  {:<17} {:<24} {}\n",
            row.id,
            row.state,
            row.attempts,
            since.replace('T', " "),
            preview(&row.to, 24),
            preview(&row.content, TEXT_CHARS)
        ));
        if let Some(error) = &row.error {
            text.push_str(&format!("{:>8}{}\n", "", preview(error, 100)));
        }
    }
    print(&text)
}
