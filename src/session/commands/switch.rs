//! `/switch`: goes on with another dialog of the chat.

use super::{Apply, Reply, SlashCommand, named, pick};
use crate::bus::Caller;
use crate::session::wording::count;
use crate::storage::{DialogRow, StorageError};

pub(super) struct Switch;

impl SlashCommand for Switch {
    fn name(&self) -> &'static str {
        "switch"
    }

    fn usage(&self) -> &'static str {
        "/switch <number|id|title>"
    }

    fn description(&self) -> &'static str {
        "Go on with another dialog"
    }

    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        caller: &Caller,
        dialog: &DialogRow,
        argument: &str,
    ) -> Result<Reply, StorageError> {
        if argument.is_empty() {
            let content = "Which dialog? /sessions lists them; then /switch and a number, an id, or the beginning of a title.";
            return Ok(Reply::Now(dialog.session.clone(), content.to_owned()));
        }
        let row = match pick::one(apply, dialog, argument)? {
            Ok(row) => row,
            Err(why) => return Ok(Reply::Now(dialog.session.clone(), why)),
        };
        apply.switch(caller, &row)?;
        let content = format!(
            "Now in {}, {}.",
            named(&row),
            count(row.n_messages, "message")
        );
        Ok(Reply::Now(row.session, content))
    }
}
