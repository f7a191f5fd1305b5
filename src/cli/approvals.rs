//! `picobot approvals`: the answers "always" that are remembered, and taking them back.
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
use crate::storage::GrantRow;
use crate::wire::{ClientBody, GrantEntry, GrantsAction, MAX_IDS, ServerBody, rfc3339};

/// What may run without asking because somebody answered "always"
#[derive(Args)]
pub(super) struct ApprovalsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Show them [the default]
    List,
    /// Ask again for these
    Revoke(RevokeArgs),
}

#[derive(Args)]
struct RevokeArgs {
    /// Numbers from the list
    #[arg(
        required_unless_present = "all",
        conflicts_with = "all",
        value_name = "ID"
    )]
    ids: Vec<i64>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(global: &Global, args: ApprovalsArgs) -> Result<(), Failure> {
    let loaded = load_config(global)?;
    start_log(log::LevelFilter::Error, LogFormat::Text, &loaded)?;
    let config = &loaded.config;
    match args.verb.unwrap_or(Verb::List) {
        Verb::List => show(
            &request(config, None)?,
            args.json,
            "Nothing is remembered.\n",
        ),
        Verb::Revoke(revoke) => self::revoke(config, &revoke, args.json),
    }
}

fn revoke(config: &Config, args: &RevokeArgs, as_json: bool) -> Result<(), Failure> {
    let ids = if args.all {
        let known = request(config, None)?;
        known.iter().map(|grant| grant.id).collect()
    } else {
        args.ids.clone()
    };
    confirm(args.yes, "Ask again for these?")?;
    let mut revoked = Vec::new();
    for ids in ids.chunks(MAX_IDS) {
        revoked.extend(request(config, Some(ids))?);
    }
    if as_json {
        show(&revoked, true, "")?;
    } else {
        print(&format!("{} revoked\n", revoked.len()))?;
    }
    let missed: Vec<String> = args
        .ids
        .iter()
        .filter(|id| revoked.iter().all(|grant| grant.id != **id))
        .map(i64::to_string)
        .collect();
    if missed.is_empty() {
        return Ok(());
    }
    let message = format!("there is no approval {}", missed.join(", "));
    Err(Failure::new(exit::AGENT, message).hint("picobot approvals list shows those there are"))
}

/// Shows all, or revokes some and returns those.
fn request(config: &Config, revoke: Option<&[i64]>) -> Result<Vec<GrantEntry<'static>>, Failure> {
    if let Some(url) = ask::gateway_url(config) {
        let body = ClientBody::Grants {
            action: match revoke {
                None => GrantsAction::List,
                Some(_) => GrantsAction::Revoke,
            },
            ids: revoke.map(<[i64]>::to_vec),
        };
        return match ask::ask(&url, config, body)? {
            ServerBody::GrantsList { grants } => Ok(grants),
            other => Err(Failure::new(
                exit::UNREACHABLE,
                format!("the gateway answered with something else: {other:?}"),
            )),
        };
    }
    let rows = in_file(config, revoke)?;
    Ok(rows.into_iter().map(entry).collect())
}

/// Does it to the file; nothing if there is none.
fn in_file(config: &Config, revoke: Option<&[i64]>) -> anyhow::Result<Vec<GrantRow>> {
    let Some(ids) = revoke else {
        return Ok(match database_to_read(config)? {
            Some(db) => db.read(|tx| tx.grants())?,
            None => Vec::new(),
        });
    };
    let Some(db) = one_database(config)? else {
        return Ok(Vec::new());
    };
    let rows = db.write(|tx| tx.revoke_grants(ids))?;
    db.end();
    Ok(rows)
}

fn entry(row: GrantRow) -> GrantEntry<'static> {
    GrantEntry {
        id: row.id,
        name: row.tool.into(),
        summary: row.summary.into(),
        created_at: rfc3339(row.created_at).into(),
        n_used: row.n_used,
        used_at: row.used_at.map(|at| Cow::from(rfc3339(at))),
    }
}

fn show(grants: &[GrantEntry<'_>], as_json: bool, nothing: &str) -> Result<(), Failure> {
    if as_json {
        return print(&format!("{}\n", json!({"schema": 1, "grants": grants})));
    }
    if grants.is_empty() {
        return print(nothing);
    }
    let mut text = format!(
        "{:>6}  {:<17} {:>5}  {:<14} ALLOWS\n",
        "ID", "SINCE (UTC)", "USED", "TOOL"
    );
    for grant in grants {
        let since: String = grant.created_at.chars().take(16).collect();
        text.push_str(&format!(
            "{:>6}  {:<17} {:>5}  {:<14} {}\n",
            grant.id,
            since.replace('T', " "),
            grant.n_used,
            preview(&grant.name, 14),
            preview(&grant.summary, 100)
        ));
    }
    print(&text)
}
