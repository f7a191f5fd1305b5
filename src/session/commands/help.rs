//! `/help`: lists the commands, or explains one.

use super::{Apply, COMMANDS, Reply, SlashCommand, find, unknown};
use crate::bus::Caller;
use crate::storage::{DialogRow, StorageError};

pub(super) struct Help;

impl SlashCommand for Help {
    fn name(&self) -> &'static str {
        "help"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["?"]
    }

    fn usage(&self) -> &'static str {
        "/help [command]"
    }

    fn description(&self) -> &'static str {
        "Show the commands, or how to type one"
    }

    fn run(
        &self,
        _apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        argument: &str,
    ) -> Result<Reply, StorageError> {
        let wanted = argument.trim_start_matches('/').to_ascii_lowercase();
        let content = match find(&wanted) {
            Some(command) => line(command),
            None if wanted.is_empty() => COMMANDS
                .into_iter()
                .map(line)
                .collect::<Vec<_>>()
                .join("\n"),
            None => unknown(&wanted),
        };
        Ok(Reply::Now(dialog.session.clone(), content))
    }
}

fn line(command: &dyn SlashCommand) -> String {
    format!("{} — {}", command.usage(), command.description())
}
