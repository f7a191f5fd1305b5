//! Finding the dialog that a command's argument means, in the chat of the dialog it was typed in.

use super::{Apply, named};
use crate::chat::{Choice, Picked, SessionId, pick};
use crate::session::shown_title;
use crate::storage::{DialogRow, Page, StorageError};

/// Dialogs of a chat that are looked through, the newest first.
pub(super) const MAX_DIALOGS: usize = 10_000;
/// Candidates named when several fit.
const NAMED: usize = 5;

/// Returns the dialog meant, or a sentence for the person.
pub(super) fn one(
    apply: &Apply<'_, '_>,
    here: &DialogRow,
    wanted: &str,
) -> Result<Result<DialogRow, String>, StorageError> {
    let route = here.session.route();
    if let Ok(session) = wanted.parse::<SessionId>()
        && session.route() == route
        && let Some(row) = apply.tx.find_dialog(&session)?
    {
        return Ok(Ok(row));
    }
    let listed = apply.tx.listed(&route)?;
    let mut rows = apply
        .tx
        .list_dialogs(&route, true, Page::new(0, MAX_DIALOGS))?;
    let choices: Vec<Choice<'_>> = rows
        .iter()
        .map(|row| Choice {
            id: row.session.dialog.as_str(),
            title: shown_title(&row.title),
            number: listed
                .iter()
                .position(|key| *key == row.key)
                .map(|at| at + 1),
        })
        .collect();
    Ok(match pick(&choices, wanted) {
        Picked::One(at) => Ok(rows.swap_remove(at)),
        Picked::Nothing => Err(format!(
            "There is no dialog “{}” here. /sessions lists those there are.",
            shortened(wanted)
        )),
        Picked::Several(places) => {
            let mut lines = vec![format!("Several dialogs fit “{}”:", shortened(wanted))];
            let fitting = places.iter().take(NAMED);
            lines.extend(fitting.map(|at| format!("- {}", named(&rows[*at]))));
            if places.len() > NAMED {
                lines.push(format!("and {} more", places.len() - NAMED));
            }
            lines.push("Say more of the title, or the id.".to_owned());
            Err(lines.join("\n"))
        }
    })
}

/// The same; without an argument the dialog it was typed in is meant.
pub(super) fn one_or_current(
    apply: &Apply<'_, '_>,
    here: &DialogRow,
    wanted: &str,
) -> Result<Result<DialogRow, String>, StorageError> {
    if wanted.is_empty() {
        return Ok(Ok(here.clone()));
    }
    one(apply, here, wanted)
}

/// Repeats at most a line of what a person typed.
fn shortened(text: &str) -> String {
    crate::session::inputs::preview(text)
}
