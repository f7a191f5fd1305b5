//! `/sessions`: lists the chat's dialogs with numbers that `/switch` understands.

use std::time::SystemTime;

use super::{Apply, Reply, SlashCommand, named, pick};
use crate::bus::Caller;
use crate::session::shown_title;
use crate::session::times::when;
use crate::session::wording::count;
use crate::storage::{DialogRow, Page, StorageError};

/// Dialogs in one answer: about a screen of a phone.
const SHOWN: usize = 20;
/// Dialogs in the answer to `all`.
const SHOWN_OF_ALL: usize = 100;

pub(super) struct Sessions;

impl SlashCommand for Sessions {
    fn name(&self) -> &'static str {
        "sessions"
    }

    fn usage(&self) -> &'static str {
        "/sessions [all|words]"
    }

    fn description(&self) -> &'static str {
        "List the dialogs, archived ones too, or those with these words in the title"
    }

    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        argument: &str,
    ) -> Result<Reply, StorageError> {
        let route = dialog.session.route();
        let all = argument.eq_ignore_ascii_case("all");
        let words = if all { "" } else { argument };
        let page = Page::new(0, pick::MAX_DIALOGS);
        let mut rows = apply
            .tx
            .list_dialogs(&route, all || !words.is_empty(), page)?;
        if !words.is_empty() {
            let words = words.to_lowercase();
            rows.retain(|row| shown_title(&row.title).to_lowercase().contains(&words));
        }
        let limit = if all { SHOWN_OF_ALL } else { SHOWN };
        let n_more = rows.len().saturating_sub(limit);
        rows.truncate(limit);
        let keys: Vec<_> = rows.iter().map(|row| row.key).collect();
        apply.tx.set_listed(&route, &keys)?;
        let mut lines: Vec<String> = rows
            .iter()
            .enumerate()
            .map(|(at, row)| line(at + 1, row, row.key == dialog.key, apply.now))
            .collect();
        lines.push(match (rows.is_empty(), n_more) {
            (true, _) => "No dialog has these words in its title.".to_owned(),
            (false, 0) => "/switch NUMBER goes on with one.".to_owned(),
            (false, n) => {
                format!("{n} more; /sessions WORDS finds them. /switch NUMBER goes on with one.")
            }
        });
        Ok(Reply::Now(dialog.session.clone(), lines.join("\n")))
    }
}

fn line(number: usize, row: &DialogRow, is_current: bool, now: SystemTime) -> String {
    let mut line = format!(
        "{number}. {} — {}, {}",
        named(row),
        count(row.n_messages, "message"),
        when(row.updated_at, now)
    );
    if row.archived {
        line.push_str(", archived");
    }
    if is_current {
        line.push_str(" ← current");
    }
    line
}
