//! `/archive`: takes a dialog out of the lists.

use super::{Apply, DialogOp, Reply, SlashCommand, pick};
use crate::bus::Caller;
use crate::storage::{DialogRow, StorageError};

pub(super) struct Archive;

impl SlashCommand for Archive {
    fn name(&self) -> &'static str {
        "archive"
    }

    fn usage(&self) -> &'static str {
        "/archive [dialog]"
    }

    fn description(&self) -> &'static str {
        "Put this dialog away, or another"
    }

    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        argument: &str,
    ) -> Result<Reply, StorageError> {
        match pick::one_or_current(apply, dialog, argument)? {
            Ok(row) => Ok(Reply::Op(row, DialogOp::Archive)),
            Err(why) => Ok(Reply::Now(dialog.session.clone(), why)),
        }
    }
}
