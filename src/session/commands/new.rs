//! `/new`: begins a new dialog in the chat.

use super::{Apply, Reply, SlashCommand};
use crate::bus::Caller;
use crate::storage::{DialogRow, StorageError};

pub(super) struct New;

impl SlashCommand for New {
    fn name(&self) -> &'static str {
        "new"
    }

    fn usage(&self) -> &'static str {
        "/new [title]"
    }

    fn description(&self) -> &'static str {
        "Begin a new dialog; the old one stays"
    }

    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        caller: &Caller,
        dialog: &DialogRow,
        argument: &str,
    ) -> Result<Reply, StorageError> {
        let route = dialog.session.route();
        let row = apply.create(caller, &route, argument)?;
        apply.tx.set_current(&route, row.key)?;
        let content = if row.title.is_empty() {
            format!("New dialog {}.", row.session.dialog)
        } else {
            format!("New dialog {}: {}", row.session.dialog, row.title)
        };
        Ok(Reply::Now(row.session, content))
    }
}
