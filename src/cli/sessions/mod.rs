//! `picobot sessions`: the stored dialogs. Reading goes through the gateway where one runs, else the file is only read;
//! changing without a gateway takes the database's lock.

mod source;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Global;
use super::exit::{self, Failure};
use super::setup::{load_config, start_log};
use super::terminal::{confirm, preview, print};
use crate::gateway::Launch;
use crate::observability::LogFormat;
use crate::wire::{ClientBody, ExportForm, FoundMessage, HistoryEntry, ServerBody, SessionInfo};

use source::{Source, short_id, unexpected};

/// Version of the JSON forms.
const SCHEMA: u32 = 1;
/// Dialogs in a list unless asked for more or fewer.
const SHOWN: usize = 50;
/// Characters of a title in the table.
const TITLE_CHARS: usize = 40;

/// The stored dialogs
#[derive(Args)]
pub(super) struct SessionsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Talk to this gateway only
    #[arg(long, value_name = "URL", global = true)]
    gateway_url: Option<String>,
}

#[derive(Subcommand)]
enum Verb {
    /// Show the dialogs, last used first [the default]
    List(ListArgs),
    /// Show the newest messages of a dialog
    Show(ShowArgs),
    /// Find messages that hold a text
    Search(SearchArgs),
    /// Write a whole dialog as Markdown, or with --json as JSON
    Export(ExportArgs),
    /// Name a dialog
    Rename(RenameArgs),
    /// Delete dialogs with their messages
    Remove(RemoveArgs),
    /// Put a summary in the place of a dialog's older messages, as /compact does
    Compact(CompactArgs),
}

#[derive(Args)]
struct ListArgs {
    /// Show archived ones too
    #[arg(long)]
    all: bool,
    /// Show at most so many
    #[arg(short = 'n', long, default_value_t = SHOWN, value_name = "N")]
    limit: usize,
}

#[derive(Args)]
struct ShowArgs {
    /// The dialog: its id, its title, or a unique beginning of either
    dialog: String,
    /// Show at most so many
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

#[derive(Args)]
struct SearchArgs {
    /// The text; ASCII letters match in either case
    text: String,
    /// Show at most so many
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    limit: u64,
}

#[derive(Args)]
struct ExportArgs {
    /// The dialog: its id, its title, or a unique beginning of either
    dialog: String,
    /// Write to a file instead of stdout; it must not exist yet
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Args)]
struct RenameArgs {
    /// The dialog: its id, its title, or a unique beginning of either
    dialog: String,
    /// The new title
    title: String,
}

