//! `/clear`: deletes a dialog's messages.

use super::{Apply, DialogOp, Reply, SlashCommand, pick};
use crate::bus::Caller;
use crate::storage::{DialogRow, StorageError};

pub(super) struct Clear;

impl SlashCommand for Clear {
    fn name(&self) -> &'static str {
        "clear"
    }

    fn usage(&self) -> &'static str {
        "/clear [dialog]"
    }

    fn description(&self) -> &'static str {
        "Delete the messages of this dialog, or of another"
    }

    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        argument: &str,
    ) -> Result<Reply, StorageError> {
        match pick::one_or_current(apply, dialog, argument)? {
            Ok(row) => Ok(Reply::Op(row, DialogOp::Clear)),
            Err(why) => Ok(Reply::Now(dialog.session.clone(), why)),
        }
    }
}
