//! Slash commands, one file each. They run on the `session` thread inside a transaction: short SQL, and text back.

mod compact;
mod help;
mod new;
mod stop;

use super::apply::Apply;
use crate::bus::{Body, Caller};
use crate::chat::{Command, SessionId};
use crate::storage::{DialogRow, StorageError};

pub(super) use stop::stop_text;

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
    /// Runs it for a client in a dialog; returns the dialog the answer is about, and the answer.
    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        caller: &Caller,
        dialog: &DialogRow,
        argument: &str,
    ) -> Result<(SessionId, String), StorageError>;
}

/// All commands, in the order people see them.
const COMMANDS: [&dyn SlashCommand; 4] = [&new::New, &compact::Compact, &stop::Stop, &help::Help];

/// Runs a command; an unknown one is answered with the nearest known.
pub(super) fn run(
    apply: &mut Apply<'_, '_>,
    caller: &Caller,
    dialog: &DialogRow,
    command: &Command,
) -> Result<(SessionId, String), StorageError> {
    match find(&command.name) {
        Some(known) => known.run(apply, caller, dialog, &command.argument),
        None => Ok((dialog.session.clone(), unknown(&command.name))),
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

/// Counts the edits between two short names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
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
        assert_eq!(
            unknown("stpo"),
            "There is no command /stpo. Did you mean /stop?"
        );
        assert_eq!(
            unknown("frobnicate"),
            "There is no command /frobnicate. /help lists those there are."
        );
    }
}
