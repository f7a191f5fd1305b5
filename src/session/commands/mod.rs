//! Slash commands, one file each. They run on the `session` thread inside a transaction: short SQL, and text back. What
//! takes longer is handed on: to the `query` thread, or to the dialog's queue.
//!
//! Answers are plain text for people in any channel: short lines, no markup, no tables.

mod archive;
mod clear;
mod compact;
mod delete;
mod dump;
mod help;
mod info;
mod mcp;
mod new;
mod pick;
mod ps;
mod queue;
mod rename;
mod sessions;
mod status;
mod stop;
mod switch;

use super::active::DialogOp;
use super::apply::Apply;
use super::query::Ask;
use crate::bus::{Body, Caller};
use crate::chat::{Command, SessionId};
use crate::storage::{DialogRow, StorageError};

pub(super) use stop::stop_text;

/// What a command gives back.
pub(super) enum Reply {
    /// The answer, and the dialog it is about.
    Now(SessionId, String),
    /// Something to be done to a dialog when no turn runs in it; answers then.
    Op(DialogRow, DialogOp),
    /// A long read about a dialog; answers from the `query` thread.
    Ask(SessionId, Ask),
}

/// A slash command.
trait SlashCommand: Sync {
    /// Its name without the slash.
    fn name(&self) -> &'static str;
    /// Other names.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }
    /// How it is typed.
    fn usage(&self) -> &'static str;
    /// One line for lists.
    fn description(&self) -> &'static str;
    /// Runs it for a client in a dialog.
    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        caller: &Caller,
        dialog: &DialogRow,
        argument: &str,
    ) -> Result<Reply, StorageError>;
}

/// All commands, in the order people see them.
const COMMANDS: [&dyn SlashCommand; 16] = [
    &new::New,
    &sessions::Sessions,
    &switch::Switch,
    &rename::Rename,
    &clear::Clear,
    &compact::Compact,
    &archive::Archive,
    &delete::Delete,
    &dump::Dump,
    &queue::Queue,
    &ps::Ps,
    &stop::Stop,
    &info::Info,
    &status::Status,
    &mcp::Mcp,
    &help::Help,
];

/// Runs a command; an unknown one is answered with the nearest known.
pub(super) fn run(
    apply: &mut Apply<'_, '_>,
    caller: &Caller,
    dialog: &DialogRow,
    command: &Command,
) -> Result<Reply, StorageError> {
    match find(&command.name) {
        Some(known) => known.run(apply, caller, dialog, &command.argument),
        None => Ok(Reply::Now(dialog.session.clone(), unknown(&command.name))),
    }
}

fn find(name: &str) -> Option<&'static dyn SlashCommand> {
    COMMANDS
        .into_iter()
        .find(|command| command.name() == name || command.aliases().contains(&name))
}

fn unknown(name: &str) -> String {
    let nearest = COMMANDS
        .iter()
        .map(|command| (distance(name, command.name()), command.name()))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    match nearest {
        Some((_, nearest)) => format!("There is no command /{name}. Did you mean /{nearest}?"),
        None => format!("There is no command /{name}. /help lists those there are."),
    }
}

/// Counts the edits between two short names; two letters that changed places are one edit (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

/// Names a dialog for people: title and id.
pub(super) fn named(row: &DialogRow) -> String {
    format!(
        "{} ({})",
        super::shown_title(&row.title),
        row.session.dialog
    )
}

/// Lists the commands for clients.
pub(super) fn list_body() -> Body {
    Body::Commands {
        commands: COMMANDS
            .iter()
            .map(|command| (command.name(), command.usage(), command.description()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names() {
        assert_eq!(distance("halp", "help"), 1);
        assert_eq!(distance("", "new"), 3);
        assert_eq!(distance("stpo", "stop"), 1);
        assert_eq!(
            unknown("stpo"),
            "There is no command /stpo. Did you mean /stop?"
        );
        assert_eq!(
            unknown("session"),
            "There is no command /session. Did you mean /sessions?"
        );
        assert_eq!(
            unknown("frobnicate"),
            "There is no command /frobnicate. /help lists those there are."
        );
    }

    #[test]
    fn every_name_is_said_once_and_can_be_typed() {
        let mut names: Vec<&str> = COMMANDS
            .iter()
            .flat_map(|command| command.aliases().iter().copied().chain([command.name()]))
            .collect();
        for command in COMMANDS {
            let usage = command.usage();
            assert!(
                usage.starts_with(&format!("/{}", command.name())),
                "{usage}"
            );
            assert!(!command.description().ends_with('.'));
            let (typed, _) = crate::chat::classify(usage);
            assert!(matches!(typed, crate::chat::Input::Command(_)), "{usage}");
        }
        let n = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n);
    }
}
