//! `/help`: lists the commands.

use super::{Apply, COMMANDS, SlashCommand};
use crate::bus::Caller;
use crate::chat::SessionId;
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
        "/help"
    }

    fn description(&self) -> &'static str {
        "Show the commands"
    }

    fn run(
        &self,
        _apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        _argument: &str,
    ) -> Result<(SessionId, String), StorageError> {
        let lines: Vec<String> = COMMANDS
            .iter()
            .map(|command| format!("{} — {}", command.usage(), command.description()))
            .collect();
        Ok((dialog.session.clone(), lines.join("\n")))
    }
}
