//! `picobot backup` and `picobot restore`: a copy of the database, and the way back.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Global;
use super::ask;
use super::exit::{self, Failure};
use super::setup::{load_config, start_log};
use super::terminal::{confirm, print, size};
use crate::config::Config;
use crate::gateway;
use crate::observability::LogFormat;
use crate::storage::{Contents, InstanceLock, Kind, LockError, StorageError, back_up, inspect};

/// Options of `backup`.
#[derive(Args)]
pub(super) struct BackupArgs {
    /// Where the copy goes [default: a new file in ~/.picobot/backups, where the oldest ones make room]
    file: Option<PathBuf>,
    /// Leave out the bytes of images
    #[arg(long, requires = "file")]
    no_media: bool,
    /// Read the copy from end to end and say what is in it
    #[arg(long)]
    verify: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Options of `restore`.
#[derive(Args)]
pub(super) struct RestoreArgs {
    /// The backup [default: the newest in ~/.picobot/backups]
    file: Option<PathBuf>,
    /// Check the backup and say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn backup(global: &Global, args: &BackupArgs) -> Result<(), Failure> {
    let config = config(global)?;
    let database = &config.gateway.session_db_path;
    let backups = gateway::backups(&config);
    if !database.exists() && !backups.is_restoring() {
        return Err(Failure::new(
            exit::DATABASE,
            format!("there is no database {} yet", database.display()),
        )
        .hint("it is made by the first picobot gateway or picobot send"));
    }
    // A gateway may go on working meanwhile; without one nobody else shall begin.
    let lock = InstanceLock::acquire(database, Kind::OneShot);
    if lock.is_ok() {
        backups.finish_restore().map_err(failed)?;
    }
    let path = match &args.file {
        Some(file) => {
            back_up(database, file, !args.no_media).map_err(failed)?;
            file.clone()
        }
        None => match backups.make().map_err(failed)? {
            Some(backup) => backup.path,
            None => {
                return Err(Failure::new(
                    exit::DATABASE,
                    "the database is larger than gateway.cleanup.backup_bytes",
                )
                .hint("name a file: picobot backup FILE"));
            }
        },
    };
    drop(lock);
    let contents = match args.verify {
        true => Some(inspect(&path).map_err(failed)?),
        false => None,
    };
    let bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
    if args.json {
        let mut document = json!({"schema": 1, "file": path, "bytes": bytes});
        if let Some(contents) = contents {
            document["verified"] = json!({
                "dialogs": contents.dialogs,
                "messages": contents.messages,
                "open_inputs": contents.open_inputs,
            });
        }
        return print(&format!("{document}\n"));
    }
    let mut text = format!("{} ({})\n", path.display(), size(bytes));
    if let Some(contents) = contents {
        text.push_str(&format!("whole: {}\n", said(&contents)));
    }
    print(&text)
}

pub(super) fn restore_from(global: &Global, args: &RestoreArgs) -> Result<(), Failure> {
    let config = config(global)?;
    let database = &config.gateway.session_db_path;
    let backups = gateway::backups(&config);
    let file = match &args.file {
        Some(file) => file.clone(),
        None => {
            let newest = backups.newest().ok_or_else(|| {
                Failure::new(
                    exit::DATABASE,
                    format!("there is no backup in {}", backups.folder().display()),
                )
                .hint("name a file: picobot restore FILE")
            })?;
            newest.path
        }
    };
    if is_same(&file, database) {
        return Err(Failure::new(exit::USAGE, "this is the database itself"));
    }
    let contents = inspect(&file).map_err(unfit)?;
    let lock = free_database(&config, args.dry_run)?;
    print(&format!(
        "{}: whole, {} ({})\n",
        file.display(),
        said(&contents),
        size(contents.bytes)
    ))?;
    if args.dry_run {
        return print(&format!("It would replace {}.\n", database.display()));
    }
    confirm(
        args.yes,
        &format!("Replace {} with it?", database.display()),
    )?;
    let restored = backups.restore(&file).map_err(failed)?;
    if let Some(lock) = lock {
        lock.end();
    }
    if let Some(old) = restored.old {
        print(&format!("The old database is now {}.\n", old.display()))?;
    }
    if contents.open_inputs > 0 {
        print(&format!(
            "{} without an answer when the backup was made: stopped. Send again what still matters.\n",
            count(contents.open_inputs, "message")
        ))?;
    }
    print("Restored.\n")
}

/// Takes the database's lock; refuses while a gateway runs. A dry run only looks.
fn free_database(config: &Config, dry_run: bool) -> Result<Option<InstanceLock>, Failure> {
    let database = &config.gateway.session_db_path;
    if !dry_run {
        gateway::prepare(config, database)?;
    }
    match InstanceLock::acquire(database, Kind::OneShot) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Held(holder)) => {
            let pid = holder.map_or_else(|| "unknown".to_owned(), |info| info.pid.to_string());
            let what = match ask::gateway_url(config) {
                Some(_) => "a gateway",
                None => "another PicoBot",
            };
            Err(Failure::new(
                exit::DATABASE,
                format!("{what} (pid {pid}) uses the database"),
            )
            .hint(format!("stop it first: kill {pid}")))
        }
        // There is nothing to lock yet.
        Err(LockError::Open { .. }) if dry_run => Ok(None),
        Err(error) => Err(anyhow::Error::from(error).into()),
    }
}

fn is_same(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

fn config(global: &Global) -> Result<Config, Failure> {
    let loaded = load_config(global)?;
    let level = if global.quiet {
        log::LevelFilter::Off
    } else {
        log::LevelFilter::Warn
    };
    start_log(level, LogFormat::Text, &loaded)?;
    Ok(loaded.config)
}

fn said(contents: &Contents) -> String {
    format!(
        "{}, {}",
        count(contents.dialogs, "dialog"),
        count(contents.messages, "message")
    )
}

fn count(n: u64, thing: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{plural}")
}

/// Says what is wrong with a file that is to be restored.
fn unfit(error: StorageError) -> Failure {
    let is_the_file = matches!(
        error,
        StorageError::Damaged { .. } | StorageError::Open { .. }
    );
    let failure = failed(error);
    if is_the_file {
        failure.hint("name a whole copy that a gateway or picobot backup made")
    } else {
        failure
    }
}

fn failed(error: StorageError) -> Failure {
    anyhow::Error::from(error).into()
}
