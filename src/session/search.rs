//! Looking for a text in stored messages: every message is looked at, newest first, a few thousand rows a lock.
//!
//! Runs on the `query` thread, and in `picobot sessions search` where no gateway runs. The one place to put an index
//! under: callers know only [`search`].

use crate::bus::FoundItem;
use crate::chat::Route;
use crate::storage::{Db, DialogKey, DialogRow, StorageError};

/// Rows looked at in one hold of the database: a few milliseconds.
const WINDOW: i64 = 4_000;
/// Text shown around the first place, in characters.
const AROUND: usize = 40;

/// Returns the newest messages that people see a text in, at most `limit`: of one chat, or of all. Letter case matters
/// only outside ASCII.
pub fn search(
    db: &Db,
    text: &str,
    route: Option<&Route>,
    limit: usize,
) -> Result<Vec<FoundItem>, StorageError> {
    let mut found = Vec::new();
    let mut to = db.read(|tx| tx.messages_end())?;
    while to > 0 && found.len() < limit {
        let from = (to - WINDOW).max(0);
        let candidates = db.read(|tx| {
            let mut known: Vec<(DialogKey, Option<DialogRow>)> = Vec::new();
            let mut fitting = Vec::new();
            for (key, stored) in tx.messages_like(text, from, to)? {
                let at = match known.iter().position(|(known, _)| *known == key) {
                    Some(at) => at,
                    None => {
                        known.push((key, tx.dialog(key)?));
                        known.len() - 1
                    }
                };
                let Some(row) = &known[at].1 else { continue };
                if route.is_none_or(|route| row.session.route() == *route) {
                    fitting.push((row.clone(), stored));
                }
            }
            Ok(fitting)
        })?;
        let items = candidates.into_iter().filter_map(|(row, stored)| {
            let snippet = snippet(&stored.message.shown_text(), text)?;
            Some(FoundItem {
                session: row.session,
                title: super::shown_title(&row.title).to_owned(),
                role: stored.message.role,
                created_at: stored.created_at,
                snippet,
            })
        });
        found.extend(items.take(limit - found.len()));
        to = from;
    }
    Ok(found)
}

/// Returns the text around the first place where `wanted` stands, on one line; `None` if it stands nowhere.
fn snippet(text: &str, wanted: &str) -> Option<String> {
    let at = text
        .to_ascii_lowercase()
        .find(&wanted.to_ascii_lowercase())?;
    let end = at + wanted.len();
    let start = text[..at]
        .char_indices()
        .rev()
        .nth(AROUND - 1)
        .map_or(0, |(start, _)| start);
    let stop = text[end..]
        .char_indices()
        .nth(AROUND)
        .map_or(text.len(), |(stop, _)| end + stop);
    let line = text[start..stop]
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let before = if start > 0 { "…" } else { "" };
    let behind = if stop < text.len() { "…" } else { "" };
    Some(format!("{before}{line}{behind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippets() {
        assert_eq!(snippet("Buy MILK\nnow", "milk").unwrap(), "Buy MILK now");
        assert_eq!(snippet("abc", "x"), None);
        let long = format!("{}目标{}", "前".repeat(50), "后".repeat(50));
        assert_eq!(
            snippet(&long, "目标").unwrap(),
            format!("…{}目标{}…", "前".repeat(40), "后".repeat(40))
        );
    }
}