#[derive(Args)]
struct RemoveArgs {
    /// The dialogs: their ids, titles, or unique beginnings of either
    #[arg(required = true, value_name = "DIALOG")]
    dialogs: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
struct CompactArgs {
    /// The dialog: its id, its title, or a unique beginning of either
    dialog: String,
    /// What the summary should keep above all
    focus: Vec<String>,
}

pub(super) fn run(global: &Global, umask: u32, args: SessionsArgs) -> Result<(), Failure> {
    if args.verb.is_some() && (args.list.all || args.list.limit != SHOWN) {
        return Err(Failure::new(
            exit::USAGE,
            "write the options of a verb behind it",
        ));
    }
    let loaded = load_config(global)?;
    let redactor = start_log(log::LevelFilter::Error, LogFormat::Text, &loaded)?;
    let launch = Launch {
        config: loaded.config,
        config_path: loaded.path,
        umask,
        redactor,
    };
    let source = Source::open(&launch, args.gateway_url.as_deref())?;
    let as_json = args.json;
    match args.verb.unwrap_or(Verb::List(args.list)) {
        Verb::List(args) => list(&source, &args, as_json),
        Verb::Show(args) => show(&source, &args, as_json),
        Verb::Search(args) => search(&source, args, as_json),
        Verb::Export(args) => export(&source, &args, as_json),
        Verb::Rename(args) => rename(&source, &args, as_json),
        Verb::Remove(args) => remove(&source, &args, as_json),
        Verb::Compact(args) => compact(&source, &args, as_json),
    }
}

fn list(source: &Source<'_>, args: &ListArgs, as_json: bool) -> Result<(), Failure> {
    let mut sessions = source.list(args.all)?;
    let n_more = sessions.len().saturating_sub(args.limit);
    sessions.truncate(args.limit);
    if as_json {
        return print_json(json!({"schema": SCHEMA, "sessions": sessions}));
    }
    if sessions.is_empty() {
        return print("There are no dialogs yet.\n");
    }
    let mut text = format!(
        "{:<24} {:>8}  {:<16}  TITLE\n",
        "ID", "MESSAGES", "USED (UTC)"
    );
    for info in &sessions {
        text.push_str(&row(info));
    }
    if n_more > 0 {
        text.push_str(&format!("{n_more} more; -n shows them\n"));
    }
    print(&text)
}

/// The dialogs of the terminal client's own chat are named shortly.
fn row(info: &SessionInfo<'_>) -> String {
    let id = match info.session_id.strip_prefix("cli_chat:local:") {
        Some(id) => id.to_owned(),
        None => info.session_id.to_string(),
    };
    let archived = if info.archived { " (archived)" } else { "" };
    format!(
        "{:<24} {:>8}  {:<16}  {}{archived}\n",
        preview(&id, 60),
        info.message_count,
        minute(&info.updated_at),
        preview(&info.title, TITLE_CHARS)
    )
}

fn minute(rfc3339: &str) -> String {
    let minute: String = rfc3339.chars().take(16).collect();
    minute.replace('T', " ")
}

fn show(source: &Source<'_>, args: &ShowArgs, as_json: bool) -> Result<(), Failure> {
    let info = source.find(&args.dialog)?;
    let body = ClientBody::LoadSession {
        session_id: info.session_id.to_string(),
        detail: false,
        before: None,
    };
    let (mut messages, has_more) = match source.read(body)? {
        ServerBody::SessionLoaded {
            messages, has_more, ..
        } => (messages, has_more),
        other => return Err(unexpected(&other)),
    };
    let n_older = messages.len().saturating_sub(args.limit);
    messages.drain(..n_older);
    let has_more = has_more || n_older > 0;
    if as_json {
        return print_json(json!({
            "schema": SCHEMA,
            "session": info,
            "messages": messages,
            "has_more": has_more,
        }));
    }
    let mut text = format!("{} ({})\n", preview(&info.title, 200), info.session_id);
    if has_more {
        text.push_str("older messages are left out; picobot sessions export writes them all\n");
    }
    for message in &messages {
        text.push_str(&said(message));
    }
    print(&text)
}

fn said(message: &HistoryEntry<'_>) -> String {
    let state = match &*message.state {
        "done" => String::new(),
        state => format!(" ({state})"),
    };
    format!(
        "\n{} · {}{state}\n{}\n",
        message.role,
        minute(&message.created_at),
        message.content
    )
}

fn search(source: &Source<'_>, args: SearchArgs, as_json: bool) -> Result<(), Failure> {
    if args.text.trim().is_empty() {
        return Err(Failure::new(exit::USAGE, "the text to find is empty"));
    }
    let body = ClientBody::SearchMessages {
        query: args.text,
        limit: args.limit,
        all_chats: true,
    };
    let results = match source.read(body)? {
        ServerBody::SearchResults { results } => results,
        other => return Err(unexpected(&other)),
    };
    if as_json {
        return print_json(json!({"schema": SCHEMA, "results": results}));
    }
    if results.is_empty() {
        return print("Nothing found.\n");
    }
    print(&results.iter().map(found).collect::<String>())
}

fn found(message: &FoundMessage<'_>) -> String {
    format!(
        "{} · {} · {}\n    {}: {}\n",
        message.session_id,
        preview(&message.title, TITLE_CHARS),
        minute(&message.created_at),
        message.role,
        preview(&message.snippet, 200)
    )
}

fn export(source: &Source<'_>, args: &ExportArgs, as_json: bool) -> Result<(), Failure> {
    let info = source.find(&args.dialog)?;
    let mut out = Target::open(args)?;
    let mut after = 0;
    let mut messages: Vec<Value> = Vec::new();
    loop {
        let body = ClientBody::ExportSession {
            session_id: info.session_id.to_string(),
            after,
            form: if as_json {
                ExportForm::Json
            } else {
                ExportForm::Markdown
            },
        };
        let (content, next) = match source.read(body)? {
            ServerBody::SessionExported { content, next, .. } => (content, next),
            other => return Err(unexpected(&other)),
        };
        if as_json {
            messages.extend(
                content
                    .lines()
                    .filter_map(|line| serde_json::from_str(line).ok()),
            );
        } else {
            out.write(&content)?;
        }
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    if as_json {
        let document = json!({"schema": SCHEMA, "session": info, "messages": messages});
        out.write(&format!("{document}\n"))?;
    }
    Ok(())
}

/// Where an export goes.
enum Target {
    Stdout,
    File(std::fs::File, PathBuf),
}

impl Target {
    fn open(args: &ExportArgs) -> Result<Self, Failure> {
        let Some(path) = &args.output else {
            return Ok(Self::Stdout);
        };
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| {
                let message = format!("cannot write {}: {error}", path.display());
                Failure::new(exit::USAGE, message).hint("name a file that does not exist yet")
            })?;
        Ok(Self::File(file, path.clone()))
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        match self {
            Self::Stdout => print(text),
            Self::File(file, path) => file.write_all(text.as_bytes()).map_err(|error| {
                Failure::new(
                    exit::AGENT,
                    format!("cannot write {}: {error}", path.display()),
                )
            }),
        }
    }
}

fn rename(source: &Source<'_>, args: &RenameArgs, as_json: bool) -> Result<(), Failure> {
    let info = source.find(&args.dialog)?;
    let title = source.rename(&info.session_id, &args.title)?;
    if as_json {
        return print_json(json!({
            "schema": SCHEMA,
            "session_id": info.session_id,
            "title": title,
        }));
    }
    print(&format!("{} is now called: {title}\n", short_id(&info)))
}

fn remove(source: &Source<'_>, args: &RemoveArgs, as_json: bool) -> Result<(), Failure> {
    let mut found: Vec<SessionInfo<'static>> = Vec::new();
    for dialog in &args.dialogs {
        let info = source.find(dialog)?;
        if found
            .iter()
            .all(|known| known.session_id != info.session_id)
        {
            found.push(info);
        }
    }
    if !args.dry_run {
        let n = found.len();
        let what = if n == 1 {
            format!(
                "Delete {} with {} messages?",
                preview(&found[0].title, TITLE_CHARS),
                found[0].message_count
            )
        } else {
            format!("Delete {n} dialogs?")
        };
        confirm(args.yes, &what)?;
        for info in &found {
            source.remove(&info.session_id)?;
        }
    }
    if as_json {
        return print_json(json!({
            "schema": SCHEMA,
            "removed": found,
            "dry_run": args.dry_run,
        }));
    }
    let verb = if args.dry_run {
        "would delete"
    } else {
        "deleted"
    };
    let lines: Vec<String> = found
        .iter()
        .map(|info| {
            format!(
                "{verb} {} ({}), {} messages\n",
                preview(&info.title, TITLE_CHARS),
                info.session_id,
                info.message_count
            )
        })
        .collect();
    print(&lines.concat())
}

fn compact(source: &Source<'_>, args: &CompactArgs, as_json: bool) -> Result<(), Failure> {
    let info = source.find(&args.dialog)?;
    let said = source.compact(&info.session_id, &args.focus.join(" "))?;
    if as_json {
        return print_json(json!({
            "schema": SCHEMA,
            "session_id": info.session_id,
            "content": said,
        }));
    }
    print(&format!("{said}\n"))
}

fn print_json(document: Value) -> Result<(), Failure> {
    print(&format!("{document}\n"))
}
