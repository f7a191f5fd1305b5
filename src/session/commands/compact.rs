//! `/compact`: has the dialog compressed.

use super::{Apply, Reply, SlashCommand};
use crate::bus::Caller;
use crate::storage::{DialogRow, StorageError};

pub(super) struct Compact;

impl SlashCommand for Compact {
    fn name(&self) -> &'static str {
        "compact"
    }

    fn usage(&self) -> &'static str {
        "/compact [focus]"
    }

    fn description(&self) -> &'static str {
        "Put a summary in the place of older messages, keeping what concerns the focus"
    }

    /// It waits in the dialog's queue like a message; this is reached by no other way.
    fn run(
        &self,
        _apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        _argument: &str,
    ) -> Result<Reply, StorageError> {
        Ok(Reply::Now(dialog.session.clone(), String::new()))
    }
}
