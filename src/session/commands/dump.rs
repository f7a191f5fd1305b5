//! `/dump`: the dialog as Markdown, tool calls folded and secrets masked. Read on the `query` thread.

use super::{Apply, Ask, Reply, SlashCommand};
use crate::bus::Caller;
use crate::storage::{DialogRow, StorageError};

pub(super) struct Dump;

impl SlashCommand for Dump {
    fn name(&self) -> &'static str {
        "dump"
    }

    fn usage(&self) -> &'static str {
        "/dump"
    }

    fn description(&self) -> &'static str {
        "Show this dialog as Markdown"
    }

    fn run(
        &self,
        _apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        _argument: &str,
    ) -> Result<Reply, StorageError> {
        let ask = Ask::Dump { dialog: dialog.key };
        Ok(Reply::Ask(dialog.session.clone(), ask))
    }
}
