//! `/delete`: deletes a dialog with its messages.

use super::{Apply, DialogOp, Reply, SlashCommand, pick};
use crate::bus::Caller;
use crate::storage::{DialogRow, StorageError};

pub(super) struct Delete;

impl SlashCommand for Delete {
    fn name(&self) -> &'static str {
        "delete"
    }

    fn usage(&self) -> &'static str {
        "/delete [dialog]"
    }

    fn description(&self) -> &'static str {
        "Delete this dialog, or another, with its messages"
    }

    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        argument: &str,
    ) -> Result<Reply, StorageError> {
        match pick::one_or_current(apply, dialog, argument)? {
            Ok(row) => Ok(Reply::Op(row, DialogOp::Delete)),
            Err(why) => Ok(Reply::Now(dialog.session.clone(), why)),
        }
    }
}
