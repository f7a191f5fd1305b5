//! `/rename`: names the dialog.

use super::{Apply, Reply, SlashCommand, named};
use crate::bus::Caller;
use crate::storage::{DialogRow, StorageError};

pub(super) struct Rename;

impl SlashCommand for Rename {
    fn name(&self) -> &'static str {
        "rename"
    }

    fn usage(&self) -> &'static str {
        "/rename <title>"
    }

    fn description(&self) -> &'static str {
        "Name this dialog"
    }

    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        caller: &Caller,
        dialog: &DialogRow,
        argument: &str,
    ) -> Result<Reply, StorageError> {
        let title = apply.given_title(argument);
        let content = if title.is_empty() {
            format!(
                "This dialog is called {}. /rename <title> gives it another name.",
                named(dialog)
            )
        } else {
            apply.rename(caller, dialog, &title)?;
            format!("This dialog is now called: {title}")
        };
        Ok(Reply::Now(dialog.session.clone(), content))
    }
}
