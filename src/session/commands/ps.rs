//! `/ps`: shows a dialog's background processes, and ends them.

use super::{Apply, Reply, SlashCommand};
use crate::bus::Caller;
use crate::session::times::duration;
use crate::storage::{DialogRow, StorageError};
use crate::tools::ProcessInfo;

/// Of each command line.
const COMMAND_CHARS: usize = 80;

pub(super) struct Ps;

impl SlashCommand for Ps {
    fn name(&self) -> &'static str {
        "ps"
    }

    fn usage(&self) -> &'static str {
        "/ps [kill ID|kill all]"
    }

    fn description(&self) -> &'static str {
        "Show the background processes of this dialog, or end them"
    }

    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        argument: &str,
    ) -> Result<Reply, StorageError> {
        let processes = &apply.actor.deps.processes;
        let words: Vec<&str> = argument.split_whitespace().collect();
        let content = match words[..] {
            [] => listing(&processes.list(&dialog.session)),
            ["kill", "all"] => ended(&processes.kill(&dialog.session, None)),
            ["kill", id] => ended(&processes.kill(&dialog.session, Some(id))),
            _ => "Say /ps, /ps kill ID or /ps kill all.".to_owned(),
        };
        Ok(Reply::Now(dialog.session.clone(), content))
    }
}

fn listing(processes: &[ProcessInfo]) -> String {
    if processes.is_empty() {
        return "No background processes here.".to_owned();
    }
    processes.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn line(process: &ProcessInfo) -> String {
    let command: String = process
        .command
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(COMMAND_CHARS)
        .collect();
    let time = duration(process.time);
    match &process.end {
        None => format!("{} runs for {time}: {command}", process.id),
        Some(end) => format!("{} {end} after {time}: {command}", process.id),
    }
}

fn ended(ids: &[String]) -> String {
    match ids {
        [] => "No such process runs here.".to_owned(),
        ids => format!("Ended {}.", ids.join(", ")),
    }
}
